# SPDX-License-Identifier: Apache-2.0
"""What may be done with QoS policies and their limits, whoever asks for it.

Every function takes a transaction. A change of a policy reaches hosts by the projects whose networks have
to do with it (zun_lite.db.planes). Errors bear Neutron's types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from zun_lite.db import networks, planes, ports, qos, revisions, tags
from zun_lite.db.qos import EGRESS, INGRESS, Limit, Policy
from zun_lite.domain import errors
from zun_lite.domain.names import new_id

DIRECTIONS = (EGRESS, INGRESS)
BANDWIDTH_LIMIT = "bandwidth_limit"
"""The one type of rule that there is."""
MOST_KBPS = 34_000_000
"""What a host's kernel can hold a link to."""
MOST_BURST_KBIT = 2**31 - 1


def create_policy(
    tx: sa.Connection,
    project_id: str,
    *,
    name: str = "",
    description: str = "",
    shared: bool = False,
    is_default: bool = False,
) -> Policy:
    """is_default: the project's new networks get it. Conflict: the project has another default."""
    if is_default:
        _check_no_other_default(tx, project_id)
    return qos.insert(
        tx,
        uuid=new_id(),
        project_id=project_id,
        name=name,
        description=description,
        shared=shared,
        default_of=project_id if is_default else None,
    )


def change_policy(tx: sa.Connection, policy: Policy, changes: Mapping[str, Any]) -> Policy:
    """changes: by column name, and is_default. A policy that other projects use stays shared."""
    wanted = dict(changes)
    revisions.raise_one(tx, _scope(policy.uuid))
    is_default = wanted.pop("is_default", policy.default_of is not None)
    if is_default and policy.default_of is None:
        _check_no_other_default(tx, policy.project_id)
    if is_default != (policy.default_of is not None):
        wanted["default_of"] = policy.project_id if is_default else None
    if policy.shared and wanted.get("shared") is False:
        _check_unused(tx, policy, besides=policy.project_id)
    if wanted:
        qos.update(tx, policy.uuid, wanted)
    return qos.get(tx, policy.uuid) or policy


def delete_policy(tx: sa.Connection, policy: Policy) -> None:
    """QosPolicyInUse while a port or a network has it."""
    revisions.raise_one(tx, _scope(policy.uuid))
    _check_unused(tx, policy)
    qos.delete(tx, policy.uuid)
    tags.remove_all(tx, policy.uuid)
    tx.execute(sa.delete(revisions.revisions).where(revisions.revisions.c.scope == _scope(policy.uuid)))


def add_limit(
    tx: sa.Connection, policy: Policy, *, max_kbps: int, max_burst_kbps: int = 0, direction: str = EGRESS
) -> Limit:
    """QoSRulesConflict: the policy has a limit of that direction already."""
    revisions.raise_one(tx, _scope(policy.uuid))
    _check_no_other(tx, policy, direction, None)
    uuid = new_id()
    qos.add_limit(
        tx,
        uuid=uuid,
        policy_uuid=policy.uuid,
        direction=direction,
        max_kbps=max_kbps,
        max_burst_kbps=max_burst_kbps,
    )
    _tell(tx, policy)
    return limit(tx, policy, uuid)


def change_limit(tx: sa.Connection, policy: Policy, uuid: str, changes: Mapping[str, Any]) -> Limit:
    """changes: by column name. QosRuleNotFound, QoSRulesConflict."""
    revisions.raise_one(tx, _scope(policy.uuid))
    known = limit(tx, policy, uuid)
    _check_no_other(tx, policy, changes.get("direction", known.direction), known)
    qos.change_limit(tx, known.uuid, changes)
    _tell(tx, policy)
    return limit(tx, policy, uuid)


def remove_limit(tx: sa.Connection, policy: Policy, uuid: str) -> None:
    """QosRuleNotFound."""
    revisions.raise_one(tx, _scope(policy.uuid))
    qos.remove_limit(tx, limit(tx, policy, uuid).uuid)
    _tell(tx, policy)


def limit(tx: sa.Connection, policy: Policy, uuid: str) -> Limit:
    """One of the policy's. NotFound."""
    for known in qos.limits_of(tx, [policy.uuid]).get(policy.uuid, ()):
        if known.uuid == uuid:
            return known
    raise errors.NotFound(f"QoS rule {uuid} for policy {policy.uuid} could not be found.", kind="QosRuleNotFound")


def usable(tx: sa.Connection, uuid: str, project_id: str, *, any_project: bool = False) -> str:
    """The policy's uuid, where the project may use it. NotFound.

    any_project: an administrator asks, who may also use those of other projects.
    """
    policy = qos.get(tx, uuid)
    if policy is None or not (any_project or _is_for(policy, project_id)):
        raise not_found(uuid)
    return policy.uuid


def check_removable(tx: sa.Connection, uuid: str, project_id: str, *, any_project: bool = False) -> None:
    """Forbidden: the policy is not the project's to use, so it was put there by an administrator."""
    policy = qos.get(tx, uuid)
    if policy is not None and not (any_project or _is_for(policy, project_id)):
        raise errors.Forbidden(
            f"Failed to remove provided policy {uuid} because you are not authorized.",
            kind="PolicyRemoveAuthorizationError",
        )


def not_found(ident: str) -> errors.NotFound:
    return errors.NotFound(f"QoS policy {ident} could not be found.", kind="QosPolicyNotFound")


def _is_for(policy: Policy, project_id: str) -> bool:
    return policy.shared or policy.project_id == project_id


def _tell(tx: sa.Connection, policy: Policy) -> None:
    qos.update(tx, policy.uuid, {})
    planes.policy_changed(tx, policy.uuid)


def _check_no_other_default(tx: sa.Connection, project_id: str) -> None:
    if qos.default_of(tx, project_id) is not None:
        raise errors.Conflict(
            f"A default QoS policy exists for project {project_id}.", kind="QoSPolicyDefaultAlreadyExists"
        )


def _check_no_other(tx: sa.Connection, policy: Policy, direction: str, known: Limit | None) -> None:
    for other in qos.limits_of(tx, [policy.uuid]).get(policy.uuid, ()):
        if other.direction == direction and (known is None or other.uuid != known.uuid):
            raise errors.Conflict(
                f"Rule {BANDWIDTH_LIMIT} conflicts with rule {other.uuid} which already exists in QoS Policy "
                f"{policy.uuid}.",
                kind="QoSRulesConflict",
            )


def _check_unused(tx: sa.Connection, policy: Policy, *, besides: str | None = None) -> None:
    """besides: a project whose use is no matter."""
    for kind, table in (("port", ports.ports), ("network", networks.networks)):
        query = sa.select(table.c.uuid).where(table.c.qos_policy == policy.uuid)
        if besides is not None:
            query = query.where(table.c.project_id != besides)
        user = tx.execute(query.limit(1)).scalar()
        if user is not None:
            raise errors.InUse(f"QoS Policy {policy.uuid} is used by {kind} {user}.", kind="QosPolicyInUse")


def _scope(uuid: str) -> str:
    return f"qos:{uuid}"
