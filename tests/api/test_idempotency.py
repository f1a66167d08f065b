# SPDX-License-Identifier: Apache-2.0
"""A create that is sent again under its key is answered as the first time, on every database, raced or not."""

from __future__ import annotations

import datetime
import threading
from typing import Any
from unittest import mock

from tests.api.case import ApiTestCase
from tests.databases import on_every_database
from zun_lite.api.container import containers
from zun_lite.control import actions
from zun_lite.control.loop import TIDY_EVERY_SECONDS, Controller
from zun_lite.db import idempotency, workloads
from zun_lite.domain.resources import Limits

BODY = {"image": "demo", "name": "web", "memory": 64}


class KeyTestCase(ApiTestCase):
    def post(self, body: Any = None, key: str = "k1", *, path: str = "/v1/containers", **more: Any) -> Any:
        return self.call("POST", path, body or BODY, headers={"Idempotency-Key": key}, **more)

    def count(self) -> int:
        with self.db.read() as tx:
            return len(tx.execute(workloads.workloads.select()).all())

    def age(self, **back: float) -> None:
        table = idempotency.idempotency_keys

        def change(tx):
            tx.execute(table.update().values(created_at=self.db.now(tx) - datetime.timedelta(**back)))

        self.db.transact(change)


@on_every_database
class ContainersTest(KeyTestCase):
    limits = Limits(containers=3)

    def test_the_same_key_and_body_make_one_container_and_one_answer(self):
        first, second = self.post(), self.post()
        self.assertEqual((202, 202), (first.status_code, second.status_code), second.text)
        self.assertEqual(first.content, second.content)
        self.assertEqual(first.headers["Location"], second.headers["Location"])
        self.assertNotIn("Idempotency-Replayed", first.headers)
        self.assertEqual("true", second.headers["Idempotency-Replayed"])
        self.assertEqual(1, self.count())

    def test_the_answer_stays_when_the_container_has_changed_or_gone(self):
        first = self.post()
        self.observe(first.json)
        self.assertEqual("Creating", self.post().json["status"])
        self.db.transact(lambda tx: workloads.remove(tx, workloads.get(tx, first.json["uuid"])))
        self.assertEqual(first.content, self.post().content)
        self.assertEqual(0, self.count())

    def test_the_same_key_for_another_request_is_a_conflict(self):
        self.post()
        for body, more in (
            ({**BODY, "memory": 65}, {}),
            (BODY, {"params": {"run": "true"}}),
            (BODY, {"version": "1.39"}),
        ):
            self.refused(409, self.post(body, **more), "k1")
        self.assertEqual(1, self.count())

    def test_how_the_json_is_laid_out_does_not_matter(self):
        headers = {"Idempotency-Key": "k1", "Content-Type": "application/json"}
        for raw in (b'{"image":"demo","name":"web","memory":64}', b'{ "memory": 64, "name": "web", "image": "demo" }'):
            self.assertEqual(202, self.call("POST", "/v1/containers", raw=raw, headers=headers).status_code)
        self.assertEqual(1, self.count())

    def test_another_users_key_is_another_key(self):
        self.assertEqual(202, self.post().status_code)
        self.assertEqual(202, self.post({**BODY, "memory": 32}, user="other").status_code)
        self.assertEqual(2, self.count())

    def test_a_refused_request_keeps_nothing_under_its_key(self):
        self.refused(400, self.post({**BODY, "memory": 1}), "memory")
        self.assertEqual(202, self.post().status_code)

    def test_a_malformed_key_is_refused(self):
        for key in ("two words", "k" * 256):
            self.refused(400, self.post(key=key), "Idempotency-Key")
        self.assertEqual(0, self.count())

    def test_after_a_day_a_key_is_free_again(self):
        self.post()
        self.age(hours=23.9)
        self.assertIn("Idempotency-Replayed", self.post().headers)
        self.age(hours=24.1)
        self.assertNotIn("Idempotency-Replayed", self.post({**BODY, "name": "next"}).headers)
        self.assertEqual(2, self.count())

    def test_the_controller_forgets_old_keys(self):
        self.post()
        controller = Controller(self.means)
        self.age(hours=25)
        self.clock.advance(TIDY_EVERY_SECONDS)
        controller.run_once()
        with self.db.read() as tx:
            self.assertEqual([], tx.execute(idempotency.idempotency_keys.select()).all())

    def test_racing_duplicates_make_one_container_and_get_one_answer(self):
        answers = self.race(12)
        self.assertEqual({202}, {answer.status_code for answer in answers}, [answer.text for answer in answers])
        self.assertEqual(1, len({answer.content for answer in answers}))
        self.assertEqual(1, self.count())

    def test_racing_duplicates_for_the_last_of_the_quota_are_all_answered(self):
        for number in range(2):
            self.create(f"other{number}")
        answers = self.race(8)
        self.assertEqual({202}, {answer.status_code for answer in answers}, [answer.text for answer in answers])
        self.assertEqual(3, self.count())

    def race(self, count: int) -> list[Any]:
        """The answers of as many applications that get the same request at once."""
        self.token("demo")
        # So that all have looked for an answer, and found none, before the first transaction begins.
        barrier, answers, wait = threading.Barrier(count), [], containers.create_container

        def create(*args, **kwargs):
            barrier.wait(10)
            return wait(*args, **kwargs)

        with mock.patch.object(containers, "create_container", create):
            threads = [threading.Thread(target=lambda: answers.append(self.post())) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return answers


@on_every_database
class NetworksAndVolumesTest(KeyTestCase):
    def test_a_network_is_made_once(self):
        body = {"network": {"name": "net"}}
        first, second = (self.post(body, path="/network/v2.0/networks") for _ in range(2))
        self.assertEqual((201, first.content), (second.status_code, second.content))
        self.assertEqual(1, len(self.get("/network/v2.0/networks", params={"name": "net"})["networks"]))
        clash = self.post({"network": {"name": "other"}}, path="/network/v2.0/networks")
        self.assertEqual((409, "IdempotencyKeyReused"), (clash.status_code, clash.json["NeutronError"]["type"]))

    def test_a_volume_is_made_once(self):
        body = {"volume": {"size": 1, "name": "vol"}}
        first, second = (self.post(body, path="/volume/v3/volumes") for _ in range(2))
        self.assertEqual((202, first.content), (second.status_code, second.content))
        self.assertEqual(1, len(self.get("/volume/v3/volumes")["volumes"]))
        clash = self.post({"volume": {"size": 2, "name": "vol"}}, path="/volume/v3/volumes")
        self.assertEqual(409, clash.status_code)
        self.assertIn("Idempotency-Key", clash.json["conflictingRequest"]["message"])

    def test_racing_duplicates_make_one_volume(self):
        self.token("demo")
        answers: list[Any] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(self.post({"volume": {"size": 1}}, path="/volume/v3/volumes"))
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({202}, {answer.status_code for answer in answers}, [answer.text for answer in answers])
        self.assertEqual(1, len({answer.content for answer in answers}))
        self.assertEqual(1, len(self.get("/volume/v3/volumes")["volumes"]))


class WithoutKeyTest(KeyTestCase):
    def test_nothing_is_kept(self):
        self.create("one")
        self.create("one")
        self.assertEqual(2, self.count())
        with self.db.read() as tx:
            self.assertEqual([], tx.execute(idempotency.idempotency_keys.select()).all())

    def test_the_action_is_recorded_once_under_the_first_requests_id(self):
        first = self.post()
        self.post()
        with self.db.read() as tx:
            made = workloads.get(tx, first.json["uuid"])
        (action,) = actions.history(self.means, made)
        self.assertEqual(first.headers["x-openstack-request-id"], action.request_id)
