# SPDX-License-Identifier: Apache-2.0
"""Who did what, from where, and how it ended: one record for each change and each refusal, without a secret in it."""

from __future__ import annotations

import functools
import json
import logging
import os
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path

from falcon import testing

from tests.api.case import ApiTestCase
from tests.api.routing import filled, methods_of, table_of
from zun_lite.api import audit, paths
from zun_lite.common import log

HERE = {"REMOTE_ADDR": "198.51.100.7"}
CANARY = "canary-7f3a"
SECRETS = {
    "name": CANARY,
    "image": CANARY,
    "password": CANARY,
    "environment": {CANARY: CANARY},
    "command": [CANARY],
    "data": CANARY,
    "username": CANARY,
    "auth": {"identity": {"methods": ["password"], "password": {"user": {"name": CANARY, "password": CANARY}}}},
    "container": {CANARY: CANARY},
    "network": {"name": CANARY},
    "volume": {"name": CANARY},
    "user": {"name": CANARY, "password": CANARY},
    "application_credential": {"name": CANARY, "secret": CANARY},
}


class AuditCase(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.answers: list[testing.Result] = []
        for user in ("demo", "admin"):
            self.token(user)

    def recorded(self, ask: Callable[[], testing.Result]) -> list[dict]:
        """The records that a request leaves; its answer is the last of self.answers."""
        with self.assertLogs(audit.LOGGER, "INFO") as caught:
            logging.getLogger(audit.LOGGER).info("so that there is one")
            self.answers.append(ask())
        return [json.loads(record.getMessage()) for record in caught.records[1:]]

    def only(self, ask: Callable[[], testing.Result]) -> dict:
        records = self.recorded(ask)
        self.assertEqual(1, len(records), records)
        return records[0]


def ending(record: dict) -> tuple[str, str, str]:
    return record["action"], record["outcome"], record["reason"]["reasonCode"]


class AuditTest(AuditCase):
    def test_a14_a_change_is_told_with_who_what_where_and_how_it_ended(self):
        """A14."""
        body = {"image": "demo", "name": "web", "memory": 64}
        found = self.only(lambda: self.call("POST", "/v1/containers", body, extras=HERE))
        made = self.answers[-1].json
        self.assertEqual(
            ("create", "pending", "202"), (found["action"], found["outcome"], found["reason"]["reasonCode"])
        )
        self.assertEqual({"typeURI": "/v1/containers", "id": made["uuid"]}, found["target"])
        self.assertEqual(self.answers[-1].headers["X-Openstack-Request-Id"], found["requestId"])
        who = found["initiator"]
        self.assertEqual((made["user_id"], made["project_id"]), (who["id"], who["project_id"]))
        self.assertEqual((["member"], "198.51.100.7"), (sorted(set(who["roles"]) & {"member"}), who["host"]["address"]))
        self.assertEqual("service/container", found["observer"]["typeURI"])
        self.observe(made)
        found = self.only(lambda: self.call("POST", f"/v1/containers/{made['uuid']}/stop"))
        self.assertEqual(("update/stop", made["uuid"]), (found["action"], found["target"]["id"]))
        found = self.only(lambda: self.call("DELETE", f"/v1/containers/{made['uuid']}"))
        self.assertEqual(
            ("delete", "failure", "409"), (found["action"], found["outcome"], found["reason"]["reasonCode"])
        )

    def test_logins_are_told_good_or_bad(self):
        found = self.only(lambda: self.log_in("demo"))
        self.assertEqual(("authenticate/login", "success"), (found["action"], found["outcome"]))
        self.assertEqual(self.create()["user_id"], found["initiator"]["id"])
        found = self.only(lambda: self.log_in("demo", CANARY))
        self.assertEqual(("failure", "401", "unknown"), (
            found["outcome"], found["reason"]["reasonCode"], found["initiator"]["id"]
        ))  # fmt: skip

    def test_what_is_read_is_not_told_but_what_is_denied_is(self):
        self.assertEqual([], self.recorded(lambda: self.call("GET", "/v1/containers")))
        found = self.only(lambda: self.call("GET", "/v1/hosts"))
        self.assertEqual(("read", "403", "/v1/hosts"), (
            found["action"], found["reason"]["reasonCode"], found["target"]["typeURI"]
        ))  # fmt: skip
        found = self.only(lambda: self.client.simulate_get(f"/v1/containers/{CANARY}"))
        self.assertEqual(("401", "/v1/containers/{ident}"), (
            found["reason"]["reasonCode"], found["target"]["typeURI"]
        ))  # fmt: skip
        self.assertNotIn(CANARY, json.dumps(found))

    def test_a_stream_is_told_when_it_is_asked_for(self):
        made = self.running(interactive=True)
        found = self.only(lambda: self.call("GET", f"/v1/containers/{made['uuid']}/attach"))
        self.assertEqual(("read/attach", "success", made["uuid"]), (
            found["action"], found["outcome"], found["target"]["id"]
        ))  # fmt: skip

    def test_an_object_called_by_its_name_is_told_by_its_id_or_not_at_all(self):
        made = self.running("web")
        found = self.only(lambda: self.call("PATCH", "/v1/containers/web", {"memory": "65"}))
        self.assertEqual(made["uuid"], found["target"]["id"])
        found = self.only(lambda: self.call("POST", f"/v1/containers/{CANARY}/start"))
        self.assertEqual("unknown", found["target"]["id"])


class EveryRouteTest(AuditCase):
    def test_every_change_of_every_route_leaves_one_record_and_no_secret(self):
        """A14, E5."""
        asked = 0
        for template, resource, suffix in table_of(self.services):
            path = filled(template)
            service, _ = paths.normalise(path)
            for method in methods_of(resource, suffix):
                for user in ("demo", "admin", None):
                    body = json.dumps(SECRETS).encode()
                    headers = {"Content-Type": "application/json", "X-Other": CANARY, "Idempotency-Key": CANARY}
                    if user is not None:
                        headers |= {"X-Auth-Token": self.token(user), "X-Subject-Token": CANARY}
                    query = f"name={CANARY}&token={CANARY}"
                    send = functools.partial(self.client.simulate_request, method, path, headers=headers)
                    records = self.recorded(functools.partial(send, body=body, query_string=query))
                    answer = self.answers[-1]
                    asked += 1
                    what = f"{method} {template} by {user}: {answer.status_code}"
                    denied = answer.status_code in (401, 403)
                    wanted = denied or (method not in ("GET", "HEAD") and service != paths.NODE)
                    if template.endswith(("/attach", "/streams/open", "/streams/begin")):
                        wanted = True
                    self.assertEqual(1 if wanted else 0, len(records), what)
                    for record in records:
                        self.assertNotIn(CANARY, json.dumps(record), what)
                        self.assertNotIn(self.token("demo"), json.dumps(record), what)
                        self.assertEqual(template, record["target"]["typeURI"])
                        self.assertEqual(self.answers[-1].headers["X-Openstack-Request-Id"], record["requestId"])
        self.assertGreater(asked, 400)


class RecordsFileTest(unittest.TestCase):
    def test_records_go_to_a_file_of_their_own_also_after_it_was_moved_away(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log" / "audit.json"
            log.set_up_records("test.records", str(path))
            records = log.logging.getLogger("test.records")
            self.addCleanup(lambda: [handler.close() for handler in records.handlers])
            records.info("one")
            os.rename(path, f"{path}.1")
            records.info("two")
            self.assertEqual(("one\n", "two\n"), (Path(f"{path}.1").read_text(), path.read_text()))
            self.assertEqual(0o600, path.stat().st_mode & 0o777)
            self.assertFalse(records.propagate)
