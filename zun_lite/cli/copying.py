# SPDX-License-Identifier: Apache-2.0
"""Files between this machine and a container, as tars that stream.

What comes out of a container is not trusted: nothing is written outside of the folder that was named,
nothing through a link that lies in it, and links are made last.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from zun_lite.cli.failures import Failure
from zun_lite.cli.wire import PART_BYTES, FilePart

PIECE_BYTES = 1024 * 1024


class Incoming(Protocol):
    def read(self, count: int = -1) -> bytes: ...

    def copy_to(self, descriptor: int, count: int) -> None:
        """The next bytes, to a file. EOFError: there are not as many."""
        ...


def pack(source: Path, name: str) -> Iterator[bytes | FilePart]:
    """A tar of a file or folder of this machine under another name, in pieces; made as it is taken."""
    # knows which files are links to one another; nothing is written by it
    made = tarfile.TarFile(fileobj=_Nowhere(), mode="w", format=tarfile.GNU_FORMAT)  # type: ignore[arg-type]
    try:
        for path, inner in _below(source, name):
            member = made.gettarinfo(path, inner)
            if member is None or not _is_plain(member):
                continue
            yield member.tobuf(tarfile.GNU_FORMAT)
            if member.isreg():
                yield from _content(path, member.size)
    except OSError as error:
        raise Failure(f"{source} cannot be read: {error}.") from error
    yield bytes(2 * tarfile.BLOCKSIZE)


def _below(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield path, name
    if path.is_dir() and not path.is_symlink():
        for inner in sorted(os.listdir(path)):
            yield from _below(path / inner, f"{name}/{inner}")


def _content(path: Path, size: int) -> Iterator[bytes | FilePart]:
    with path.open("rb") as file:
        for start in range(0, size, PART_BYTES):
            yield FilePart(file, start, min(PART_BYTES, size - start))
    if size % tarfile.BLOCKSIZE:
        yield bytes(tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)


class _Nowhere:
    def tell(self) -> int:
        return 0


class _Forward:
    """What tarfile reads headers from: an answer that goes forward only."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._at = 0

    def tell(self) -> int:
        return self._at

    def seek(self, at: int) -> None:
        """tarfile seeks forward alone, as long as it is not asked for what has gone by."""
        while at > self._at:
            if not self.read(min(at - self._at, PIECE_BYTES)):
                raise tarfile.ReadError("unexpected end of data")

    def read(self, count: int) -> bytes:
        content = self._incoming.read(count)
        self._at += len(content)
        return content

    def copy_to(self, descriptor: int, count: int) -> None:
        self._incoming.copy_to(descriptor, count)
        self._at += count


def unpack(stream: Incoming, folder: Path, rename: tuple[str, str] | None = None) -> int:
    """Unpack a container's tar into a folder; how many files. rename: of each path the first name, and another."""
    links: list[tuple[tarfile.TarInfo, Path]] = []
    count = 0
    forward = _Forward(stream)
    try:
        with tarfile.open(fileobj=forward, mode="r:") as archive:  # type: ignore[call-overload]
            for member in archive:
                target = _place(folder, member.name, rename)
                if target is None:
                    continue
                count += 1
                if member.isdir():
                    target.mkdir(exist_ok=True)
                elif member.issparse():
                    raise Failure(f"The container's archive holds {member.name!r} in pieces, which cannot be read.")
                elif member.isfile():
                    forward.seek(member.offset_data)
                    _write(target, member, forward.copy_to)
                elif member.issym() or member.islnk():
                    links.append((member, target))
    except (tarfile.TarError, EOFError) as error:
        raise Failure(f"What came of the archive is not whole: {error}.") from error
    for member, target in links:
        _link(member, target, folder, rename)
    return count


def _is_plain(member: tarfile.TarInfo) -> bool:
    """Whether it can be sent, which devices and sockets cannot; it is root's in the container."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member.isreg() or member.isdir() or member.issym() or member.islnk()


def _place(folder: Path, name: str, rename: tuple[str, str] | None) -> Path | None:
    """Where a member belongs. Failure: outside of the folder, or behind a link in it."""
    parts = [part for part in posixpath.normpath("/" + name).split("/") if part]
    if ".." in name.split("/"):
        raise Failure(f"The container's archive names {name!r}, which leads out of its folder.")
    if rename is not None and parts and parts[0] == rename[0]:
        parts[0] = rename[1]
    at = folder
    for part in parts[:-1]:
        at = at / part
        if at.is_symlink():
            raise Failure(f"{at} is a link; nothing is written through it.")
        at.mkdir(exist_ok=True)
    return at / parts[-1] if parts else None


def _write(target: Path, member: tarfile.TarInfo, copy_to: Callable[[int, int], None]) -> None:
    if target.is_symlink() or target.exists():
        if target.is_dir() and not target.is_symlink():
            raise Failure(f"{target} is a folder; a file of that name cannot replace it.")
        target.unlink()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
    mode = stat.S_IMODE(member.mode) & 0o777
    with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
        copy_to(file.fileno(), member.size)
        os.fchmod(file.fileno(), mode or 0o600)


def _link(member: tarfile.TarInfo, target: Path, folder: Path, rename: tuple[str, str] | None) -> None:
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.exists():
        raise Failure(f"{target} is a folder; a link of that name cannot replace it.")
    if member.issym():
        os.symlink(member.linkname, target)
        return
    source = _place(folder, member.linkname, rename)
    if source is not None and source.is_file() and not source.is_symlink():
        os.link(source, target, follow_symlinks=False)


class Progress:
    """Says on a terminal how much has gone by."""

    def __init__(self, pieces: Iterable[bytes | FilePart], show: Any) -> None:
        self._pieces = pieces
        self._show = show

    def __iter__(self) -> Iterator[bytes | FilePart]:
        total = 0
        for piece in self._pieces:
            total += len(piece)
            self._show(total)
            yield piece
