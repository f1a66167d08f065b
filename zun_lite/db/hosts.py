# SPDX-License-Identifier: Apache-2.0
"""Hosts: who they are, what they have, when they were last heard of; and the tokens to join with."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Json, Moment, metadata, text_type, utc_now
from zun_lite.domain import errors
from zun_lite.domain.desired import Inventory

INITIALIZING, READY, UNKNOWN = "initializing", "ready", "unknown"

hosts = sa.Table(
    "hosts",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", text_type(255), nullable=False, unique=True),
    sa.Column("address", sa.String(255), nullable=False),
    sa.Column("public_key", sa.String(64), nullable=False),
    sa.Column("previous_key", sa.String(64)),
    sa.Column("key_made_at", Moment, nullable=False),
    sa.Column("key_wanted", sa.Boolean, nullable=False, default=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False),
    sa.Column("disabled_reason", sa.String(255)),
    sa.Column("forced_down", sa.Boolean, nullable=False, default=False),
    sa.Column("report_count", sa.BigInteger, nullable=False, default=0),
    sa.Column("availability_zone", sa.String(255), nullable=False, default="nova"),
    sa.Column("boot_id", sa.String(64)),
    sa.Column("inventory", Json),
    sa.Column("seen_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
)

join_tokens = sa.Table(
    "join_tokens",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("host_name", text_type(255), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("used_at", Moment),
)


@dataclass(frozen=True)
class Host:
    """One host. seen_at: UTC of its last heartbeat or report, by the database's clock.

    public_key: empty once it was revoked. previous_key: the one before it. key_made_at: when public_key became the
    host's. key_wanted: an operator wants another.
    disabled: it gets no new work. forced_down: an operator knows that it is down, whatever it says.
    report_count: its heartbeats so far.
    """

    id: int
    uuid: str
    name: str
    address: str
    public_key: str
    previous_key: str | None
    key_made_at: datetime.datetime
    key_wanted: bool
    state: str
    problem: str | None
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    report_count: int
    availability_zone: str
    boot_id: str | None
    inventory: Inventory | None
    seen_at: datetime.datetime | None
    created_at: datetime.datetime


def add_join_token(tx: sa.Connection, token: str, host_name: str, expires_at: datetime.datetime) -> None:
    tx.execute(
        sa.insert(join_tokens).values(
            digest=_digest(token), host_name=host_name, created_at=utc_now(), expires_at=expires_at
        )
    )


def use_join_token(tx: sa.Connection, token: str, host_name: str) -> None:
    """Spend a token. Forbidden: unknown, spent, expired, or for another host; one answer for all."""
    spent = tx.execute(
        sa.update(join_tokens)
        .where(
            join_tokens.c.digest == _digest(token),
            join_tokens.c.host_name == host_name,
            join_tokens.c.used_at.is_(None),
            join_tokens.c.expires_at > utc_now(),
        )
        .values(used_at=utc_now())
    )
    if spent.rowcount != 1:
        raise errors.Forbidden("The join token is not valid for this host; make a new one with `host token`.")


def enrol(tx: sa.Connection, uuid: str, name: str, address: str, public_key: str) -> str:
    """Record a host that spent a token, or give a known one a new key; answers its uuid.

    Forbidden: that key was revoked.
    """
    known = by_name(tx, name)
    values = {"address": address, "state": INITIALIZING, **_key(public_key, None)}
    if known:
        if not known.public_key and known.previous_key == public_key:
            raise errors.Forbidden(f"This key of host {name} was revoked; delete it there, so that it makes another.")
        tx.execute(sa.update(hosts).where(hosts.c.uuid == known.uuid).values(**values))
        return known.uuid
    tx.execute(
        sa.insert(hosts).values(
            uuid=uuid,
            name=name,
            disabled=False,
            forced_down=False,
            report_count=0,
            availability_zone="nova",
            created_at=utc_now(),
            **values,
        )
    )
    return uuid


def set_key(tx: sa.Connection, host: Host, public_key: str) -> None:
    """Another key is the host's, or none if it is empty; the one that it has is the previous one. host: held."""
    tx.execute(sa.update(hosts).where(hosts.c.uuid == host.uuid).values(**_key(public_key, host.public_key)))


def want_key(tx: sa.Connection, uuid: str) -> None:
    """An operator wants the host to have another key."""
    tx.execute(sa.update(hosts).where(hosts.c.uuid == uuid).values(key_wanted=True))


def _key(public_key: str, previous: str | None) -> dict[str, Any]:
    return {"public_key": public_key, "previous_key": previous, "key_made_at": utc_now(), "key_wanted": False}


def is_taken(tx: sa.Connection, address: str, name: str) -> bool:
    """Whether a host of another name is at an address."""
    query = sa.select(hosts.c.uuid).where(hosts.c.address == address, hosts.c.name != name)
    return tx.execute(query).first() is not None


def get(tx: sa.Connection, uuid: str, *, lock: bool = False) -> Host | None:
    """lock: hold the row until the transaction ends."""
    query = sa.select(hosts).where(hosts.c.uuid == uuid)
    row = tx.execute(query.with_for_update() if lock else query).mappings().first()
    return _host(row) if row else None


def by_name(tx: sa.Connection, name: str) -> Host | None:
    row = tx.execute(sa.select(hosts).where(hosts.c.name == name)).mappings().first()
    return _host(row) if row else None


_NAMES = sa.select(hosts.c.uuid, hosts.c.name)


def names(tx: sa.Connection) -> Iterable[tuple[str, str]]:
    """(uuid, name) of every host, without the rest of what is known of it."""
    return [(uuid, name) for uuid, name in tx.execute(_NAMES).all()]


def every(tx: sa.Connection) -> list[Host]:
    return [_host(row) for row in tx.execute(sa.select(hosts).order_by(hosts.c.name)).mappings()]


def heard_of(tx: sa.Connection, uuid: str, boot_id: str, problem: str | None) -> None:
    """A heartbeat. It does not make a host ready: only a full report does."""
    tx.execute(
        sa.update(hosts)
        .where(hosts.c.uuid == uuid)
        .values(seen_at=utc_now(), boot_id=boot_id, problem=problem, report_count=hosts.c.report_count + 1)
    )


def took_inventory(tx: sa.Connection, uuid: str, boot_id: str, inventory: Inventory) -> None:
    """A full report was taken in: the host may get work."""
    tx.execute(
        sa.update(hosts)
        .where(hosts.c.uuid == uuid)
        .values(seen_at=utc_now(), boot_id=boot_id, inventory=inventory.to_json(), state=READY)
    )


def silent_since(tx: sa.Connection, moment: datetime.datetime) -> list[Host]:
    """Ready hosts that were not heard of since then."""
    query = sa.select(hosts).where(hosts.c.state == READY, hosts.c.seen_at < moment)
    return [_host(row) for row in tx.execute(query).mappings()]


def set_state(tx: sa.Connection, uuid: str, state: str, *, silent_since: datetime.datetime | None = None) -> bool:
    """silent_since: of a ready host that was not heard of since then, of no other. Whether it was done."""
    query = sa.update(hosts).where(hosts.c.uuid == uuid)
    if silent_since is not None:
        query = query.where(hosts.c.state == READY, hosts.c.seen_at < silent_since)
    return tx.execute(query.values(state=state)).rowcount == 1


def set_disabled(tx: sa.Connection, uuid: str, disabled: bool, reason: str | None = None) -> None:
    """Whether it gets no new work, and why."""
    tx.execute(sa.update(hosts).where(hosts.c.uuid == uuid).values(disabled=disabled, disabled_reason=reason))


def set_forced_down(tx: sa.Connection, uuid: str, forced_down: bool) -> None:
    tx.execute(sa.update(hosts).where(hosts.c.uuid == uuid).values(forced_down=forced_down))


def set_availability_zone(tx: sa.Connection, uuid: str, zone: str) -> None:
    tx.execute(sa.update(hosts).where(hosts.c.uuid == uuid).values(availability_zone=zone))


def remove(tx: sa.Connection, uuid: str) -> None:
    """Forget it; its key is good for nothing from now on."""
    tx.execute(sa.delete(hosts).where(hosts.c.uuid == uuid))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _host(row: sa.RowMapping) -> Host:
    fields = dict(row)
    fields["inventory"] = Inventory.from_json(fields["inventory"]) if fields["inventory"] else None
    return Host(**fields)
