# SPDX-License-Identifier: Apache-2.0
"""What the control plane needs of whoever owns volumes: embedded, or Cinder."""

from __future__ import annotations

from typing import Protocol

from zun_lite.domain.caller import Caller
from zun_lite.domain.spec import MountRequest
from zun_lite.domain.wiring import Attachment


class VolumeProvider(Protocol):
    """Look-ups use the caller's rights; provide and release act for the service, idempotent by workload."""

    def resolve(self, caller: Caller, ident: str) -> tuple[str, str | None]:
        """(volume id, host uuid or None) of a volume that can be mounted, by its id or name.

        host uuid: the only host on which the volume can be attached. NotFound, Ambiguous;
        NotUsable: it is in use or not available.
        """
        ...

    def prepare(self, caller: Caller, workload_uuid: str, position: int, request: MountRequest) -> MountRequest:
        """What is to be provided later, with what only the caller may make; undone by abandon(). Not idempotent."""
        ...

    def abandon(self, workload_uuid: str) -> None:
        """Undo prepare() for a workload that does not come to be."""
        ...

    def provide(
        self, workload_uuid: str, project_id: str, host_uuid: str, position: int, request: MountRequest
    ) -> Attachment:
        """The attachment at this position of the workload, made now if it is not yet.

        NotUsable, NotFound: it cannot be had; final. Unavailable: try again.
        """
        ...

    def release(self, workload_uuid: str) -> None:
        """End the workload's attachments; volumes that were made for it are deleted."""
        ...

    def tidy(self) -> list[str]:
        """Undo prepare() for those that died in between; sentences for the log. Called in every pass."""
        ...
