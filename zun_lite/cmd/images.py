# SPDX-License-Identifier: Apache-2.0
"""Images without a registry: from a root file system at hand, and the built-in demo image.

Images made here bear the label zun.image with the cluster's name, so that they can be found again.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Callable
from typing import Any

from zun_lite.cmd.engine import Engine
from zun_lite.common.busybox import BUSYBOX, LABEL_IMAGE, layer
from zun_lite.domain import errors

LABEL_DEMO = "zun.demo"
DEMO = ("demo", "latest")
_NAME = re.compile(r"^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
_SHELLS = {"bin/sh", "usr/bin/sh"}


def split_reference(reference: str) -> tuple[str, str]:
    """("name", "tag") of NAME[:TAG]; latest when no tag is given."""
    name, colon, tag = reference.partition(":")
    if not _NAME.match(name) or (colon and not _TAG.match(tag)):
        raise errors.Invalid(f'"{reference}" is not an image name; use lower-case letters and digits, as in myapp:1.0.')
    return name, tag or "latest"


def import_image(engine: Engine, path: str, reference: str, cluster: str) -> str:
    """Make an image from a root file system, a folder or a tar; answers its id.

    The image's command is /bin/sh where the root file system has one, else it has none.
    """
    name, tag = split_reference(reference)
    if os.path.isdir(path):
        has_shell = any(os.path.lexists(os.path.join(path, shell)) for shell in _SHELLS)
        changes = _changes(cluster, has_shell)
        command = ["tar", "-C", path, "--numeric-owner", "-cf", "-", "."]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as packing:
            assert packing.stdout is not None
            image_id = engine.import_image(packing.stdout, name, tag, changes)
        if packing.returncode:
            engine.remove_image(f"{name}:{tag}")
            raise errors.Failed(f"{path} could not be packed whole (tar: status {packing.returncode}); see above.")
        return image_id
    if not os.path.isfile(path):
        raise errors.NotFound(f"{path} is neither a file nor a folder; name a tar or a folder of a root file system.")
    changes = _changes(cluster, _tar_has_shell(path))
    with open(path, "rb") as stream:
        return engine.import_image(stream, name, tag, changes)


def make_demo(engine: Engine, cluster: str, say: Callable[[str], None]) -> None:
    """demo:latest from Debian's static busybox, unless it is there already."""
    reference = ":".join(DEMO)
    there = engine.image(reference)
    labels: dict[str, Any] = ((there or {}).get("Config") or {}).get("Labels") or {}
    if there and LABEL_DEMO not in labels:
        say(f"image {reference} is there, and not of our making; it is used as it is")
        return
    content = layer(BUSYBOX)
    digest = hashlib.sha256(content).hexdigest()
    if labels.get(LABEL_DEMO) == digest:
        return
    changes = ['CMD ["sh"]', f"LABEL {LABEL_DEMO}={digest}", f"LABEL {LABEL_IMAGE}={cluster}"]
    engine.import_image(io.BytesIO(content), *DEMO, changes)
    say(f"image {reference} made from {BUSYBOX} ({len(content) // 1024} KiB)")


def remove_all(engine: Engine, cluster: str) -> tuple[list[str], list[str]]:
    """Remove the images that this installation made; the names of those, and of what others' containers are made of."""
    removed, kept = [], []
    for image in engine.images(f"{LABEL_IMAGE}={cluster}"):
        for reference in image.get("RepoTags") or [image["Id"]]:
            try:
                engine.remove_image(image["Id"] if reference == "<none>:<none>" else reference)
                removed.append(reference)
            except errors.Failed:
                kept.append(reference)
    return removed, kept


def _changes(cluster: str, has_shell: bool) -> list[str]:
    return [f"LABEL {LABEL_IMAGE}={cluster}", *(['CMD ["/bin/sh"]'] if has_shell else [])]


def _tar_has_shell(path: str) -> bool:
    """Whether a tar holds a shell; reads no further than it must. Refuses what is no root file system."""
    try:
        with tarfile.open(path, "r|*") as tar:
            names = set()
            for member in tar:
                name = member.name.removeprefix("./").strip("/")
                if name in _SHELLS:
                    return True
                names.add(name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise errors.Invalid(f"{path} is not a tar that can be read (plain, gzip, bzip2 or xz): {error}.") from error
    if "manifest.json" in names and ("repositories" in names or "oci-layout" in names or len(names) < 64):
        raise errors.Invalid(
            f"{path} is an image saved by docker, not a root file system; bring it in with: docker load -i {path}"
        )
    return False
