# SPDX-License-Identifier: Apache-2.0
"""The whole WSGI application over a SQLite database, with agents that answer from memory."""

from __future__ import annotations

import tempfile
import uuid
from typing import Any, NamedTuple
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from falcon import testing

from tests.builders import SilentAgents, a_host, means_of
from tests.databases import DatabaseTestCase
from zun_lite.api.app import create_app
from zun_lite.api.services import Services
from zun_lite.common import config, grants
from zun_lite.control import reports
from zun_lite.db import hosts, roles, workloads
from zun_lite.db import identity as rows
from zun_lite.domain.desired import Report
from zun_lite.domain.lifecycle import Observed
from zun_lite.domain.resources import Limits
from zun_lite.identity import bootstrap, passwords
from zun_lite.identity.embedded import EmbeddedIdentity
from zun_lite.identity.keys import TokenKeys

ADMIN_PASSWORD, DEMO_PASSWORD, OTHER_PASSWORD = "admin's secret", "demo's secret", "other's secret"
PASSWORDS = {"admin": ADMIN_PASSWORD, "demo": DEMO_PASSWORD, "other": OTHER_PASSWORD}


class AnsweringAgents(SilentAgents):
    """Agents that note what they were asked and answer with what a test put there."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Any]] = []
        self.output, self.exit_code = "hello\n", 0

    def execute(self, host_uuid, address, workload, request_id, command, timeout_seconds):
        self.asked.append(("execute", command))
        return self.output, self.exit_code

    def logs(self, host_uuid, address, workload, request_id, query):
        self.asked.append(("logs", query))
        return self.output


class KnownHost(NamedTuple):
    uuid: str
    key: Ed25519PrivateKey


class ApiTestCase(DatabaseTestCase):
    """A cloud with one host, the users admin, demo and other, each with a project of the same name."""

    limits = Limits()

    def setUp(self) -> None:
        super().setUp()
        for name, value in (("TIME_COST", 1), ("MEMORY_COST_KIB", 8)):
            patch = mock.patch.object(passwords, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.conf = config.load([], state_dir=folder.name)
        bootstrap.bootstrap(self.db, self.conf.identity.key_dir, ADMIN_PASSWORD, DEMO_PASSWORD)
        self.add_user("other")
        self.agents = AnsweringAgents()
        self.means = means_of(self.db, agents=self.agents, limits=self.limits)
        self.clock = self.means.clock
        self.host = a_host(self.means)
        self.identity = EmbeddedIdentity(
            self.db,
            TokenKeys(self.conf.identity.key_dir),
            self.clock,
            ttl_seconds=3600,
            www_authenticate_uri=f"{self.conf.api.public_url}/identity",
        )
        self.services = Services(self.conf, self.means, self.identity, "key", identity=self.identity)
        self.client = self.make_client()
        self._tokens: dict[str, str] = {}

    def make_client(self) -> testing.TestClient:
        """A client of a fresh application, as another process would run it."""
        return testing.TestClient(create_app(self.services))

    def add_user(self, name: str) -> None:
        """A member of a project of the same name."""

        def add(tx) -> None:
            user_id, project_id = uuid.uuid4().hex, uuid.uuid4().hex
            rows.add_project(tx, project_id, "default", name)
            rows.add_user(tx, user_id, "default", name, passwords.hashed(PASSWORDS[name]))
            member = roles.named(tx, ["member"])[0]
            roles.assign(tx, user_id, roles.PROJECT, project_id, member.id)

        self.db.transact(add)

    def add_host(self, name: str) -> KnownHost:
        """One that has reported in full, and its key."""
        key, uuid = Ed25519PrivateKey.generate(), a_host(self.means, name).uuid
        mine = hosts.hosts.update().where(hosts.hosts.c.uuid == uuid).values(public_key=grants.public_text(key))
        self.db.transact(lambda tx: tx.execute(mine))
        return KnownHost(uuid, key)

    def as_host(self, host: KnownHost, method: str, path: str, body: Any = None) -> testing.Result:
        """A request to /node/v1 that a host signs."""
        token = grants.sign(host.key, grants.API_AUDIENCE, {"sub": host.uuid}, self.clock)
        more = {} if body is None else {"json": body}
        return self.client.simulate_request(
            method, f"/node/v1/{path}", headers={"Authorization": f"Node {token}"}, **more
        )

    def log_in(self, user: str, password: str | None = None, scope: Any = None, **query: str) -> testing.Result:
        """POST /v3/auth/tokens by name; scoped to the user's own project if nothing else is said."""
        domain = {"id": "default"}
        proof = {"user": {"name": user, "password": password or PASSWORDS[user], "domain": domain}}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": proof}}
        auth["scope"] = scope or {"project": {"name": user, "domain": domain}}
        return self.client.simulate_post("/identity/v3/auth/tokens", json={"auth": auth}, params=query)

    def token(self, user: str) -> str:
        if user not in self._tokens:
            self._tokens[user] = self.log_in(user).headers["X-Subject-Token"]
        return self._tokens[user]

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        user: str = "demo",
        version: str = "1.40",
        **more: Any,
    ) -> testing.Result:
        """A request with a token; body goes as JSON, raw as it is."""
        headers = {
            "X-Auth-Token": self.token(user),
            "OpenStack-API-Version": f"container {version}",
            **more.pop("headers", {}),
        }
        if body is not None:
            more["json"] = body
        if raw is not None:
            more["body"] = raw
        return self.client.simulate_request(method, path, headers=headers, **more)

    def get(self, path: str, *, expect: int = 200, **more: Any) -> Any:
        """The JSON that a GET is answered with."""
        answer = self.call("GET", path, **more)
        self.assertEqual(expect, answer.status_code, answer.text)
        return answer.json

    def create(self, name: str = "web", *, user: str = "demo", run: bool = True, **fields: Any) -> dict[str, Any]:
        body = {"image": "demo", "name": name, "memory": 64, **fields}
        answer = self.call("POST", "/v1/containers", body, user=user, params={"run": str(run).lower()})
        self.assertEqual(202, answer.status_code, answer.text)
        return answer.json

    def observe(self, container: dict[str, Any], state: str = "running", **seen: Any) -> None:
        """Report of the container's host that it has done what the goal asks, and sees this."""
        with self.db.read() as tx:
            workload = workloads.get(tx, container["uuid"])
        observed = Observed(
            **{
                "generation": workload.generation,
                "epoch": workload.epoch,
                "run": workload.goal.run,
                "build": workload.goal.build,
                "state": state,
                "container_id": "c" * 64,
                **seen,
            }
        )
        reports.take(self.means, self.host, Report("boot1", None, False, ((workload.uuid, observed),)))

    def running(self, name: str = "web", **fields: Any) -> dict[str, Any]:
        made = self.create(name, **fields)
        self.observe(made)
        return made

    def refused(self, status: int, answer: testing.Result, *words: str) -> dict[str, Any]:
        """The error of a container API's answer, which must have this status and these words."""
        self.assertEqual(status, answer.status_code, answer.text)
        error = answer.json["errors"][0]
        self.assertEqual((status, []), (error["status"], error["links"]))
        for word in words:
            self.assertIn(word, error["title"])
        return error
