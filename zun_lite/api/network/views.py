# SPDX-License-Identifier: Apache-2.0
"""Records as Neutron shows them. Lists are never null; what only operators should see is left out for others."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from zun_lite.db.networks import Network
from zun_lite.db.ports import Port
from zun_lite.db.qos import Limit, Policy
from zun_lite.db.subnet_pools import SubnetPool
from zun_lite.db.subnets import Subnet
from zun_lite.network.qos import BANDWIDTH_LIMIT

NETWORK_TYPE = "vxlan"


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
        "is_default": record.is_default,
        "qos_policy_id": record.qos_policy,
        "mtu": record.mtu,
        "subnets": list(subnet_ids),
        "port_security_enabled": record.port_security,
        "availability_zone_hints": list(record.zone_hints),
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "tags": [],
        **_standard(record),
    }
    if admin:
        view |= {
            "provider:network_type": NETWORK_TYPE,
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
        "ipv6_address_mode": record.ipv6_address_mode,
        "ipv6_ra_mode": record.ipv6_ra_mode,
        "subnetpool_id": record.subnet_pool,
        "service_types": [],
        "tags": [],
        **_standard(record),
    }


def subnet_pool(record: SubnetPool) -> dict[str, Any]:
    return {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "ip_version": record.ip_version,
        "prefixes": list(record.prefixes),
        "default_prefixlen": record.default_prefixlen,
        "min_prefixlen": record.min_prefixlen,
        "max_prefixlen": record.max_prefixlen,
        "default_quota": record.default_quota,
        "address_scope_id": None,
        "shared": record.shared,
        "is_default": record.default_for is not None,
        "tags": [],
        **_standard(record),
    }


def port(record: Port, *, admin: bool, host_names: Mapping[str, str], network_policy: str | None) -> dict[str, Any]:
    """host_names: by host uuid. network_policy: the QoS policy of its network."""
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
        "port_security_enabled": record.port_security,
        "allowed_address_pairs": [
            {"ip_address": address, "mac_address": mac or record.mac} for address, mac in record.address_pairs
        ],
        "extra_dhcp_opts": [],
        "qos_policy_id": record.qos_policy,
        "qos_network_policy_id": network_policy,
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


def policy(record: Policy, limits: Sequence[Limit]) -> dict[str, Any]:
    return {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "shared": record.shared,
        "is_default": record.default_of is not None,
        "rules": [{**limit(each), "type": BANDWIDTH_LIMIT, "qos_policy_id": record.uuid} for each in limits],
        "tags": [],
        **_standard(record),
    }


def limit(record: Limit) -> dict[str, Any]:
    return {
        "id": record.uuid,
        "max_kbps": record.max_kbps,
        "max_burst_kbps": record.max_burst_kbps,
        "direction": record.direction,
    }


def _standard(record: Network | Subnet | SubnetPool | Port | Policy) -> dict[str, Any]:
    return {
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": record.revision,
    }


def moment(when: datetime.datetime) -> str:
    return when.isoformat(timespec="seconds") + "Z"
