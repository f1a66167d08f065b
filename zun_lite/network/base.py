# SPDX-License-Identifier: Apache-2.0
"""What the control plane needs of whoever owns networks and ports: embedded, or Neutron."""

from __future__ import annotations

from typing import Protocol

from zun_lite.domain.caller import Caller
from zun_lite.domain.spec import NetworkRequest
from zun_lite.domain.wiring import Endpoint

GROUP_NOT_FOUND = "SecurityGroupNotFound"
"""The kind of the NotFound that a security group which is gone causes."""


class NetworkProvider(Protocol):
    """Look-ups use the caller's rights; provide and release act for the service, idempotent by workload."""

    def resolve(self, caller: Caller, ident: str, *, choose_address: bool = False) -> str:
        """A network's id by its id or name. NotFound, Ambiguous; Forbidden: it is not for the caller to join so.

        choose_address: an address is to be asked for by name, which is for the network's owner.
        """
        ...

    def resolve_port(self, caller: Caller, ident: str) -> tuple[str, str]:
        """(port id, network id) of a free port by its id or name. NotFound, Ambiguous; InUse: it serves something."""
        ...

    def find_port(self, caller: Caller, ident: str) -> tuple[str, str]:
        """(port id, network id) of a port by its id or name, whatever it serves. NotFound, Ambiguous."""
        ...

    def resolve_group(self, caller: Caller, ident: str) -> str:
        """A security group's id by its id or name. NotFound, Ambiguous."""
        ...

    def remaining_groups(self, project_id: str, group_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Those of a project's security groups that are still there."""
        ...

    def default_network(self, caller: Caller) -> str:
        """The caller's oldest network, else the oldest shared one. Conflict: there is none."""
        ...

    def provide(
        self,
        workload_uuid: str,
        project_id: str,
        host_uuid: str,
        position: int,
        request: NetworkRequest,
        security_groups: tuple[str, ...] | None = None,
    ) -> Endpoint:
        """The port at this position of the workload, made or bound now if it is not yet.

        security_groups: ids of the groups that the port is to be in; empty is its project's default one, None
        leaves that to its owner.
        Which endpoint carries the default route is for the caller to say. InUse, Invalid, NotFound: it
        cannot be had; final. Unavailable: try again.
        """
        ...

    def renewed(self, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """What was provided, with what its subnets say now of gateways, routes and name servers.

        One whose port is gone stays as it is.
        """
        ...

    def open_ports(self, workload_uuid: str, project_id: str, exposed: tuple[str, ...]) -> str:
        """The id of a security group of the workload's that lets everybody in to these ports, like 80/tcp.

        Made now if it is not yet; it goes when all of the workload's ports are released.
        """
        ...

    def release(self, workload_uuid: str, *, positions: frozenset[int] | None = None) -> None:
        """Delete the ports that were made for the workload, and unbind those that its user brought.

        positions: of those ports alone.
        """
        ...
