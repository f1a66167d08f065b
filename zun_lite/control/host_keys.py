# SPDX-License-Identifier: Apache-2.0
"""Which keys prove that somebody is a host, how long, and their exchange for new ones.

A host is asked for a new key when its own is old, or when an operator says so. The one before it is good for a few
minutes more, for what is under way. A key that was not exchanged for long, or was revoked, is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.common import grants
from zun_lite.control.means import Means
from zun_lite.db import hosts, workloads
from zun_lite.db.hosts import Host
from zun_lite.domain import errors

OVERLAP_SECONDS = 300.0


@dataclass(frozen=True)
class Proof:
    """The host that signed a request, and the public key by which it did."""

    host: Host
    public_key: str


def check(means: Means, token: str) -> Proof:
    """Whose token it is. Unauthorized: nobody's, or by a key that has ended."""
    claimed = grants.peek(token).get("sub")
    with means.db.read() as tx:
        host = hosts.get(tx, claimed) if isinstance(claimed, str) else None
        good = _good_keys(means, tx, host) if host else []
    if host is None or not host.public_key:
        raise errors.Unauthorized("No such host is enrolled here.")
    error = None
    for key in good:
        try:
            grants.read(grants.public_key(key), grants.API_AUDIENCE, token, means.clock)
            return Proof(host, key)
        except errors.Unauthorized as refused:
            error = error or refused
    raise error or errors.Unauthorized(
        f"The key of host {host.name} has ended; it must join anew, with a token of `zun-lite-manage host token`."
    )


def _good_keys(means: Means, tx: sa.Connection, host: Host) -> list[str]:
    age_seconds = _age_seconds(means, tx, host)
    if age_seconds > means.key_ages.end_seconds:
        return []
    before = [host.previous_key] if host.previous_key and age_seconds <= OVERLAP_SECONDS else []
    return [host.public_key, *before]


def is_due(means: Means, tx: sa.Connection, host: Host) -> bool:
    """Whether the host should make itself a new key."""
    return host.key_wanted or _age_seconds(means, tx, host) >= means.key_ages.exchange_seconds


def _age_seconds(means: Means, tx: sa.Connection, host: Host) -> float:
    return (means.db.now(tx) - host.key_made_at).total_seconds()


def exchange(means: Means, proof: Proof, public_key: str) -> None:
    """Go by another key of the host's; once more changes nothing.

    Conflict: the one that signed is not the newest, so that whoever has an old key cannot take the host's place.
    """

    def work(tx: sa.Connection) -> None:
        current = hosts.get(tx, proof.host.uuid, lock=True)
        if current is not None and current.public_key == public_key:
            return
        if current is None or current.public_key != proof.public_key:
            raise errors.Conflict(f"Host {proof.host.name} goes by a newer key; this one cannot be exchanged.")
        hosts.set_key(tx, current, public_key)

    means.db.transact(work)


def want(means: Means, name: str) -> None:
    """Have a host make itself a new key at its next heartbeat. NotFound. Conflict: it has none to exchange."""

    def work(tx: sa.Connection) -> None:
        host = _named(tx, name)
        if not host.public_key:
            raise errors.Conflict(f"The key of host {name} was revoked; it must join anew.")
        hosts.want_key(tx, host.uuid)

    means.db.transact(work)


def revoke(means: Means, name: str) -> None:
    """Make a host's keys good for nothing, from now on; it gets no work until it joins anew with a key of its own.

    What runs there stays. NotFound.
    """

    def work(tx: sa.Connection) -> None:
        host = _named(tx, name)
        if host.public_key:
            hosts.set_key(tx, host, "")
        if hosts.set_state(tx, host.uuid, hosts.UNKNOWN):
            workloads.host_changed(tx, host.uuid, known=False)

    means.db.transact(work)


def _named(tx: sa.Connection, name: str) -> Host:
    found = hosts.by_name(tx, name)
    found = hosts.get(tx, found.uuid, lock=True) if found else None
    if found is None:
        raise errors.NotFound(f"There is no host named {name}.", kind="ZunServiceNotFound")
    return found
