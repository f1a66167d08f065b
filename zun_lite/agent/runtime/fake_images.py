# SPDX-License-Identifier: Apache-2.0
"""The images of a FakeRuntime: names without bytes, with the engine's own answers and refusals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from zun_lite.agent.runtime.fake import FakeRuntime
from zun_lite.agent.runtime.image_base import EngineImage, unheard
from zun_lite.domain import errors, image_reference
from zun_lite.domain.desired import Login
from zun_lite.domain.host_work import Layer


class FakeImages:
    """private: name → (username, password) without which it is not found. logins: those that came with pulls.

    ids: what a name stands for, where a test makes two names the same image. manifests: digests by image.
    layers: what each pull tells of.
    """

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime
        self.private: dict[str, tuple[str, str]] = {}
        self.logins: list[Login | None] = []
        self.layers: list[Layer] = []
        self.ids: dict[str, str] = {}
        self.manifests: dict[str, tuple[str, ...]] = {}
        self.loaded: list[bytes] = []
        self.committed: list[str] = []

    def find(self, reference: str) -> str | None:
        name = short(reference)
        return self._id(name) if self._runtime.has_image(name) else None

    def digests(self, image_id: str) -> set[str]:
        return set(self.manifests.get(image_id, ()))

    def every(self) -> list[EngineImage]:
        names: dict[str, list[str]] = {}
        for name in sorted(self._runtime.images):
            names.setdefault(self._id(name), []).append(str(image_reference.parse(name)))
        return [EngineImage(image_id, 1024, tuple(found)) for image_id, found in names.items()]

    def in_use(self) -> set[str]:
        return {self._id(name) for name in self._runtime.images_in_use()}

    def pull(
        self, reference: str, login: Login | None, timeout_seconds: float, told: Callable[[Layer], None] = unheard
    ) -> None:
        name = short(reference)
        self.logins.append(login)
        wanted = self.private.get(name)
        given = (login.username, login.password) if login else None
        if wanted is not None and given != wanted:
            raise errors.NoSuchImage(f"Image {name!r} was not found, or its registry wants a login.")
        for layer in self.layers:
            told(layer)
        self._runtime.pull(name, timeout_seconds)

    def load(self, archive: Iterable[bytes], timeout_seconds: float) -> None:
        self.loaded.append(b"".join(archive))

    def make(self, layer: Iterable[bytes], reference: str, timeout_seconds: float) -> None:
        self.loaded.append(b"".join(layer))
        self._runtime.images.add(short(reference))

    def untag(self, reference: str) -> None:
        self._runtime.images.discard(short(reference))

    def commit(self, container_id: str, reference: str, timeout_seconds: float) -> None:
        if self._runtime.inspect(container_id) is None:
            raise errors.NotFound("The container is not on its host.")
        self.committed.append(container_id)
        self._runtime.images.add(short(reference))

    def save(self, reference: str, timeout_seconds: float) -> Iterator[bytes]:
        yield f"the bytes of {short(reference)}".encode()

    def _id(self, name: str) -> str:
        return self.ids.get(name) or f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def short(reference: str) -> str:
    """As the engine shows it: without the usual registry."""
    return reference.removeprefix("docker.io/").removeprefix("library/")
