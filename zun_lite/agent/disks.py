# SPDX-License-Identifier: Apache-2.0
"""Volumes of this host's workloads: made in the pool when they are first needed, attached, detached.

Which file is whose and how it is made is the pool's; netd does what needs the kernel.
"""

from __future__ import annotations

import logging
from typing import Protocol

from zun_lite.agent.pool import Pool, PoolNetd
from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.wiring import Attachment

LOG = logging.getLogger(__name__)


class DiskNetd(PoolNetd, Protocol):
    """What is asked of netd for volumes."""

    def attach(self, attachment: Attachment, path: str) -> str: ...


class Disks:
    """The volumes under pool_dir, or in the pool that is given. Different volumes may be worked on at once."""

    def __init__(self, pool_dir: str, netd: DiskNetd, pool: Pool | None = None) -> None:
        self.pool = pool or Pool(pool_dir, netd)
        self._netd = netd

    def path(self, volume_id: str) -> str:
        """Where a volume's file is or would be."""
        return self.pool.path(volume_id)

    def exists(self, volume_id: str) -> bool:
        return self.pool.exists(volume_id)

    def make(self, attachment: Attachment, formatted: bool) -> None:
        """See that the volume's file is there, with a file system.

        formatted: anyone says that it once had one. NotFound: then a missing file is lost data, and
        making a new one would hide that.
        """
        volume_id = attachment.volume_id
        if self.pool.exists(volume_id):
            return
        if formatted or attachment.formatted:
            raise errors.NotFound(f"The data of volume {volume_id} is not on this host.")
        crash.point("agent.disk.before")
        self.pool.make(volume_id, attachment.size_gib, attachment.fs_type)
        crash.point("agent.disk.made")

    def attach(self, attachment: Attachment) -> str:
        """The folder to bind, mounted."""
        source = self._netd.attach(attachment, self.path(attachment.volume_id))
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

    def destroy(self, volume_id: str) -> None:
        """Take away a volume that its owner deleted, with its data."""
        self.pool.destroy(volume_id)
