# SPDX-License-Identifier: Apache-2.0
"""Who may open a terminal in a container, once and soon, and whether an open one may stay open.

The stock client can only bring what it got in a URL, and URLs are written down in many places. So the
secret in it is random, good for PENDING_SECONDS and for one use, which the database decides, so that it
holds over any number of API servers and gateways. It is no grant to a host: such a grant, signed for the
host, the verb and the exec, is made only when the secret is spent, and is given to the gateway alone.

A stream must end soon after its user may no longer open one, so the user's token is needed again while
it is open. It is kept in the database, but locked by the secret, of which only a digest is kept: a copy
of the database gives away neither. The gateway holds the secret of an open stream and presents it at
each check. Whether the token still holds is the edge's to say; here it is who has the workload now.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import secrets
from dataclasses import dataclass, field

import sqlalchemy as sa
from cryptography.fernet import Fernet

from zun_lite.control.means import Means
from zun_lite.db import hosts, revisions, stream_grants, workloads
from zun_lite.db.stream_grants import StreamGrant
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.lifecycle import ABSENT

PENDING_SECONDS = 60
# an open stream counts this long after its last check
OPEN_SECONDS = 90
# the verb of a stream that is of no workload but of a whole project
EVENTS = "events"
_REFUSED = "This address was used before, is older than a minute, or was never given out; ask for a new one."


@dataclass(frozen=True)
class Limits:
    """Streams that may be open or waiting to be opened at once."""

    per_workload: int = 50
    per_project: int = 500


@dataclass(frozen=True)
class Opened:
    """An open stream and the user's token for which it is open."""

    grant: StreamGrant
    user_token: str = field(repr=False)


@dataclass(frozen=True)
class Target:
    """Where the gateway gets a stream, and the signed grant with which the host gives it."""

    address: str
    host_grant: str = field(repr=False)


def check_room(tx: sa.Connection, workload: Workload, limits: Limits) -> None:
    """TooMany unless one more stream may be opened. Exact if the project is held."""
    if stream_grants.count(tx, workload_uuid=workload.uuid) >= limits.per_workload:
        raise errors.TooMany(
            f"Container {workload.uuid} has {limits.per_workload} streams open, which is the most; close some."
        )
    _check_project_room(tx, workload.project_id, limits)


def issue(
    means: Means,
    workload: Workload,
    verb: str,
    user_token: str,
    limits: Limits,
    exec_id: str | None = None,
) -> str:
    """A secret with which to open this stream once. The caller has checked that it may be. TooMany, Conflict."""
    secret = secrets.token_urlsafe(32)

    def accept(tx: sa.Connection) -> None:
        _add(means, tx, workload, verb, secret, user_token, limits, exec_id)

    means.db.transact(accept)
    return secret


def begin(
    means: Means, workload: Workload, verb: str, user_token: str, limits: Limits, exec_id: str | None = None
) -> tuple[str, StreamGrant]:
    """Open a stream for a gateway that brought the user's token itself; what it is checked by, and its row."""
    secret = secrets.token_urlsafe(32)

    def accept(tx: sa.Connection) -> StreamGrant:
        _add(means, tx, workload, verb, secret, user_token, limits, exec_id)
        grant = stream_grants.open_one(tx, _digest(secret), _in(means, tx, OPEN_SECONDS))
        assert grant is not None
        return grant

    return secret, means.db.transact(accept)


def begin_events(means: Means, project_id: str, user_token: str, limits: Limits) -> str:
    """Likewise for the events of a project, which count as one workload's streams do."""
    secret = secrets.token_urlsafe(32)

    def accept(tx: sa.Connection) -> None:
        revisions.hold(tx, revisions.project(project_id))
        stream_grants.remove_over(tx)
        if stream_grants.count(tx, workload_uuid="", project_id=project_id) >= limits.per_workload:
            raise errors.TooMany(f"The project has {limits.per_workload} event streams open, which is the most.")
        _check_project_room(tx, project_id, limits)
        stream_grants.add(
            tx,
            digest=_digest(secret),
            workload_uuid="",
            project_id=project_id,
            verb=EVENTS,
            exec_id=None,
            host_uuid="",
            epoch=0,
            locked=_lock(secret).encrypt(user_token.encode()).decode(),
            live_until=_in(means, tx, PENDING_SECONDS),
        )
        stream_grants.open_one(tx, _digest(secret), _in(means, tx, OPEN_SECONDS))

    means.db.transact(accept)
    return secret


def spend(means: Means, secret: str, workload_uuid: str, exec_id: str | None) -> Opened:
    """Open the stream that the secret is for. Forbidden: spent, too old, unknown, or for another."""
    grant = means.db.transact(
        lambda tx: stream_grants.open_one(tx, _digest(secret), _in(means, tx, OPEN_SECONDS)),
    )
    if grant is None or grant.workload_uuid != workload_uuid or grant.exec_id != exec_id:
        raise errors.Forbidden(_REFUSED)
    return Opened(grant, _open(secret, grant))


def target(means: Means, grant: StreamGrant, request_id: str) -> Target:
    """Where to get a stream that was just opened. Conflict: its workload is gone or elsewhere."""
    with means.db.read() as tx:
        problem = _problem(tx, grant)
        host = hosts.get(tx, grant.host_uuid)
    if problem or host is None:
        raise errors.Conflict(problem or "The container's host is gone.")
    signed = means.agents.stream_grant(host.uuid, grant.workload_uuid, grant.verb, grant.exec_id, request_id)
    return Target(host.address, signed)


def look_up(means: Means, of: list[str]) -> dict[str, Opened]:
    """By secret, the streams of these that are open and whose workload is where it was."""
    by_digest = {_digest(secret): secret for secret in of}
    with means.db.read() as tx:
        found = stream_grants.opened(tx, list(by_digest))
        problems = {digest: _problem(tx, grant) for digest, grant in found.items()}
    return {
        by_digest[digest]: Opened(grant, _open(by_digest[digest], grant))
        for digest, grant in found.items()
        if problems[digest] is None
    }


def go_on(means: Means, of: list[str]) -> None:
    """These streams were checked and may stay open."""
    digests = [_digest(secret) for secret in of]
    if digests:
        means.db.transact(lambda tx: stream_grants.go_on(tx, digests, _in(means, tx, OPEN_SECONDS)))


def release(means: Means, of: list[str]) -> None:
    """These streams have ended."""
    digests = [_digest(secret) for secret in of]
    if digests:
        means.db.transact(lambda tx: stream_grants.remove(tx, digests))


def _add(
    means: Means,
    tx: sa.Connection,
    workload: Workload,
    verb: str,
    secret: str,
    user_token: str,
    limits: Limits,
    exec_id: str | None,
) -> None:
    revisions.hold(tx, revisions.project(workload.project_id))
    stream_grants.remove_over(tx)
    check_room(tx, workload, limits)
    if workload.host is None:
        raise errors.Conflict(f"Container {workload.uuid} is on no host.")
    stream_grants.add(
        tx,
        digest=_digest(secret),
        workload_uuid=workload.uuid,
        project_id=workload.project_id,
        verb=verb,
        exec_id=exec_id,
        host_uuid=workload.host,
        epoch=workload.epoch,
        locked=_lock(secret).encrypt(user_token.encode()).decode(),
        live_until=_in(means, tx, PENDING_SECONDS),
    )


def _check_project_room(tx: sa.Connection, project_id: str, limits: Limits) -> None:
    if stream_grants.count(tx, project_id=project_id) >= limits.per_project:
        raise errors.TooMany(f"The project has {limits.per_project} streams open, which is the most; close some.")


def _problem(tx: sa.Connection, grant: StreamGrant) -> str | None:
    """Why a stream cannot be, as far as its workload is concerned."""
    if grant.verb == EVENTS:
        return None
    workload = workloads.get(tx, grant.workload_uuid)
    if workload is None or workload.goal.presence == ABSENT:
        return "The container is gone or going."
    if (workload.host, workload.epoch) != (grant.host_uuid, grant.epoch):
        return "The container moved to another host."
    host = hosts.get(tx, grant.host_uuid)
    if host is None or host.state == hosts.UNKNOWN:
        return "The container's host does not answer."
    return None


def _in(means: Means, tx: sa.Connection, seconds: int) -> datetime.datetime:
    return means.db.now(tx) + datetime.timedelta(seconds=seconds)


def _digest(secret: str) -> str:
    return hashlib.sha256(b"zun_lite stream to find " + secret.encode(errors="replace")).hexdigest()


def _lock(secret: str) -> Fernet:
    key = hashlib.sha256(b"zun_lite stream to lock " + secret.encode(errors="replace")).digest()
    return Fernet(base64.urlsafe_b64encode(key))


def _open(secret: str, grant: StreamGrant) -> str:
    return _lock(secret).decrypt(grant.locked.encode()).decode()
