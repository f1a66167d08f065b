# SPDX-License-Identifier: Apache-2.0
"""Secrets that open a stream: once, soon, for what they were made for, and not too many."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.builders import a_caller, a_host, a_spec, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.client.agents import AgentsClient
from zun_lite.common import grants
from zun_lite.common.clock import Clock
from zun_lite.control import actions, create, stream_grants
from zun_lite.control.stream_grants import Limits
from zun_lite.db import hosts
from zun_lite.db import stream_grants as rows
from zun_lite.db.engine import utc_now
from zun_lite.domain import errors

EXEC_ID = "e" * 64
TOKEN = "the user's own token"


@on_every_database
class StreamGrantsTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.key = Ed25519PrivateKey.generate()
        self.means = means_of(self.db, agents=AgentsClient(self.key, Clock()))
        self.host = a_host(self.means)
        self.workload = self.a_workload()

    def a_workload(self, project_id: str = "p1"):
        return create.create_container(self.means, a_caller(project_id), None, a_spec(), run=True)

    def issue(self, workload=None, verb="attach", exec_id=None, **limits) -> str:
        return stream_grants.issue(
            self.means, workload or self.workload, verb, TOKEN, Limits(**limits) if limits else Limits(), exec_id
        )

    def spend(self, secret: str, uuid: str | None = None, exec_id: str | None = None):
        return stream_grants.spend(self.means, secret, uuid or self.workload.uuid, exec_id)

    def end_time_of_all(self) -> None:
        self.db.transact(lambda tx: tx.execute(sa.update(rows.stream_grants).values(live_until=utc_now())))

    def test_a_secret_opens_one_stream_once(self):
        """D2."""
        secret = self.issue()
        opened = self.spend(secret)
        self.assertEqual((TOKEN, "attach", None), (opened.user_token, opened.grant.verb, opened.grant.exec_id))
        refused = self.assertRaises(errors.Forbidden, self.spend, secret)
        self.assertNotIn(secret, refused.message)

    def test_of_many_who_try_at_once_one_gets_it(self):
        secret = self.issue()
        got: list[object] = []

        def attempt() -> None:
            try:
                got.append(self.spend(secret))
            except errors.ZunError as error:
                got.append(type(error))

        threads = [threading.Thread(target=attempt) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(7, got.count(errors.Forbidden), got)

    def test_one_that_is_too_old_or_made_up_opens_nothing(self):
        secret = self.issue()
        self.end_time_of_all()
        self.assertRaises(errors.Forbidden, self.spend, secret)
        for made_up in ("", "x", secret[:-1], "é\ud800"):
            self.assertRaises(errors.Forbidden, self.spend, made_up)

    def test_one_is_good_for_a_minute(self):
        self.issue()
        with self.db.read() as tx:
            left = tx.execute(sa.select(rows.stream_grants.c.live_until)).scalar_one() - self.db.now(tx)
        self.assertTrue(55 < left.total_seconds() <= 60, left)

    def test_one_for_another_container_or_command_opens_nothing(self):
        other = self.a_workload()
        self.assertRaises(errors.Forbidden, self.spend, self.issue(), other.uuid)
        self.assertRaises(errors.Forbidden, self.spend, self.issue(), None, EXEC_ID)
        self.assertRaises(errors.Forbidden, self.spend, self.issue(verb="execute", exec_id=EXEC_ID))
        self.assertRaises(errors.Forbidden, self.spend, self.issue(verb="execute", exec_id=EXEC_ID), None, "f" * 64)
        self.assertEqual("execute", self.spend(self.issue(verb="execute", exec_id=EXEC_ID), None, EXEC_ID).grant.verb)

    def test_the_database_gives_away_neither_secret_nor_token(self):
        secret = self.issue()
        with self.db.read() as tx:
            kept = str(tx.execute(sa.select(rows.stream_grants)).one())
        self.assertNotIn(secret, kept)
        self.assertNotIn(TOKEN, kept)

    def test_a_container_has_so_many_streams_and_no_more(self):
        first = self.issue(per_workload=2)
        self.spend(self.issue(per_workload=2))
        refused = self.assertRaises(errors.TooMany, self.issue, per_workload=2)
        self.assertIn(self.workload.uuid, refused.message)
        stream_grants.release(self.means, [first])
        self.issue(per_workload=2)

    def test_a_project_has_so_many_streams_and_no_more(self):
        other, stranger = self.a_workload(), self.a_workload("p2")
        self.issue(per_project=2)
        self.issue(other, per_project=2)
        self.assertRaises(errors.TooMany, self.issue, per_project=2)
        self.issue(stranger, per_project=2)

    def test_the_bound_holds_when_all_ask_at_once(self):
        got: list[bool] = []

        def attempt() -> None:
            try:
                self.issue(per_workload=3)
                got.append(True)
            except errors.TooMany:
                got.append(False)

        threads = [threading.Thread(target=attempt) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((3, 5), (got.count(True), got.count(False)))

    def test_streams_of_a_gateway_that_died_stop_counting(self):
        self.spend(self.issue(per_workload=1))
        self.end_time_of_all()
        self.issue(per_workload=1)
        with self.db.read() as tx:
            self.assertEqual(1, tx.execute(sa.select(sa.func.count()).select_from(rows.stream_grants)).scalar_one())

    def test_a_stream_that_is_checked_goes_on(self):
        secret = self.issue()
        self.assertEqual({}, stream_grants.look_up(self.means, [secret]))
        self.spend(secret)
        self.assertEqual({secret}, set(stream_grants.look_up(self.means, [secret, "unknown"])))
        stream_grants.go_on(self.means, [secret])
        stream_grants.release(self.means, [secret])
        self.assertEqual({}, stream_grants.look_up(self.means, [secret]))

    def test_it_does_not_when_its_container_goes(self):
        secret = self.issue()
        self.spend(secret)
        actions.delete(self.means, a_caller(), self.workload, force=True)
        self.assertEqual({}, stream_grants.look_up(self.means, [secret]))

    def test_it_does_not_when_its_host_falls_silent(self):
        secret = self.issue()
        self.spend(secret)
        self.db.transact(lambda tx: hosts.set_state(tx, self.host.uuid, hosts.UNKNOWN))
        self.assertEqual({}, stream_grants.look_up(self.means, [secret]))

    def test_an_opened_stream_has_a_grant_of_its_host_for_this_verb_and_command(self):
        opened = self.spend(self.issue(verb="execute", exec_id=EXEC_ID), None, EXEC_ID)
        target = stream_grants.target(self.means, opened.grant, "req-1")
        audience = grants.host_audience(self.host.uuid)
        claims = grants.read(self.key.public_key(), audience, target.host_grant, Clock())
        self.assertEqual(
            (self.host.address, self.workload.uuid, "execute", EXEC_ID),
            (target.address, claims["sub"], claims["verb"], claims["exec_id"]),
        )
