# SPDX-License-Identifier: Apache-2.0
"""What the agent needs of a container engine's images, in the agent's own words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from zun_lite.domain.desired import Login
from zun_lite.domain.host_work import Layer


def unheard(layer: Layer) -> None:
    """For who does not care."""


@dataclass(frozen=True)
class EngineImage:
    """One image that the engine has. names: whole ones, as image_reference makes them."""

    image_id: str
    size_bytes: int
    names: tuple[str, ...]


class EngineImages(Protocol):
    """References are whole names. Unavailable: the engine does not answer; Failed: it could not."""

    def find(self, reference: str) -> str | None:
        """The id of the image of that name."""
        ...

    def digests(self, image_id: str) -> set[str]:
        """Those of the manifests, sha256:HEX, by which the image came from registries."""
        ...

    def every(self) -> list[EngineImage]: ...

    def in_use(self) -> set[str]:
        """Ids of images of which there is a container, whosever it is."""
        ...

    def pull(
        self, reference: str, login: Login | None, timeout_seconds: float, told: Callable[[Layer], None] = unheard
    ) -> None:
        """NoSuchImage: trying again cannot help. told: of each layer, as it comes on."""
        ...

    def load(self, archive: Iterable[bytes], timeout_seconds: float) -> None:
        """Take in an archive as docker save writes it. Invalid: it is none."""
        ...

    def make(self, layer: Iterable[bytes], reference: str, timeout_seconds: float) -> None:
        """Make an image of a root file system as a tar. Invalid: it is none."""
        ...

    def untag(self, reference: str) -> None:
        """Take a name away, and the image with its last name, unless a container is made of it (Conflict)."""
        ...

    def commit(self, container_id: str, reference: str, timeout_seconds: float) -> None:
        """Make an image of a container, which stands still for that long. NotFound: it is gone."""
        ...

    def save(self, reference: str, timeout_seconds: float) -> Iterator[bytes]:
        """An archive of an image, in blocks."""
        ...
