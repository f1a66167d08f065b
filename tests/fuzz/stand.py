# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: the API under its own gunicorn with SQLite, a controller, and a host without Docker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

import requests

from tests.api.test_server import ServerCase
from tests.fuzz.host import HOST_NAME, QuietHost
from tests.fuzz.pool import Pool
from zun_lite.common import config
from zun_lite.db.engine import Database

PASSWORDS = {"admin": "admin's", "demo": "demo's"}
# ids that are to be filled in stand as {kind}
FURNITURE: tuple[tuple[str, Any], ...] = (
    ("/network/v2.0/networks", {"network": {"name": "net"}}),
    ("/network/v2.0/subnets", {"subnet": {"network_id": "{networks}", "cidr": "10.9.0.0/24", "ip_version": 4}}),
    ("/network/v2.0/ports", {"port": {"network_id": "{networks}"}}),
    ("/network/v2.0/security-groups", {"security_group": {"name": "group"}}),
    ("/network/v2.0/routers", {"router": {"name": "router"}}),
    ("/v1/containers?run=true", {"image": "demo:latest", "name": "web", "memory": 16, "cpu": 0.1}),
    ("/v1/containers", {"image": "demo:latest", "memory": 16, "cpu": 0.1}),
    ("/v1/capsules", {"template": {"kind": "capsule", "metadata": {}, "spec": {"containers": [{"image": "demo"}]}}}),
    ("/v1/registries", {"registry": {"name": "ours", "domain": "registry.example.org"}}),
    ("/volume/v3/volumes", {"volume": {"size": 1, "name": "volume"}}),
    ("/volume/v3/snapshots", {"snapshot": {"volume_id": "{volumes}", "force": True}}),
    ("/image/v2/images", {"name": "image", "disk_format": "raw", "container_format": "docker"}),
)
_FAULT = re.compile(r"unexpected error|Traceback")


class FuzzCase(ServerCase):
    """Everybody may change as much as he likes; the host is never taken for silent."""

    settings = (
        "changes_per_second_of_project = 0\nworkers = 2\n"
        "[scheduler]\nhost_timeout_seconds = 1000000\n"
        "[identity]\nwrong_of_user = 0\nwrong_from_address = 0\n"
    )

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.said: deque[str] = deque(maxlen=20_000)
        cls._listener = threading.Thread(target=cls._listen, daemon=True)
        cls._listener.start()
        db = Database(config.load([], state_dir=cls.state_dir).database.connection)
        cls.addClassCleanup(db.close)
        host = QuietHost(db)
        host.start()
        cls.addClassCleanup(host.stop)
        cls.controller = subprocess.Popen(
            [sys.executable, "-m", "zun_lite.cmd.controller"],
            env={**os.environ, "ZUN_LITE_STATE_DIR": cls.state_dir},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        cls.addClassCleanup(cls._stop_controller)

    @classmethod
    def _listen(cls) -> None:
        """The server's log: read, so that it never waits for us, and the lines of faults are kept."""
        keep = 0
        for line in cls.server.stderr:
            keep = 60 if _FAULT.search(line) else keep - 1
            if keep > 0:
                cls.said.append(line)

    @classmethod
    def _stop(cls) -> None:
        cls.server.send_signal(signal.SIGTERM)
        cls.server.wait(30)
        cls._listener.join(10)
        cls.server.stderr.close()

    @classmethod
    def _stop_controller(cls) -> None:
        cls.controller.terminate()
        cls.controller.wait(30)

    def setUp(self) -> None:
        super().setUp()
        self.admin, self.demo = self.token("admin"), self.token("demo")

    def token(self, user: str) -> str:
        """Of the user in the project of the same name."""
        domain = {"id": "default"}
        proof = {"user": {"name": user, "password": PASSWORDS[user], "domain": domain}}
        auth = {
            "identity": {"methods": ["password"], "password": proof},
            "scope": {"project": {"name": user, "domain": domain}},
        }
        answer = requests.post(f"{self.url}/identity/v3/auth/tokens", json={"auth": auth}, timeout=30)
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"]

    def furnish(self, pool: Pool) -> None:
        """Make some of everything in the project demo, for requests to speak of, as far as its quota goes."""
        pool.add("hosts", HOST_NAME)
        for _ in range(2):
            for path, body in FURNITURE:
                answer = requests.post(
                    f"{self.url}{path}",
                    json=pool.filled(body),
                    headers={"X-Auth-Token": self.demo, "OpenStack-API-Version": "container 1.40"},
                    timeout=30,
                )
                if answer.status_code < 300:
                    pool.learn(path, answer.json())

    def memory_mib(self) -> float:
        """What the server's processes have of memory, shared pages counted once."""
        pids = [self.server.pid]
        pids += map(int, Path(f"/proc/{pids[0]}/task/{pids[0]}/children").read_text().split())
        found = [re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M) for pid in pids]
        return sum(int(match[1]) for match in found if match) / 1024
