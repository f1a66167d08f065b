# SPDX-License-Identifier: Apache-2.0
"""Whether the time of an answer tells a guesser anything: unknown users, locked users, ids that are and are not there.

The product's identity and API in this process, on SQLite in a folder that goes afterwards. Passwords cost what
they cost in use. Time is the processor's, which other programs of the machine disturb less.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable

from falcon import testing

from tests.bench.measure import Row, in_turns, ratio_at_least
from tests.builders import means_of
from zun_lite.api.app import create_app
from zun_lite.api.services import Services
from zun_lite.common import config
from zun_lite.db import identity as rows
from zun_lite.db import schema
from zun_lite.db.engine import Database
from zun_lite.identity import bootstrap
from zun_lite.identity.embedded import EmbeddedIdentity
from zun_lite.identity.guesses import Bounds
from zun_lite.identity.keys import TokenKeys

ROUNDS = 40
LOCK_AFTER = 3
RIGHT = "the right one"
ALIKE = 0.9
TOKENS = "/identity/v3/auth/tokens"


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as folder:
        asked = Asked(folder)
        known, unknown, locked = in_turns(
            ROUNDS, asked.sign_in("admin"), asked.sign_in("nobody"), asked.sign_in("demo", RIGHT)
        )
        there, guessed = in_turns(ROUNDS * 10, asked.show(asked.admin_id), asked.show(uuid.uuid4().hex))
        asked.close()
    alike = f"{ALIKE} to {1 / ALIKE:.2f}"

    def is_alike(row: Row) -> bool:
        return ratio_at_least(ALIKE)(row) and row.ratio is not None and row.ratio <= 1 / ALIKE

    return [
        Row("sign-in as a user that is not there", "ms of CPU", unknown, known, "wrong password", alike, is_alike),
        Row("sign-in as a locked user, right password", "ms of CPU", locked, known, "wrong password", alike, is_alike),
        Row("a user by a guessed id", "ms of CPU", guessed, there, "another user by its id", alike, is_alike),
    ]


class Asked:
    """An API with the users admin and demo, and a token of the latter."""

    def __init__(self, folder: str) -> None:
        conf = config.load([], state_dir=folder)
        self._db = Database(f"sqlite:///{os.path.join(folder, 'bench.sqlite')}")
        schema.sync(self._db)
        bootstrap.bootstrap(self._db, conf.identity.key_dir, RIGHT, RIGHT)
        means = means_of(self._db)
        identity = EmbeddedIdentity(
            self._db,
            TokenKeys(conf.identity.key_dir),
            means.clock,
            ttl_seconds=3600,
            www_authenticate_uri="",
            bounds=Bounds(per_user=LOCK_AFTER, per_address=0),
        )
        self._client = testing.TestClient(create_app(Services(conf, means, identity, "key", identity=identity)))
        self._token = self._post("demo", RIGHT).headers["X-Subject-Token"]
        # All are locked, by more wrong passwords than that; to who knows none it is all one.
        for name in ("admin", "demo", "nobody"):
            for _ in range(LOCK_AFTER):
                self._post(name, "wrong")
        with self._db.read() as tx:
            (admin,) = rows.find_users(tx, name="admin")
        self.admin_id = admin.id

    def sign_in(self, name: str, password: str = "wrong") -> Callable[[], float]:
        return lambda: worked(lambda: self._post(name, password))

    def show(self, user_id: str) -> Callable[[], float]:
        headers = {"X-Auth-Token": self._token}
        return lambda: worked(lambda: self._client.simulate_get(f"/identity/v3/users/{user_id}", headers=headers))

    def close(self) -> None:
        self._db.close()

    def _post(self, name: str, password: str) -> testing.Result:
        proof = {"name": name, "password": password, "domain": {"id": "default"}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": proof}}}}
        return self._client.simulate_post(TOKENS, json=body)


def worked(ask: Callable[[], object]) -> float:
    """Milliseconds of processor time that it took."""
    began = time.process_time()
    ask()
    return (time.process_time() - began) * 1000
