# SPDX-License-Identifier: Apache-2.0
"""What the control plane needs of whoever keeps images: embedded, or Glance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from zun_lite.db.images import Image
from zun_lite.domain.caller import Caller


class Source(Protocol):
    """Bytes that come from a client or a host."""

    def read(self, size: int = -1, /) -> bytes: ...


class Bytes(Protocol):
    """An image's bytes, opened for reading; whoever opened it closes it."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def md5(self) -> str: ...

    @property
    def sha512(self) -> str: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Found:
    """An image as a search shows it."""

    uuid: str
    name: str
    tags: tuple[str, ...]
    status: str
    size_bytes: int | None


class ImageProvider(Protocol):
    """Look-ups use the caller's rights; open and store act for the service, once it has checked who asks."""

    def resolve(self, caller: Caller, ident: str) -> str:
        """The id of an image of containers by its id, its name, or name:tag. NoSuchImage, Ambiguous, NotUsable."""
        ...

    def search(self, caller: Caller, name: str, *, exactly: bool, limit: int) -> list[Found]:
        """Images of containers that the caller may see and whose name is, or holds, this."""
        ...

    def make(
        self, tx: sa.Connection, uuid: str, project_id: str, name: str, tag: str, workload_uuid: str, request_id: str
    ) -> None:
        """A record, still without bytes, of an image that is being made of a container."""
        ...

    def store(
        self,
        uuid: str,
        source: Source,
        size_bytes: int | None,
        *,
        also: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        """Take an image's bytes to the end and make it active. size_bytes: how many there should be, if that was said.

        also: what is to happen in the transaction that makes it active.
        NotFound; Conflict: it has its bytes; Invalid: more or fewer came, or more than are allowed.
        """
        ...

    def remove(self, uuid: str, *, also: Callable[[sa.Connection, Image], None] | None = None) -> None:
        """Forget an image and its bytes; fine to say twice. Forbidden: it is protected.

        also: what is to happen in the transaction that forgets it.
        """
        ...

    def open(self, uuid: str) -> Bytes:
        """An active image's bytes. NotFound: there are none."""
        ...
