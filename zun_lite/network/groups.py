# SPDX-License-Identifier: Apache-2.0
"""What may be done with security groups and their rules, whoever asks for it.

Every function takes a transaction; who may see or change what is the edge's matter. Errors bear
Neutron's types. A change is told to the hosts of its project (zun_lite.db.planes).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import planes, ports, security_group_rules, security_groups, tags
from zun_lite.db.security_group_rules import SecurityGroupRule
from zun_lite.db.security_groups import DEFAULT, SecurityGroup
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.domain.plane import Rule
from zun_lite.network import cidr, protocols

INGRESS, EGRESS = "ingress", "egress"
DIRECTIONS = (INGRESS, EGRESS)
ETHERTYPES = ("IPv4", "IPv6")
_EVERYBODY = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class WantedRule:
    """A rule as asked for. remote_prefix: an address or prefix. remote_group: a group's uuid."""

    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_prefix: str | None = None
    remote_group: str | None = None
    description: str = ""


def default_group(tx: sa.Connection, project_id: str) -> SecurityGroup:
    """The project's default group, made now if it was never asked for: all out, and in from its own members."""
    found = security_groups.default_of(tx, project_id)
    if found is not None:
        return found
    made = security_groups.insert(
        tx,
        uuid=new_id(),
        project_id=project_id,
        name=DEFAULT,
        description="Default security group",
        default_of=project_id,
    )
    for ethertype in ETHERTYPES:
        _insert(tx, made, project_id, WantedRule(EGRESS, ethertype))
        _insert(tx, made, project_id, WantedRule(INGRESS, ethertype, remote_group=made.uuid))
    return made


def create_group(
    tx: sa.Connection, project_id: str, *, name: str, description: str = "", workload_uuid: str | None = None
) -> SecurityGroup:
    """A group that lets all out and nothing in. workload_uuid: the container that it is made for."""
    default_group(tx, project_id)
    if name == DEFAULT:
        raise errors.Conflict(
            "Default security group already exists; choose another name.", kind="SecurityGroupDefaultAlreadyExists"
        )
    made = security_groups.insert(
        tx,
        uuid=new_id(),
        project_id=project_id,
        name=name,
        description=description,
        workload_uuid=workload_uuid,
    )
    for ethertype in ETHERTYPES:
        _insert(tx, made, project_id, WantedRule(EGRESS, ethertype))
    return made


def change_group(tx: sa.Connection, group: SecurityGroup, changes: Mapping[str, Any]) -> SecurityGroup:
    """changes: name, description."""
    if group.default_of is not None and changes.get("name", DEFAULT) != DEFAULT:
        raise errors.Conflict(
            "Updating the name of the default security group is not allowed; change its description or rules.",
            kind="SecurityGroupCannotUpdateDefault",
        )
    if group.default_of is None and changes.get("name") == DEFAULT:
        raise errors.Conflict(
            "Default security group already exists; choose another name.", kind="SecurityGroupDefaultAlreadyExists"
        )
    if changes:
        security_groups.update(tx, group.uuid, changes)
    return security_groups.get(tx, group.uuid) or group


def delete_group(tx: sa.Connection, group: SecurityGroup, *, default_too: bool = False) -> None:
    """With its rules, and those of others that name it. SecurityGroupInUse while a port is in it."""
    if group.default_of is not None and not default_too:
        raise errors.Conflict(
            "Insufficient rights for removing default security group.", kind="SecurityGroupCannotRemoveDefault"
        )
    if ports.some_of_group(tx, group.uuid):
        raise errors.InUse(f"Security Group {group.uuid} in use.", kind="SecurityGroupInUse")
    security_group_rules.remove_of_group(tx, group.uuid)
    security_groups.remove(tx, group.uuid)
    tags.remove_all(tx, group.uuid)
    planes.changed(tx, group.project_id)


def create_rule(tx: sa.Connection, group: SecurityGroup, project_id: str, wanted: WantedRule) -> SecurityGroupRule:
    """SecurityGroupRuleExists: the group has one that lets the same through."""
    if wanted.remote_group is not None:
        other = security_groups.get(tx, wanted.remote_group)
        if other is None or other.project_id != group.project_id:
            raise errors.NotFound(f"Security group {wanted.remote_group} does not exist.", kind="SecurityGroupNotFound")
    made = _insert(tx, group, project_id, wanted)
    planes.changed(tx, group.project_id)
    return made


def delete_rule(tx: sa.Connection, rule: SecurityGroupRule) -> None:
    security_group_rules.remove(tx, rule.uuid)
    group = security_groups.get(tx, rule.group_uuid)
    if group is not None:
        security_groups.update(tx, group.uuid, {})
        planes.changed(tx, group.project_id)


def open_ports(tx: sa.Connection, workload_uuid: str, project_id: str, exposed: Iterable[str]) -> SecurityGroup:
    """The group of a container that lets everybody in to these ports (like 80/tcp), made now if it is not yet."""
    found = security_groups.of_workload(tx, workload_uuid)
    if found is not None:
        return found
    made = create_group(
        tx,
        project_id,
        name=f"zun-{workload_uuid}",
        description="For the exposed ports of a container; it goes with it",
        workload_uuid=workload_uuid,
    )
    for text in dict.fromkeys(exposed):
        number, _, protocol = text.partition("/")
        for ethertype in ETHERTYPES:
            wanted = WantedRule(INGRESS, ethertype, protocol or "tcp", int(number), int(number))
            _insert(tx, made, project_id, wanted)
    return made


def compiled(rule: SecurityGroupRule) -> Rule:
    """A rule as hosts are told it."""
    number = protocols.number_of(rule.protocol, rule.ethertype)
    prefix = rule.remote_prefix if rule.remote_prefix not in _EVERYBODY else None
    remote_prefix = normalised(prefix) if prefix is not None else None
    ends = (rule.port_min, rule.port_max)
    return Rule(rule.direction, rule.ethertype, number, *ends, remote_prefix, rule.remote_group)


def normalised(prefix: str) -> str:
    """The prefix without the bits beyond its length."""
    return str(ipaddress.ip_network(prefix, strict=False))


def _insert(tx: sa.Connection, group: SecurityGroup, project_id: str, wanted: WantedRule) -> SecurityGroupRule:
    number = protocols.number_of(wanted.protocol, wanted.ethertype)
    protocols.check_ports(wanted.protocol, number, wanted.port_min, wanted.port_max)
    if wanted.remote_prefix is not None and wanted.remote_group is not None:
        raise errors.Invalid(
            "Only remote_ip_prefix or remote_group_id may be provided.",
            kind="SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    prefix = _checked_prefix(wanted)
    meaning = _meaning(wanted, number, prefix)
    twin = security_group_rules.meaning_this(tx, group.uuid, meaning)
    if twin is not None:
        raise errors.Conflict(
            f"Security group rule already exists. Rule id is {twin.uuid}.", kind="SecurityGroupRuleExists"
        )
    return security_group_rules.insert(
        tx,
        uuid=new_id(),
        group_uuid=group.uuid,
        project_id=project_id,
        description=wanted.description,
        direction=wanted.direction,
        ethertype=wanted.ethertype,
        protocol=wanted.protocol,
        port_min=wanted.port_min,
        port_max=wanted.port_max,
        remote_prefix=prefix,
        remote_group=wanted.remote_group,
        meaning=meaning,
    )


def _checked_prefix(wanted: WantedRule) -> str | None:
    """With its length."""
    text = wanted.remote_prefix
    if text is None:
        return None
    try:
        prefix = ipaddress.ip_interface(text)
    except ValueError:
        raise cidr.bad_input(f"'{text}' is not a valid IP address or CIDR for remote_ip_prefix.") from None
    if "%" in text:
        raise cidr.bad_input(f"'{text}' is not a valid IP address or CIDR for remote_ip_prefix.")
    if wanted.ethertype != f"IPv{prefix.version}":
        raise errors.Invalid(
            f"Conflicting value ethertype {wanted.ethertype} for CIDR {text}.",
            kind="SecurityGroupRuleParameterConflict",
        )
    return str(prefix)


def _meaning(wanted: WantedRule, number: int | None, prefix: str | None) -> str:
    remote = normalised(prefix) if prefix is not None else wanted.remote_group or "everybody"
    if remote in _EVERYBODY:
        remote = "everybody"
    return f"{wanted.direction} {wanted.ethertype} {number} {wanted.port_min} {wanted.port_max} {remote}"
