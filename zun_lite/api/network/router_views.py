# SPDX-License-Identifier: Apache-2.0
"""Routers and floating IPs as Neutron shows them."""

from __future__ import annotations

from typing import Any

from zun_lite.api.network.views import moment
from zun_lite.db.floating_ips import FloatingIp
from zun_lite.db.ports import Port
from zun_lite.db.routers import Router


def router(record: Router, gateway: Port | None) -> dict[str, Any]:
    """gateway: its leg outside, if it has one."""
    return {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "status": "ACTIVE" if record.admin_state_up else "DOWN",
        "admin_state_up": record.admin_state_up,
        "external_gateway_info": _gateway(record, gateway) if gateway is not None else None,
        "routes": [{"destination": destination, "nexthop": nexthop} for destination, nexthop in record.routes],
        "distributed": False,
        "ha": False,
        "availability_zone_hints": [],
        "availability_zones": ["nova"] if record.host is not None else [],
        "flavor_id": None,
        "tags": [],
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": record.revision,
    }


def floating_ip(record: FloatingIp, port: Port | None) -> dict[str, Any]:
    """port: what it leads to, if it leads anywhere."""
    return {
        "id": record.uuid,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "floating_network_id": record.network_uuid,
        "floating_ip_address": record.address,
        "fixed_ip_address": record.fixed_ip,
        "port_id": record.fixed_port,
        "router_id": record.router_uuid,
        "status": "ACTIVE" if record.router_uuid is not None else "DOWN",
        "port_details": _port_details(port) if port is not None else None,
        "dns_domain": "",
        "dns_name": "",
        "port_forwardings": [],
        "qos_policy_id": None,
        "tags": [],
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": record.revision,
    }


def _gateway(record: Router, gateway: Port) -> dict[str, Any]:
    return {
        "network_id": gateway.network_uuid,
        "enable_snat": record.enable_snat,
        "external_fixed_ips": [
            {"subnet_id": address.subnet_uuid, "ip_address": address.ip} for address in gateway.addresses
        ],
    }


def _port_details(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "network_id": port.network_uuid,
        "mac_address": port.mac,
        "admin_state_up": port.admin_state_up,
        "status": "DOWN" if port.host is None else "ACTIVE",
        "device_id": port.device_id,
        "device_owner": port.device_owner,
    }
