# SPDX-License-Identifier: Apache-2.0
"""The image of capsules' sandboxes: a process that holds the network for others and does nothing.

Made of the machine's static busybox, so that no registry is needed; the same bytes for the same busybox.
Its process waits, reaps what it is left, and ends at once when told to.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from zun_lite.common.busybox import BUSYBOX, LABEL_IMAGE, layer

NAME = "zun-lite-sandbox"
COMMAND = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait $!; done"]


@dataclass(frozen=True)
class SandboxImage:
    """layer: the root file system as a tar. changes: lines of a Dockerfile. reference names just these."""

    reference: str
    layer: bytes
    changes: tuple[str, ...]


def build(cluster: str, busybox: str = BUSYBOX) -> SandboxImage:
    """Failed: the machine has no static busybox."""
    content = layer(busybox, ("sh", "sleep"))
    changes = (f"CMD {json.dumps(COMMAND)}", f"LABEL {LABEL_IMAGE}={cluster}")
    digest = hashlib.sha256(content + "\n".join(changes).encode()).hexdigest()[:16]
    return SandboxImage(f"{NAME}:{digest}", content, changes)
