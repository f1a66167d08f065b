# SPDX-License-Identifier: Apache-2.0
"""The first file system of a volume that a Cinder made: made once, and only where there is nothing at all.

A volume of the host's own pool gets one with its file (agent/pool.py). This one comes empty, or with whatever its
owner had written to it. Only one that nobody ever found formatted, on which no tool knows anything and whose ends are
zeros, gets one. That it is being made is noted before, so that one that was cut off may be made again.
"""

from __future__ import annotations

import logging
import os
import subprocess

from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.wiring import Attachment
from zun_lite.netd import filemounts, filesystems
from zun_lite.netd.store import Store

LOG = logging.getLogger(__name__)
_END_BYTES = 1024**2
_TOOL_SECONDS = 25
_NOTHING_FOUND = 2


def see_to(attachment: Attachment, path: str, store: Store) -> str:
    """The kind of the file system on the volume at path, which is made now if there is none; nobody else uses it.

    Failed: there is none, and none may be made.
    """
    volume_id = attachment.volume_id
    with filemounts.opened(path, attachment.read_only, device=True) as file_fd:
        begun = store.is_formatting(volume_id)
        found = None if begun else filesystems.described(file_fd)
        if found is not None:
            return found.fs_type
        if attachment.read_only:
            raise errors.Failed(f"volume {volume_id} holds no file system, and none is made where it is only read")
        if not begun:
            _refuse_contents(attachment, path, file_fd)
            store.note_formatting(volume_id, True)
        crash.point("netd.format.noted")
        _make(volume_id, path)
        os.fsync(file_fd)
    crash.point("netd.format.made")
    store.note_formatting(volume_id, False)
    LOG.info("volume %s: has its file system now", volume_id)
    return "xfs"


def _refuse_contents(attachment: Attachment, path: str, file_fd: int) -> None:
    volume_id = attachment.volume_id
    if attachment.formatted:
        raise errors.Failed(f"volume {volume_id} had a file system and has none any more; none is made over it")
    size = os.lseek(file_fd, 0, os.SEEK_END)
    known = _run(["/sbin/blkid", "-p", "-u", "filesystem,raid,crypto,other", path])
    ends = (os.pread(file_fd, _END_BYTES, place) for place in (0, max(0, size - _END_BYTES)))
    if known.returncode != _NOTHING_FOUND or any(end.strip(b"\0") for end in ends):
        raise errors.Failed(
            f"volume {volume_id} holds something that is neither xfs nor ext4; empty it, or use another one"
        )


def _make(volume_id: str, path: str) -> None:
    # -f: what a maker that was cut off left behind
    made = _run(["/sbin/mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1", path])
    if made.returncode:
        LOG.error("volume %s: no file system could be made: %s", volume_id, made.stderr.strip()[-500:])
        raise errors.Failed(f"volume {volume_id} could not be given a file system; the host's log says why")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TOOL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise errors.Failed(f"{command[0]} took longer than {_TOOL_SECONDS} s and was ended") from error
