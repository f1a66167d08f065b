# SPDX-License-Identifier: Apache-2.0
"""Security groups and their rules as Neutron shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zun_lite.api.network.views import moment
from zun_lite.db.security_group_rules import SecurityGroupRule
from zun_lite.db.security_groups import SecurityGroup
from zun_lite.network.groups import normalised


def security_group(record: SecurityGroup, rules: Sequence[SecurityGroupRule]) -> dict[str, Any]:
    return {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "stateful": True,
        "shared": False,
        "security_group_rules": [rule(each) for each in rules],
        "tags": [],
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": record.revision,
    }


def rule(record: SecurityGroupRule) -> dict[str, Any]:
    prefix = record.remote_prefix
    return {
        "id": record.uuid,
        "security_group_id": record.group_uuid,
        "direction": record.direction,
        "ethertype": record.ethertype,
        "protocol": record.protocol,
        "port_range_min": record.port_min,
        "port_range_max": record.port_max,
        "remote_ip_prefix": prefix,
        "normalized_cidr": normalised(prefix) if prefix is not None else None,
        "remote_group_id": record.remote_group,
        "remote_address_group_id": None,
        "description": record.description,
        "project_id": record.project_id,
        "tenant_id": record.project_id,
        "created_at": moment(record.created_at),
        "updated_at": moment(record.created_at),
        "revision_number": 0,
    }
