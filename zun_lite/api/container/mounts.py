# SPDX-License-Identifier: Apache-2.0
"""`mounts` of a create: volumes that exist, volumes to be made, and files of the container's own.

A file's content comes with the request and is the container's from then on; no path of a host is
ever taken from a user.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from dataclasses import dataclass
from typing import Any

from zun_lite.domain import errors
from zun_lite.domain.spec import FileRequest

MAX_FILES = 16
MAX_FILE_BYTES = 64 * 1024
MAX_BYTES_OF_ALL_FILES = 256 * 1024
SIZE_GIB_MOST = 16384
_SYSTEM_PATHS = ("/proc", "/sys", "/dev")
_MAX_PATH = 255


@dataclass(frozen=True)
class WantedMount:
    """source is an existing volume's id or name; size_gib that of one to be made."""

    source: str | None
    size_gib: int | None
    target: str


def read(value: list[dict[str, Any]]) -> tuple[tuple[WantedMount, ...], tuple[FileRequest, ...]]:
    """The volumes and the files, of a list whose form the schema has checked. Invalid."""
    volumes: list[WantedMount] = []
    files: list[FileRequest] = []
    for position, mount in enumerate(value):
        where = f"mounts.{position}"
        if mount.get("type") == "bind":
            files.append(_file(where, mount))
        else:
            volumes.append(_volume(where, mount))
    targets = [volume.target for volume in volumes] + [file.target for file in files]
    _check_unique("destination", targets)
    _check_unique("source", [volume.source for volume in volumes if volume.source])
    _refuse_below_files([file.target for file in files], targets)
    if len(files) > MAX_FILES:
        raise errors.Invalid(f"mounts may have {MAX_FILES} files of type bind, not {len(files)}; use a volume.")
    if sum(len(file.content) for file in files) > MAX_BYTES_OF_ALL_FILES * 4 / 3 + 4 * MAX_FILES:
        raise errors.Invalid(f"The files in mounts may have {MAX_BYTES_OF_ALL_FILES} bytes together; use a volume.")
    return tuple(volumes), tuple(files)


def _volume(where: str, mount: dict[str, Any]) -> WantedMount:
    target = _target(where, mount["destination"])
    source, size = mount.get("source") or None, None if mount.get("size") == "" else mount.get("size")
    if (source is None) == (size is None):
        raise errors.Invalid(f"{where} needs either the source, a volume's id or name, or the size of a new one.")
    if source is not None and len(source) > 255:
        raise errors.Invalid(f"{where}.source must be a volume's id or name; a file's content needs type bind.")
    if size is not None and not 1 <= int(size) <= SIZE_GIB_MOST:
        raise errors.Invalid(f"{where}.size must be from 1 to {SIZE_GIB_MOST} GiB, not {size}.")
    return WantedMount(source, None if size is None else int(size), target)


def _file(where: str, mount: dict[str, Any]) -> FileRequest:
    if mount.get("size") not in (None, ""):
        raise errors.Invalid(f"{where} is a file, which has the size of its content; leave size out.")
    if mount["destination"].endswith("/"):
        raise errors.Invalid(f"{where}.destination must be a file's path, without a slash at its end.")
    target, source = _target(where, mount["destination"]), mount.get("source")
    if source is None:
        raise errors.Invalid(f"{where}.source must be the file's content in base64.")
    try:
        content = base64.b64decode("".join(source.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.Invalid(f"{where}.source must be the file's content in base64.") from error
    if len(content) > MAX_FILE_BYTES:
        raise errors.Invalid(f"{where}.source may have {MAX_FILE_BYTES} bytes, not {len(content)}; use a volume.")
    return FileRequest(target, base64.b64encode(content).decode())


def _target(where: str, given: str) -> str:
    if not given.startswith("/") or ".." in given.split("/"):
        raise errors.Invalid(f"{where}.destination must be an absolute path without '..'.")
    if not given.isprintable():
        raise errors.Invalid(f"{where}.destination must be a path of printable characters.")
    target = "/" + posixpath.normpath(given).lstrip("/")
    if target == "/" or any(target == path or target.startswith(f"{path}/") for path in _SYSTEM_PATHS):
        raise errors.Invalid(f"{where}.destination must be a path of the container's own, not {target}.")
    if any(len(part.encode()) > _MAX_PATH for part in target.split("/")):
        raise errors.Invalid(f"{where}.destination has a name of more than {_MAX_PATH} bytes.")
    return target


def _refuse_below_files(files: list[str], targets: list[str]) -> None:
    for file in files:
        below = [target for target in targets if target.startswith(f"{file}/")]
        if below:
            raise errors.Invalid(f"mounts has a file at {file}, so that nothing can be at {below[0]}.")


def _check_unique(name: str, said: list[str]) -> None:
    twice = sorted({item for item in said if said.count(item) > 1})
    if twice:
        raise errors.Invalid(f"mounts has the {name} {twice[0]} twice.")
