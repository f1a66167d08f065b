# SPDX-License-Identifier: Apache-2.0
"""Docker's images: found by whole names only, pulled with a login of that pull's own.

Docker is asked for whole names because it takes a short one for the beginning of an image's id, too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from zun_lite.agent.runtime import words
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.image_base import EngineImage, unheard
from zun_lite.domain import errors, image_reference, names
from zun_lite.domain.desired import Login
from zun_lite.domain.host_work import Layer

LOG = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
_CHANGE_SECONDS = 60.0
_BLOCK_BYTES = 1024 * 1024
# An image made of a container inherits its labels, and must not be taken for one of ours.
_OUR_LABELS = (
    names.LABEL_CLUSTER,
    names.LABEL_UUID,
    names.LABEL_EPOCH,
    names.LABEL_BUILD,
    names.LABEL_MEMBER,
    names.LABEL_CORES,
)


class DockerImages:
    """The images of the engine of one runtime."""

    def __init__(self, runtime: DockerRuntime) -> None:
        self._runtime = runtime

    def find(self, reference: str) -> str | None:
        try:
            with self._runtime.asking(_LOOK_SECONDS) as api:
                return api.inspect_image(reference)["Id"]
        except errors.NotFound:
            return None
        except errors.Invalid as error:
            raise errors.NoSuchImage(f"{reference!r} is not the name of an image.") from error

    def digests(self, image_id: str) -> set[str]:
        with self._runtime.asking(_LOOK_SECONDS) as api:
            found = api.inspect_image(image_id).get("RepoDigests") or ()
        return {name.rpartition("@")[2] for name in found}

    def every(self) -> list[EngineImage]:
        with self._runtime.asking(_CHANGE_SECONDS) as api:
            found = api.images()
        return [EngineImage(item["Id"], int(item["Size"]), tuple(_names_of(item))) for item in found]

    def in_use(self) -> set[str]:
        with self._runtime.asking(_CHANGE_SECONDS) as api:
            return {item["ImageID"] for item in api.containers(all=True)}

    def pull(
        self, reference: str, login: Login | None, timeout_seconds: float, told: Callable[[Layer], None] = unheard
    ) -> None:
        # without a login an empty one: what the agent's account has in its own Docker folder is not for tenants
        auth: dict[str, Any] = {}
        if login is not None and login.username:
            auth = {"username": login.username, "password": login.password or "", "serveraddress": login.domain}
        try:
            with self._runtime.asking(timeout_seconds) as api:
                progress = api.pull(reference, stream=True, decode=True, auth_config=auth)
                _follow(progress, timeout_seconds, told)
        except (errors.NotFound, errors.Invalid, errors.Failed, errors.Conflict) as error:
            LOG.warning("image %r cannot be pulled: %s", reference, words.one_line(error.message))
            raise words.pull_error(reference, error) from error

    def load(self, archive: Iterable[bytes], timeout_seconds: float) -> None:
        try:
            with self._runtime.asking(timeout_seconds) as api:
                _follow(api.load_image(archive), timeout_seconds)
        except (errors.Failed, errors.Invalid, errors.NotFound) as error:
            LOG.warning("an image's archive cannot be loaded: %s", words.one_line(error.message))
            raise errors.Invalid("Docker cannot read the image's archive.") from error

    def make(self, layer: Iterable[bytes], reference: str, timeout_seconds: float) -> None:
        repository, _, tag = reference.rpartition(":")
        try:
            with self._runtime.asking(timeout_seconds) as api:
                answer = api.import_image_from_data(layer, repository=repository, tag=tag)
            _refuse_errors(json.loads(line) for line in answer.splitlines() if line.strip())
        except (errors.Failed, errors.Invalid) as error:
            LOG.warning("a root file system cannot be imported: %s", words.one_line(error.message))
            raise errors.Invalid("Docker cannot read the image's file system.") from error

    def untag(self, reference: str) -> None:
        try:
            with self._runtime.asking(_CHANGE_SECONDS) as api:
                api.remove_image(reference)
        except errors.NotFound:
            return

    def commit(self, container_id: str, reference: str, timeout_seconds: float) -> None:
        repository, _, tag = reference.rpartition(":")
        changes = [f"LABEL {label}=" for label in _OUR_LABELS]
        with self._runtime.asking(timeout_seconds) as api:
            api.commit(container_id, repository=repository, tag=tag, pause=True, changes=changes)

    def save(self, reference: str, timeout_seconds: float) -> Iterator[bytes]:
        with self._runtime.asking(timeout_seconds) as api:
            blocks = api.get_image(reference, chunk_size=_BLOCK_BYTES)
            with contextlib.closing(blocks):
                yield from blocks


def _follow(progress: Any, timeout_seconds: float, told: Callable[[Layer], None] = unheard) -> None:
    """Read what Docker tells of its work to the end; Failed: it could not, or it took too long."""
    deadline = time.monotonic() + timeout_seconds
    with contextlib.closing(progress):
        for line in progress:
            _refuse_errors([line])
            layer = words.layer(line)
            if layer is not None:
                told(layer)
            if time.monotonic() > deadline:
                raise errors.Failed("timeout")


def _refuse_errors(lines: Iterable[dict[str, Any]]) -> None:
    for line in lines:
        if "error" in line:
            raise errors.Failed(str(line["error"]))


def _names_of(item: dict[str, Any]) -> Iterator[str]:
    for name in [*(item.get("RepoTags") or ()), *(item.get("RepoDigests") or ())]:
        if "<none>" not in name and image_reference.is_reference(name):
            yield str(image_reference.parse(name))
