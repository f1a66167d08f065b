# SPDX-License-Identifier: Apache-2.0
"""Root file systems out of Debian's static busybox: for images that need no registry.

Images made here bear the label zun.image with the cluster's name. It is not zun.cluster: Docker gives
an image's labels to every container made from it, and whoever bears zun.cluster is taken for a workload.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterable
from typing import BinaryIO

from zun_lite.domain import errors

LABEL_IMAGE = "zun.image"
BUSYBOX = "/bin/busybox"
_FOLDERS = {**dict.fromkeys(("bin", "dev", "etc", "proc", "sys", "var"), 0o755), "root": 0o700, "tmp": 0o1777}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def layer(busybox: str, applets: Iterable[str] | None = None) -> bytes:
    """A root file system as a tar, the same bytes each time for the same busybox. applets: all, if not said."""
    if not os.path.exists(busybox):
        raise errors.Failed(f"{busybox} is missing; `apt-get install busybox-static` brings it.")
    with open(busybox, "rb") as stream:
        program = stream.read()
    if b"/ld-" in program[:1024]:
        raise errors.Failed(f"{busybox} needs shared libraries; `apt-get install busybox-static` brings one without.")
    if applets is None:
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode in sorted(_FOLDERS.items()):
            tar.addfile(_entry(name, mode, tarfile.DIRTYPE))
        _add_file(tar, "bin/busybox", 0o755, program)
        for applet in sorted(set(applets) - {"busybox"}):
            link = _entry(f"bin/{applet}", 0o777, tarfile.SYMTYPE)
            link.linkname = "busybox"
            tar.addfile(link)
        for name, text in sorted(_FILES.items()):
            _add_file(tar, name, 0o644, text.encode())
    return buffer.getvalue()


def _entry(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type, entry.mtime = mode, kind, 0
    entry.uname = entry.gname = "root"
    return entry


def _add_file(tar: tarfile.TarFile, name: str, mode: int, content: bytes) -> None:
    entry = _entry(name, mode, tarfile.REGTYPE)
    entry.size = len(content)
    stream: BinaryIO = io.BytesIO(content)
    tar.addfile(entry, stream)
