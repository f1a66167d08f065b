# SPDX-License-Identifier: Apache-2.0
"""How wrong passwords are counted, and what happens to who guesses.

A user whose password was guessed wrongly too often is locked until the window ends: the answer stays what
it is for a wrong password. A name that nobody has is counted alike, so that nothing can be told from it.
An address from which too many guesses came is refused before anything is looked at.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.common.clock import Clock
from zun_lite.db import sign_ins
from zun_lite.db.engine import Database
from zun_lite.domain import errors


@dataclass(frozen=True)
class Bounds:
    """Wrong proofs within window_seconds after which a user (or credential), or an address, waits; 0 is no bound."""

    per_user: int = 10
    per_address: int = 200
    window_seconds: int = 300


USUAL = Bounds()


class Guesses:
    def __init__(self, db: Database, clock: Clock, bounds: Bounds) -> None:
        self._db = db
        self._clock = clock
        self._bounds = bounds

    def check_address(self, address: str | None) -> None:
        """TooMany: too many guesses came from there."""
        if address is not None and self._bounds.per_address:
            with self._db.read() as tx:
                found = sign_ins.failures(tx, _network(address), self._now())
            if found >= self._bounds.per_address:
                raise errors.TooMany("Too many wrong passwords came from your address; wait some minutes.")

    def is_locked(self, subject: str) -> bool:
        if not self._bounds.per_user:
            return False
        with self._db.read() as tx:
            return sign_ins.failures(tx, _digest(subject), self._now()) >= self._bounds.per_user

    def note(self, subject: str, address: str | None) -> None:
        """A wrong proof for this subject, from there. Of one that is locked already only the address is counted."""
        window = datetime.timedelta(seconds=self._bounds.window_seconds)
        now = self._now()

        def add(tx: sa.Connection) -> None:
            if sign_ins.failures(tx, _digest(subject), now) < max(self._bounds.per_user, 1):
                sign_ins.add_failure(tx, _digest(subject), now, window)
            if address is not None:
                sign_ins.add_failure(tx, _network(address), now, window)

        self._db.transact(add)

    def forget(self, subject: str) -> None:
        """The proof was right."""
        with self._db.read() as tx:
            if not sign_ins.failures(tx, _digest(subject), self._now()):
                return
        self._db.transact(lambda tx: sign_ins.forget(tx, _digest(subject)))

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC).replace(tzinfo=None)


def _network(address: str) -> str:
    """One IPv6 subscriber has a whole /64, so that is what is counted."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return _digest(f"address {address}")
    if parsed.version == 6:
        parsed = ipaddress.ip_address(int(parsed) >> 64 << 64)
    return _digest(f"address {parsed}")


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()
