# SPDX-License-Identifier: Apache-2.0
"""An image's file from the image service, made safe for the engine: whoever wrote it may be hostile.

An archive as `docker save` writes it names the images that it holds, and an engine that loads it gives them
these names, also one like nginx:latest that everybody's containers are made of. So it is written anew on the
way: one image, under the one name that the host chose. Only plain files come through, and no path but once,
so that nothing else can take the place of what was written here. A tar without a manifest is a root file system.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
import tarfile
from collections.abc import Iterator
from typing import IO

from zun_lite.domain import errors

MANIFEST, REPOSITORIES = "manifest.json", "repositories"
MOST_MANIFEST_BYTES = 4 * 1024 * 1024
MOST_MEMBERS = 10_000
MOST_FILES = 1_000_000
BLOCK_BYTES = 256 * 1024
# docker save writes a layer that it wrote before as a link to it
_LAYER = re.compile(r"[0-9a-f]{64}/layer\.tar")
_LINK = re.compile(r"\.\./[0-9a-f]{64}/layer\.tar")


def is_saved_image(path: str, most_bytes: int) -> bool:
    """Whether a tar has a manifest; else it is taken for a root file system, and read to its end.

    Invalid: it is no tar, or a root file system that would be larger, unpacked, than most_bytes.
    """
    size = 0
    with _open(path) as archive:
        try:
            for number, member in enumerate(archive):
                if number < MOST_MEMBERS and _path_of(member) == MANIFEST:
                    return True
                # of a sparse file, what it is unpacked to
                size += member.size
                if size > most_bytes or number >= MOST_FILES:
                    raise errors.Invalid("The image is larger, unpacked, than images may be.")
                # else each member is kept for as long as the archive is open
                archive.members.clear()  # type: ignore[attr-defined]
            return False
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise errors.Invalid("The image's bytes are not a whole tar.") from error


def renamed(path: str, reference: str, most_bytes: int) -> Iterator[bytes]:
    """The archive anew, in blocks, with its one image under this name. Invalid: it is not as it should be."""
    seen: set[str] = set()
    size = 0
    with _open(path) as archive:
        try:
            for member in archive:
                name = _path_of(member)
                if member.isdir() or name == REPOSITORIES:
                    continue
                _check(member, name, seen)
                size += member.size
                if size > most_bytes or len(seen) > MOST_MEMBERS:
                    raise errors.Invalid("The image is larger, unpacked, than images may be.")
                if member.issym():
                    yield _header(name, linkname=member.linkname)
                    continue
                source = archive.extractfile(member)
                assert source is not None
                if name == MANIFEST:
                    content = _manifest(source, reference)
                    yield from _file(name, io.BytesIO(content), len(content))
                else:
                    yield from _file(name, source, member.size)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise errors.Invalid("The image's archive cannot be read to its end.") from error
    if MANIFEST not in seen:
        raise errors.Invalid("The image's archive has no manifest.")
    yield b"\0" * 2 * tarfile.BLOCKSIZE


def plain(path: str) -> Iterator[bytes]:
    """The file as it is, in blocks."""
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block


def _open(path: str) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r|*", bufsize=BLOCK_BYTES)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise errors.Invalid("The image's bytes are not a tar.") from error


def _path_of(member: tarfile.TarInfo) -> str:
    return posixpath.normpath(member.name).lstrip("/")


def _check(member: tarfile.TarInfo, name: str, seen: set[str]) -> None:
    if ".." in name.split("/") or name in seen:
        raise errors.Invalid("The image's archive has a path that is not acceptable.")
    if not member.isreg() and not (member.issym() and _LAYER.fullmatch(name) and _LINK.fullmatch(member.linkname)):
        raise errors.Invalid("The image's archive holds something else than plain files.")
    seen.add(name)


def _header(name: str, *, size: int = 0, linkname: str = "") -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.SYMTYPE if linkname else tarfile.REGTYPE
    entry.size, entry.linkname, entry.mode = size, linkname, 0o644
    return entry.tobuf(tarfile.PAX_FORMAT)


def _file(name: str, source: IO[bytes], size: int) -> Iterator[bytes]:
    yield _header(name, size=size)
    left = size
    while left:
        block = source.read(min(BLOCK_BYTES, left))
        if not block:
            raise EOFError
        left -= len(block)
        yield block
    yield b"\0" * (-size % tarfile.BLOCKSIZE)


def _manifest(source: IO[bytes], reference: str) -> bytes:
    content = source.read(MOST_MANIFEST_BYTES + 1)
    if len(content) > MOST_MANIFEST_BYTES:
        raise errors.Invalid("The image's manifest is too large.")
    found = json.loads(content)
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        raise errors.Invalid("The image's archive holds several images, or none; save one alone.")
    image = {"Config": found[0].get("Config"), "RepoTags": [reference], "Layers": found[0].get("Layers")}
    return json.dumps([image]).encode()
