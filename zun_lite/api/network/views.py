# SPDX-License-Identifier: Apache-2.0
"""Records as Neutron shows them. Lists are never null; what only operators should see is left out for others."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from zun_lite.db.networks import Network
from zun_lite.db.ports import Port
from zun_lite.db.security_groups import SecurityGroup
from zun_lite.db.subnets import Subnet


def network(record: Network, subnet_ids: Sequence[str], *, admin: bool) -> dict[str, Any]:
    view = {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "status": "ACTIVE",
        "admin_state_up": record.admin_state_up,
        "shared": record.shared,
        "router:external": record.external,
        "is_default": False,
        "mtu": record.mtu,
        "subnets": list(subnet_ids),
        "port_security_enabled": True,
        "availability_zone_hints": [],
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "tags": [],
        **_standard(record),
    }
    if admin:
        view |= {
            "provider:network_type": "vxlan",
            "provider:physical_network": None,
            "provider:segmentation_id": record.vni,
        }
    return view


def subnet(record: Subnet) -> dict[str, Any]:
    return {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "network_id": record.network_uuid,
        "ip_version": record.ip_version,
        "cidr": record.cidr,
        "gateway_ip": record.gateway_ip,
        "enable_dhcp": record.enable_dhcp,
        "allocation_pools": [{"start": first, "end": last} for first, last in record.pools],
        "dns_nameservers": list(record.dns),
        "host_routes": [{"destination": destination, "nexthop": nexthop} for destination, nexthop in record.routes],
        "ipv6_address_mode": record.ipv6_mode,
        "ipv6_ra_mode": record.ipv6_mode,
        "subnetpool_id": None,
        "service_types": [],
        "tags": [],
        **_standard(record),
    }


def port(record: Port, *, admin: bool, host_names: Mapping[str, str]) -> dict[str, Any]:
    """host_names: by host uuid."""
    view = {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "network_id": record.network_uuid,
        "mac_address": record.mac,
        "fixed_ips": [{"subnet_id": address.subnet_uuid, "ip_address": address.ip} for address in record.addresses],
        "status": "DOWN" if record.host is None else "ACTIVE",
        "admin_state_up": record.admin_state_up,
        "device_id": record.device_id,
        "device_owner": record.device_owner,
        "security_groups": list(record.security_groups),
        "port_security_enabled": True,
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "binding:vnic_type": "normal",
        "tags": [],
        **_standard(record),
    }
    if admin:
        host = record.host or ""
        view |= {
            "binding:host_id": host_names.get(host, host),
            "binding:profile": {},
            "binding:vif_type": "other" if host else "unbound",
            "binding:vif_details": {},
        }
    return view


def security_group(record: SecurityGroup) -> dict[str, Any]:
    moment = _moment(record.created_at)
    return {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "stateful": True,
        "shared": False,
        "security_group_rules": security_group_rules(record),
        "tags": [],
        "created_at": moment,
        "updated_at": moment,
        "revision_number": 1,
    }


def security_group_rules(group: SecurityGroup) -> list[dict[str, Any]]:
    """The rules that a project's default group begins with: all out, and in from its own members."""
    moment = _moment(group.created_at)
    return [
        {
            "id": str(uuid.uuid5(uuid.UUID(group.uuid), f"{direction} {ethertype}")),
            "security_group_id": group.uuid,
            "direction": direction,
            "ethertype": ethertype,
            "protocol": None,
            "port_range_min": None,
            "port_range_max": None,
            "remote_ip_prefix": None,
            "remote_group_id": group.uuid if direction == "ingress" else None,
            "remote_address_group_id": None,
            "normalized_cidr": None,
            "description": "",
            "project_id": group.project_id,
            "tenant_id": group.project_id,
            "created_at": moment,
            "updated_at": moment,
            "revision_number": 0,
        }
        for direction in ("egress", "ingress")
        for ethertype in ("IPv4", "IPv6")
    ]


def _standard(record: Network | Subnet | Port) -> dict[str, Any]:
    return {
        "created_at": _moment(record.created_at),
        "updated_at": _moment(record.updated_at),
        "revision_number": record.revision,
    }


def _moment(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="seconds") + "Z"
