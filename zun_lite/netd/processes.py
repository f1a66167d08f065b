# SPDX-License-Identifier: Apache-2.0
"""Which processes are containers': found by the control group that the engine put them in.

That is named by the container's id, whatever else is in its path. Only the first id of a path counts: what
is under it is the container's own to name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_ID = re.compile(rb"[0-9a-f]{64}")


def of_containers(container_ids: Iterable[str]) -> dict[str, int]:
    """{container id: its first process} of those that run."""
    wanted = {container_id.encode() for container_id in container_ids}
    found: dict[str, int] = {}
    if not wanted:
        return found
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        for container_id in wanted.intersection(_ids_of(pid)):
            found.setdefault(container_id.decode(), pid)
    return found


def _ids_of(pid: int) -> set[bytes]:
    try:
        with open(f"/proc/{pid}/cgroup", "rb") as file:
            first = (_ID.search(line) for line in file)
            return {match[0] for match in first if match}
    except OSError:
        # it ended while we looked
        return set()
