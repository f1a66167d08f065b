# SPDX-License-Identifier: Apache-2.0
"""Volumes of this host's workloads: made in the pool when they are first needed, attached, detached.

Which file is whose and how it is made is the pool's; netd does what needs the kernel.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Protocol

from zun_lite.agent.pool import Pool, PoolNetd
from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.wiring import Attachment

LOG = logging.getLogger(__name__)


class DiskNetd(PoolNetd, Protocol):
    """What is asked of netd for volumes."""

    def attach(self, attachment: Attachment, path: str) -> str: ...

    def ready(self, attachment: Attachment) -> None: ...

    def connector(self, host_name: str, address: str) -> dict[str, Any]: ...


class Disks:
    """The volumes under pool_dir, or in the pool that is given. Different volumes may be worked on at once."""

    def __init__(self, pool_dir: str, netd: DiskNetd, pool: Pool | None = None) -> None:
        self.pool = pool or Pool(pool_dir, netd)
        self._netd = netd
        self._connector: dict[str, Any] | None = None

    def connector(self, host_name: str, address: str) -> dict[str, Any]:
        """What os-brick says of this host, asked once; empty where it is not installed, or cannot be asked now."""
        if self._connector is None:
            try:
                self._connector = self._netd.connector(host_name, address)
            except errors.ZunError as error:
                LOG.warning("what this host is to drivers of volumes is not known yet: %s", error.message)
        return self._connector or {}

    def path(self, attachment: Attachment) -> str:
        """Where the volume's file is or would be in the pool; empty for one that netd has to connect."""
        return "" if attachment.connection is not None else self.pool.path(attachment.volume_id)

    def exists(self, volume_id: str) -> bool:
        return self.pool.exists(volume_id)

    def make(self, attachment: Attachment, formatted: bool) -> None:
        """See that the volume's file is there, with a file system.

        formatted: anyone says that it once had one. NotFound: then a missing file is lost data, and
        making a new one would hide that.
        """
        volume_id = attachment.volume_id
        if attachment.connection is not None:
            self._connect(replace(attachment, formatted=formatted or attachment.formatted))
            return
        if self.pool.exists(volume_id):
            return
        if formatted or attachment.formatted:
            raise errors.NotFound(f"The data of volume {volume_id} is not on this host.")
        crash.point("agent.disk.before")
        self.pool.make(volume_id, attachment.size_gib, attachment.fs_type)
        crash.point("agent.disk.made")

    def attach(self, attachment: Attachment) -> str:
        """The folder to bind, mounted."""
        source = self._netd.attach(attachment, self.path(attachment))
        crash.point("agent.disk.attached")
        return source

    def detach(self, volume_id: str, epoch: int) -> None:
        """Unmount it, unless a newer attachment holds it, which is then not ours to end."""
        try:
            self._netd.detach(volume_id, epoch)
        except errors.NotFound:
            return
        except errors.Conflict as error:
            LOG.warning("volume %s: left attached, a newer attachment holds it: %s", volume_id, error)

    def _connect(self, attachment: Attachment) -> None:
        crash.point("agent.disk.connect")
        try:
            self._netd.ready(attachment)
        except errors.NotFound as error:
            raise errors.Unavailable(f"Volume {attachment.volume_id} is not there yet: {error.message}") from error

    def destroy(self, volume_id: str) -> None:
        """Take away a volume that its owner deleted, with its data."""
        self.pool.destroy(volume_id)
