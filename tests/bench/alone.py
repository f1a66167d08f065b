# SPDX-License-Identifier: Apache-2.0
"""The API by itself: no Docker, no agent; the containers that it shows were written into its database.

So a read or an accept is measured without what a host does at the same time.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.builders import a_host, means_of
from tests.cloud import free_ports
from tests.real_keystone import DEFAULT, RealKeystone, settings_of
from zun_lite.control.means import Means
from zun_lite.db import actions, revisions, workloads
from zun_lite.db.engine import Database
from zun_lite.domain import names
from zun_lite.domain.lifecycle import ON, Goal, Observed
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec
from zun_lite.domain.wiring import Address, Endpoint, Wiring

TOP = Path(__file__).resolve().parent.parent.parent
LIMIT_SECONDS = 30.0


class AloneApi:
    """`with AloneApi() as api`: started, with a host that has room and without quota.

    keystone: who knows its users, instead of itself.
    """

    def __init__(self, keystone: RealKeystone | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zl-bench-"))
        self._keystone = keystone
        self.port, self.other_port = free_ports(2)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.token = ""
        self.project_id = ""

    def __enter__(self) -> AloneApi:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hello(self) -> str:
        """The URL of the application that says hello, started when first asked for."""
        return self._beside("tests.bench.hello", str(self.folder))

    def unlocked(self) -> str:
        """The URL of the same API, on the same database, that takes everybody for the token's owner."""
        return self._beside("tests.bench.unlocked", str(self.folder), self.token)

    def _beside(self, module: str, *words: str) -> str:
        if len(self.processes) < 2:
            self._spawn(module, *words, str(self.other_port))
            self._wait(self.other_port)
        return f"http://127.0.0.1:{self.other_port}/"

    def connection(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_SECONDS)
        connection.connect()
        return connection

    def ask(
        self, method: str, path: str, body: Any = None, connection: http.client.HTTPConnection | None = None
    ) -> Any:
        return call(connection or self.connection(), self.token, method, path, body)[1]

    def seed(self, count: int) -> list[str]:
        """That many containers that run, each with an address; their uuids."""
        db = Database(f"sqlite:///{self.folder}/zun_lite.sqlite")
        made = [running_container(db, self.project_id, number) for number in range(count)]
        db.close()
        return made

    def _start(self) -> None:
        quota = "".join(f"{name} = -1\n" for name in ("containers", "cpu", "memory", "disk"))
        (self.folder / "zun_lite.conf").write_text(
            f"[DEFAULT]\nstate_dir = {self.folder}\n[api]\nport = {self.port}\n[quota]\n{quota}"
            + "".join(
                f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
                for section, options in (settings_of(self._keystone) if self._keystone else {}).items()
            )
        )
        for part in ("run", "keys", "log"):
            (self.folder / part).mkdir()
        subprocess.run(
            [sys.executable, "-m", "zun_lite.cmd.manage", "bootstrap"],
            env=self._environment(),
            check=True,
            capture_output=True,
        )
        db = Database(f"sqlite:///{self.folder}/zun_lite.sqlite")
        a_host(self._means(db), "benchhost", Resources(100_000, 100_000_000, 100_000))
        db.close()
        self._spawn("zun_lite.cmd.api")
        self._wait(self.port)
        if self._keystone is None:
            self.token, self.project_id = take_token(self.connection(), self.folder / "clouds.yaml")
        else:
            self.token = self._keystone.take_token("demo", {"project": {"name": "demo", "domain": DEFAULT}})
            self.project_id = self._keystone.id_of("project", "demo")

    def _means(self, db: Database) -> Means:
        return means_of(db)

    def _spawn(self, module: str, *words: str) -> None:
        with (self.folder / "log" / f"{module}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *words]
            self.processes.append(subprocess.Popen(command, env=self._environment(), cwd=TOP, stdout=log, stderr=log))

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "ZUN_LITE_STATE_DIR": str(self.folder)}

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/")
                if connection.getresponse().status < 500:
                    return
            time.sleep(0.05)
        logs = "\n".join(path.read_text()[-2000:] for path in (self.folder / "log").glob("*.log"))
        raise AssertionError(f"nothing answers at port {port}:\n{logs}")


def call(
    connection: http.client.HTTPConnection, token: str, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    """One request on a kept connection; a 4xx or 5xx is an error of the bench."""
    headers = {"X-Auth-Token": token, "OpenStack-API-Version": "container 1.40"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 400:
        raise AssertionError(f"{method} {path}: {answer.status} {text!r}")
    return answer.status, json.loads(text) if text else None


def take_token(connection: http.client.HTTPConnection, clouds: Path, cloud: str = "demo") -> tuple[str, str]:
    """A token of a cloud in clouds.yaml, and its project's id."""
    lines = clouds.read_text().splitlines()
    password = next(
        line.split(": ", 1)[1] for line in lines[lines.index(f"  {cloud}:") :] if line.strip().startswith("password:")
    )
    domain = {"id": "default"}
    identity = {"methods": ["password"], "password": {"user": {"name": cloud, "domain": domain, "password": password}}}
    body = {"auth": {"identity": identity, "scope": {"project": {"name": cloud, "domain": domain}}}}
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/identity/v3/auth/tokens", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 201:
        raise AssertionError(f"no token: {answer.status} {text!r}")
    return answer.headers["X-Subject-Token"], json.loads(text)["token"]["project"]["id"]


def running_container(db: Database, project_id: str, number: int) -> str:
    """The record of a container as it is while it runs, without a host that would look after it."""
    uuid = names.new_id()
    network = "6f5dbb4e-6a13-4c1f-9d7a-c1f3f7e8a101"
    spec = ContainerSpec(
        image="demo:latest",
        command=("sh", "-c", "exec sleep 86400"),
        cpus=0.5,
        memory_mib=64,
        environment={"NUMBER": str(number)},
        labels={"app": "bench"},
    )
    address = Address(f"10.0.{number // 250}.{number % 250 + 2}", 16, names.new_id(), "10.0.0.1")
    wiring = Wiring((Endpoint(names.new_id(), network, 1001, "fa:16:3e:00:00:01", 1450, (address,), True),))
    observed = Observed(
        generation=1,
        epoch=1,
        run=1,
        build=1,
        state="running",
        container_id="0" * 64,
        hostname="0" * 12,
        started_at="2026-01-01T00:00:00.000000Z",
    )

    def insert(tx: Any) -> None:
        revisions.raise_one(tx, revisions.project(project_id))
        made = workloads.insert(
            tx,
            uuid=uuid,
            kind=workloads.CONTAINER,
            project_id=project_id,
            user_id="bench",
            name=f"bench-{number}",
            spec=spec,
            goal=Goal(power=ON, run=1),
            host=None,
            failure=None,
        )
        workloads.provide(tx, made, wiring)
        stored = workloads.get(tx, uuid)
        assert stored is not None
        workloads.record_observed(tx, stored, observed)
        actions.begin(
            tx,
            request_id=f"req-{uuid}",
            workload_uuid=uuid,
            project_id=project_id,
            user_id="bench",
            action="create",
            generation=1,
        )

    db.transact(insert)
    return uuid
