# SPDX-License-Identifier: Apache-2.0
"""Files between this machine and a container, as tars that stream.

What comes out of a container is not trusted: nothing is written outside of the folder that was named,
nothing through a link that lies in it, and links are made last.
"""

from __future__ import annotations

import os
import posixpath
import queue
import shutil
import stat
import tarfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from zun_lite.cli.failures import Failure

PIECE_BYTES = 1024 * 1024
_WAITING_PIECES = 4


def pack(source: Path, name: str) -> Iterator[bytes]:
    """A tar of a file or folder of this machine under another name, in pieces; made as it is taken."""
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING_PIECES)
    over = threading.Event()

    class Sink:
        def write(self, content: bytes) -> int:
            while not over.is_set():
                try:
                    pieces.put(bytes(content), timeout=0.5)
                    return len(content)
                except queue.Full:
                    continue
            raise BrokenPipeError

    def work() -> None:
        try:
            # small pieces would be put together by tarfile, byte by byte anew for each; its stub knows no such option
            make: Any = tarfile.open
            sizes = {"bufsize": PIECE_BYTES, "copybufsize": PIECE_BYTES}
            with make(fileobj=Sink(), mode="w|", format=tarfile.GNU_FORMAT, **sizes) as archive:
                archive.add(source, arcname=name, filter=_plain)
            pieces.put(None)
        except BrokenPipeError:
            return
        except BaseException as error:
            pieces.put(error)

    threading.Thread(target=work, name="pack", daemon=True).start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise Failure(f"{source} cannot be read: {piece}.") from piece
            yield piece
    finally:
        over.set()


def unpack(stream: Any, folder: Path, rename: tuple[str, str] | None = None) -> int:
    """Unpack a container's tar into a folder; how many files. rename: of each path the first name, and another."""
    links: list[tuple[tarfile.TarInfo, Path]] = []
    count = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE_BYTES) as archive:
            for member in archive:
                target = _place(folder, member.name, rename)
                if target is None:
                    continue
                count += 1
                if member.isdir():
                    target.mkdir(exist_ok=True)
                elif member.isfile():
                    content = archive.extractfile(member)
                    assert content is not None
                    _write(target, content, member)
                elif member.issym() or member.islnk():
                    links.append((member, target))
    except (tarfile.TarError, EOFError) as error:
        raise Failure(f"What came of the archive is not whole: {error}.") from error
    for member, target in links:
        _link(member, target, folder, rename)
    return count


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """What can be sent: no devices and sockets; owned by root in the container."""
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


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


def _write(target: Path, content: IO[bytes], member: tarfile.TarInfo) -> None:
    if target.is_symlink() or target.exists():
        if target.is_dir() and not target.is_symlink():
            raise Failure(f"{target} is a folder; a file of that name cannot replace it.")
        target.unlink()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
    mode = stat.S_IMODE(member.mode) & 0o777
    with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
        shutil.copyfileobj(content, file, PIECE_BYTES)
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

    def __init__(self, pieces: Iterable[bytes], show: Any) -> None:
        self._pieces = pieces
        self._show = show

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        for piece in self._pieces:
            total += len(piece)
            self._show(total)
            yield piece
