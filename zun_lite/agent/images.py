# SPDX-License-Identifier: Apache-2.0
"""Gets images onto the host beside all other work, each at most once at a time.

Whoever needs an image asks; when it has to be brought first he is told to wait, and woken when that has
ended, well or ill. So a slow registry holds up nobody but those who want its images. What lies here
already is for those only who could have brought it themselves; see image_book.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from zun_lite.agent import image_book
from zun_lite.agent.image_book import ImageBook
from zun_lite.agent.registry_addresses import RegistryAddresses
from zun_lite.agent.runtime.image_base import EngineImages
from zun_lite.agent.signatures import Signatures
from zun_lite.domain import errors, image_reference
from zun_lite.domain.desired import Login
from zun_lite.domain.host_work import MOST_LAYERS, Layer
from zun_lite.domain.spec import ContainerSpec

LOG = logging.getLogger(__name__)

MAX_PULLS = 3


class Sources(Protocol):
    """Where an image comes from, if it is no public registry."""

    def login(self, workload_uuid: str) -> Login:
        """For the registry of a workload. NotFound: it has none any more."""
        ...

    def load(self, image_id: str, reference: str, timeout_seconds: float) -> None:
        """Bring an image of the image service under that name. NoSuchImage, Invalid, Failed."""
        ...


@dataclass(frozen=True)
class _Want:
    """An image, and the way by which it comes. Neither registry nor image: without a login."""

    reference: str
    project_id: str = ""
    registry_id: str = ""
    image_id: str = ""


@dataclass
class _Pull:
    waiting: set[str] = field(default_factory=set)
    layers: dict[str, Layer] = field(default_factory=dict)


class Images:
    """The images of one engine. wake is called with each uuid that waited for one that ended.

    addresses: which registries may be spoken to. signatures: which images must be signed; none without it.
    """

    def __init__(
        self,
        engine: EngineImages,
        book: ImageBook,
        sources: Sources,
        timeout_seconds: float,
        wake: Callable[[str], None],
        addresses: RegistryAddresses,
        signatures: Signatures | None = None,
    ) -> None:
        self._engine = engine
        self._book = book
        self._sources = sources
        self._timeout_seconds = timeout_seconds
        self._wake = wake
        self._addresses = addresses
        self._signatures = signatures
        self._trusted: set[str] = set()
        self._lock = threading.Condition()
        self._slots = threading.Semaphore(MAX_PULLS)
        self._pulls: dict[_Want, _Pull] = {}
        self._ended: dict[tuple[str, _Want], errors.ZunError | None] = {}

    def ready(self, uuid: str, project_id: str, spec: ContainerSpec) -> str | None:
        """The engine's id of the image of a workload's container; None: it will be woken when it should ask again.

        Raises what bringing the image for this workload ended with, once; asking again tries again.
        """
        want = _want(project_id, spec)
        with self._lock:
            brought = (uuid, want) in self._ended
            error = self._ended.pop((uuid, want), None)
        if error is not None:
            raise error
        if brought or spec.image_pull_policy != "always":
            found = self._engine.find(want.reference)
            usable = found is not None and self._book.may_use(found, _rights(project_id, want))
            if usable and (found in self._trusted or not self._must_be_signed(want.reference)):
                return found
        if spec.image_pull_policy == "never":
            raise errors.NoSuchImage(f"Image {spec.image!r} is not on the host, and its policy is never to pull.")
        self._bring_for(uuid, want)
        return None

    def forget(self, uuid: str) -> None:
        """The workload does not want its image any more."""
        with self._lock:
            for key in [key for key in self._ended if key[0] == uuid]:
                del self._ended[key]
            for pull in self._pulls.values():
                pull.waiting.discard(uuid)

    def layers(self, uuid: str) -> tuple[Layer, ...]:
        """Of the image that the workload waits for, in the image's order, as far as the engine has told of them."""
        with self._lock:
            pulls = [pull for pull in self._pulls.values() if uuid in pull.waiting]
            return tuple(layer for pull in pulls for layer in pull.layers.values())

    def wait(self, timeout_seconds: float) -> bool:
        """Whether everything under way ended, and those who waited were woken, within that time."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._pulls, timeout_seconds)

    def _bring_for(self, uuid: str, want: _Want) -> None:
        with self._lock:
            known = want in self._pulls
            self._pulls.setdefault(want, _Pull()).waiting.add(uuid)
        if not known:
            threading.Thread(target=self._bring, args=(want, uuid), name="pull", daemon=True).start()

    def _bring(self, want: _Want, uuid: str) -> None:
        error: errors.ZunError | None = None
        try:
            with self._slots:
                self._bring_now(want, uuid)
        except errors.ZunError as caught:
            error = caught
        except Exception:
            LOG.exception("the pull of image %r broke", want.reference)
            error = errors.Failed(f"Image {want.reference!r} could not be pulled.")
        with self._lock:
            waiting = self._pulls.pop(want).waiting
            self._ended.update({(waiter, want): error for waiter in waiting})
            for waiter in waiting:
                self._wake(waiter)
            self._lock.notify_all()

    def _bring_now(self, want: _Want, uuid: str) -> None:
        login = self._login(want, uuid)
        right = _right(want, login)
        begun = self._book.begin(want.reference, right)
        try:
            if want.image_id:
                self._sources.load(want.image_id, want.reference, self._timeout_seconds)
            else:
                self._addresses.check(image_reference.parse(want.reference).registry)
                self._pull(want, login)
        except BaseException:
            self._book.drop(begun)
            raise
        self._book.end(begun)

    def _pull(self, want: _Want, login: Login | None) -> None:
        """Of what must be signed, exactly that which is."""
        reference, told = want.reference, partial(self._note_layer, want)
        if self._signatures is None or not self._signatures.wanted(reference):
            self._engine.pull(reference, login, self._timeout_seconds, told)
            return
        digest = self._signatures.digest_of(reference, login)
        self._engine.pull(reference, login, self._timeout_seconds, told)
        found = self._engine.find(reference)
        if found is None or digest not in self._engine.digests(found):
            raise errors.NoSuchImage(f"Image {reference!r} was changed while it was pulled; try again.")
        self._trusted.add(found)

    def _note_layer(self, want: _Want, layer: Layer) -> None:
        with self._lock:
            layers = self._pulls[want].layers
            if layer.ident in layers or len(layers) < MOST_LAYERS:
                layers[layer.ident] = layer

    def _must_be_signed(self, reference: str) -> bool:
        return self._signatures is not None and self._signatures.wanted(reference)

    def _login(self, want: _Want, uuid: str) -> Login | None:
        if not want.registry_id:
            return None
        login = self._login_of_one(want, uuid)
        if login is None:
            raise errors.NoSuchImage("The registry of the container's image is not known any more.")
        if login.domain != image_reference.parse(want.reference).registry:
            raise errors.NoSuchImage("The registry of the container's image is not the one that it was.")
        return login

    def _login_of_one(self, want: _Want, uuid: str) -> Login | None:
        """By the first, else by another that waits for the image too: the first may be deleted meanwhile."""
        asker: str | None = uuid
        asked: set[str] = set()
        while asker is not None:
            with contextlib.suppress(errors.NotFound):
                return self._sources.login(asker)
            asked.add(asker)
            with self._lock:
                asker = min(self._pulls[want].waiting - asked, default=None)
        return None


def _want(project_id: str, spec: ContainerSpec) -> _Want:
    if spec.image_id:
        return _Want(image_reference.embedded(spec.image_id), image_id=spec.image_id)
    reference = image_reference.parse(spec.reference)
    if reference.registry == image_reference.RESERVED_REGISTRY:
        raise errors.NoSuchImage(f"Image {spec.image!r} was not found.")
    if spec.registry_id:
        return _Want(str(reference), project_id, spec.registry_id)
    return _Want(str(reference))


def _rights(project_id: str, want: _Want) -> set[str]:
    if want.image_id:
        return {image_book.of_image(want.image_id)}
    return {image_book.of_project(project_id)}


def _right(want: _Want, login: Login | None) -> str:
    if want.image_id:
        return image_book.of_image(want.image_id)
    if login is not None and login.username:
        return image_book.of_project(want.project_id)
    return image_book.PUBLIC
