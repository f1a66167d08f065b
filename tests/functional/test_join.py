# SPDX-License-Identifier: Apache-2.0
"""`zun-lite join`: a second host with an engine of its own, typed as an operator types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.cloud import Cloud, free_ports
from tests.db.test_notices import Receiver
from tests.docker_engine import PrivateDockerEngine


class JoinTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.told = type("Told", (Receiver,), {"got": []})
        webhook = ThreadingHTTPServer(("127.0.0.1", 0), cls.told)
        threading.Thread(target=webhook.serve_forever, daemon=True).start()
        cls.addClassCleanup(webhook.shutdown)
        url = f"http://127.0.0.1:{webhook.server_port}/"
        cls.cloud = cls.enterClassContext(Cloud(settings={"notifications": {"webhook_url": url}}))
        cls.folder = Path(tempfile.mkdtemp(prefix="zl-join-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.state_dir = cls.folder / "state"
        runtime = str(cls.state_dir / "bin" / "zun-lite-runtime")
        cls.engine = cls.enterClassContext(PrivateDockerEngine({"zun-lite": runtime}))
        cls.addClassCleanup(cls.command, "clean", "--yes")

    @classmethod
    def command(cls, *words: str, token: str = "") -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ZUN_LITE_")}
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "zun_lite.cmd.up", *words, "--state-dir", str(cls.state_dir)],
            env=kept,
            input=f"{token}\n",
            capture_output=True,
            text=True,
            timeout=120,
        )

    def join(self, token: str) -> subprocess.CompletedProcess[str]:
        (port,) = free_ports(1)
        words = ("join", self.cloud.url, "--name", "second", "--agent-port", str(port), "--detach")
        return self.command(*words, "--docker-socket", self.engine.socket, token=token)

    def statuses(self, uuid: str) -> list[str]:
        """What the operator's webhook was told of a container."""
        events = [event for _, body in list(self.told.got) for event in json.loads(body)["events"]]
        return [event["status"] for event in events if event["uuid"] == uuid]

    def hosts(self) -> dict[str, str]:
        said = json.loads(self.cloud.program("manage", "host", "list", "--json"))
        return {host["name"]: host["state"] for host in said}

    def test_a_host_joins_takes_containers_stops_starts_and_is_taken_back(self) -> None:
        refused = self.join("not-a-token")
        self.assertEqual(1, refused.returncode, refused.stdout)
        self.assertIn("did not take this host", refused.stderr)
        self.assertIn("host token --name second", refused.stderr)

        token = self.cloud.program("manage", "host", "token", "--name", "second").split()[-1]
        joined = self.join(token)
        self.assertEqual(0, joined.returncode, joined.stderr)
        self.assertIn(f"as host second of {self.cloud.url}", joined.stdout)
        self.assertFalse((self.state_dir / "keys" / "join-token").exists())
        self.cloud.wait(lambda: self.hosts().get("second") == "ready", lambda: f"the host is ready: {self.hosts()}")
        status = self.command("status")
        self.assertEqual(0, status.returncode, status.stdout)
        self.assertIn(f"joined       yes, {self.cloud.url}", status.stdout)

        subprocess.run([sys.executable, "-m", "zun_lite.cmd.up", "image", "demo", "--state-dir", str(self.state_dir)])
        self.cloud.make_network(cloud="admin")
        made = self.cloud.ask(
            "POST",
            "/v1/containers?run=true",
            {"name": "there", "image": "demo", "command": ["sleep", "600"], "host": "second", "memory": 64},
            cloud="admin",
        )
        self.cloud.wait_status(made["uuid"], "Running", cloud="admin")
        label = {"label": f"zun.uuid={made['uuid']}"}
        (container,) = self.engine.api.containers(filters=label)

        self.assertEqual(0, self.command("down").returncode)
        self.assertEqual(0, self.command("up", "--detach").returncode)
        self.assertEqual([container["Id"]], [one["Id"] for one in self.engine.api.containers(filters=label)])

        self.cloud.program("manage", "host", "revoke", "second")
        token = self.cloud.program("manage", "host", "token", "--name", "second").split()[-1]
        running = self.join(token)
        self.assertIn("`zun-lite down` first", running.stderr)
        self.assertEqual("unknown", self.hosts()["second"])
        self.assertEqual(0, self.command("down").returncode)
        again = self.join(token)
        self.assertEqual(0, again.returncode, again.stderr)
        self.cloud.wait(lambda: self.hosts()["second"] == "ready", lambda: f"the host is back: {self.hosts()}")
        self.assertEqual([container["Id"]], [one["Id"] for one in self.engine.api.containers(filters=label)])

        self.cloud.call("DELETE", f"/v1/containers/{made['uuid']}?stop=true", cloud="admin")
        self.cloud.wait_gone(made["uuid"], cloud="admin")

        self.cloud.wait(
            lambda: "Deleted" in self.statuses(made["uuid"]), lambda: f"told: {self.statuses(made['uuid'])}"
        )
        statuses = self.statuses(made["uuid"])
        self.assertEqual("Creating", statuses[0])
        self.assertIn("Running", statuses)

        cleaned = self.command("clean", "--yes")
        self.assertEqual(0, cleaned.returncode, cleaned.stderr)
        self.assertFalse(self.state_dir.exists())
