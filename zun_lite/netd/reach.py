# SPDX-License-Identifier: Apache-2.0
"""How this host reaches a volume that is not in its own pool: what Cinder calls a connection.

One of the kind `local` names a file or a device that the host sees anyway; it has to be in a folder that the
operator named. All others are os-brick's. Each step may be asked for again. Knows nothing of mounts or records.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from zun_lite.domain import errors
from zun_lite.netd import brick

Connection = dict[str, Any]
LOCAL = "local"


class Reach:
    """local_dirs: where files of local connections may be. lock_dir: for os-brick. ask: os-brick, in a process."""

    def __init__(
        self,
        local_dirs: tuple[str, ...],
        lock_dir: str,
        multipath: bool = False,
        ask: Callable[[str, dict[str, Any]], dict[str, Any]] = brick.ask,
    ) -> None:
        self._local_dirs = tuple(os.path.realpath(folder) for folder in local_dirs)
        self._usual = {"lock_dir": lock_dir, "multipath": multipath}
        self._ask = ask

    def connector(self, host_name: str, address: str) -> dict[str, Any]:
        """What Cinder's drivers need to know of this host; empty where os-brick is not installed."""
        if not brick.is_here():
            return {}
        return self._ask("properties", {**self._usual, "host": host_name, "ip": address})["connector"]

    def reach(self, volume_id: str, connection: Connection) -> str:
        """The path of the volume's file or device, connected now if it is not.

        NotFound: it is not there, perhaps not yet. Invalid, Failed: it cannot be reached.
        """
        if connection["driver_volume_type"] != LOCAL:
            path = os.path.realpath(self._ask("connect", {**self._usual, **connection})["path"])
        else:
            path = self._local(volume_id, connection)
        if not os.path.exists(path):
            raise errors.NotFound(f"volume {volume_id} is connected and not there")
        return path

    def leave(self, connection: Connection) -> None:
        """End a connection that nothing uses any more."""
        if connection["driver_volume_type"] != LOCAL:
            self._ask("disconnect", {**self._usual, **connection})

    def _local(self, volume_id: str, connection: Connection) -> str:
        path = connection["data"].get("device_path")
        if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
            raise errors.Invalid(f"the connection of volume {volume_id} names no path")
        folder, name = os.path.split(os.path.normpath(path))
        folder = os.path.realpath(folder)
        if not any(os.path.commonpath((folder, allowed)) == allowed for allowed in self._local_dirs):
            raise errors.Invalid(
                f"volume {volume_id} is in {folder}, which is none of the folders in [netd] local_volume_dirs"
            )
        return os.path.join(folder, name)
