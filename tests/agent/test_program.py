# SPDX-License-Identifier: Apache-2.0
"""zun-lite-agent as a program, against a real engine and a small API of the test's own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.agent.engine import DockerCase, FolderNetd
from tests.docker_engine import BUSYBOX_TAG
from tests.unit.agent.fakes import FakeApi, a_workload, an_attachment, deleted
from zun_lite.client.agents import AgentsClient
from zun_lite.common import crash, grants
from zun_lite.common.clock import Clock
from zun_lite.domain import errors, names
from zun_lite.domain.desired import Report
from zun_lite.domain.plane import HostPlane
from zun_lite.domain.spec import ContainerSpec
from zun_lite.domain.wiring import Attachment, Endpoint, Wiring

HOST = names.new_id()
STEPS = ("image", "create", "plug", "start", "stop", "remove", "unplug", "detach", "journal", "report")
CREATING = [f"agent.{step}.{moment}" for step in STEPS[:4] + STEPS[8:] for moment in ("before", "after")]
CREATING += ["agent.fetched", "agent.disk.before", "agent.disk.made", "agent.disk.attached"]
DELETING = [f"agent.{step}.{moment}" for step in STEPS[4:8] for moment in ("before", "after")]


class HttpApi(FakeApi):
    """The node API over HTTP; requests must be signed with the key that enrolled."""

    def __init__(self) -> None:
        super().__init__()
        self.key = Ed25519PrivateKey.generate()
        self.tokens = {"one-time"}
        self.node_key = None
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                return

            def do_GET(self):
                api.serve(self, None)

            def do_POST(self):
                api.serve(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            do_PUT = do_POST

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, request, body) -> None:
        try:
            status, answer = self.route(request, body)
        except errors.ZunError as error:
            status, answer = error.status, {"error": {"code": "x", "message": error.message}}
        content = b"" if answer is None else json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def route(self, request, body):
        path = request.path.removeprefix("/node/v1/")
        if path == "enrol":
            if body["token"] not in self.tokens:
                raise errors.Forbidden("The token is not good.")
            self.tokens.discard(body["token"])
            self.node_key = grants.public_key(body["public_key"])
            return 200, {"host_uuid": HOST, "grant_public_key": grants.public_text(self.key)}
        token = request.headers["Authorization"].removeprefix("Node ")
        grants.read(self.node_key, grants.API_AUDIENCE, token, Clock())
        if path == "workloads":
            known = request.headers.get("If-None-Match")
            found = self.fetch(int(known.strip('"')) if known else None)
            return (304, None) if found is None else (200, found.to_json())
        if path == "plane":
            known = request.headers.get("If-None-Match")
            plane = self.fetch_plane(int(known.strip('"')) if known else None)
            return (304, None) if plane is None else (200, plane.to_json())
        if path == "heartbeat":
            revision = self.heartbeat(body["boot_id"], body["problem"])
            return 200, {"revision": revision, "plane_revision": revision, "report_wanted": False}
        orders = self.report(Report.from_json(body))
        return 200, {"remove": [{"uuid": uuid, "epoch": epoch} for uuid, epoch in orders]}


class SocketNetd(FolderNetd):
    """netd's wire over a unix socket, before a netd that binds plain folders."""

    def __init__(self, folder: str, path: str) -> None:
        super().__init__(folder)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def hello(self) -> None:
        """It lives."""

    def _serve(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError):
                connection, _ = self._socket.accept()
                with connection, connection.makefile("rwb") as stream:
                    request = json.loads(stream.readline())
                    stream.write(json.dumps(self._answer(request)).encode() + b"\n")

    def _answer(self, request):
        op = request.pop("op")
        try:
            if op == "attach":
                path = request.pop("path")
                return {"ok": True, "result": {"source": self.attach(Attachment.from_json(request), path)}}
            if op == "plug":
                request["endpoints"] = [Endpoint.from_json(item) for item in request["endpoints"]]
            if op == "plane":
                return {"ok": True, "result": self.plane(HostPlane.from_json(request["plane"]))}
            if op == "connector":
                return {"ok": True, "result": {"connector": self.connector(request["host"], request["address"])}}
            getattr(self, op)(**request)
            return {"ok": True, "result": {}}
        except errors.ZunError as error:
            return {"ok": False, "error": {"kind": "failed", "message": error.message}}


class Program(DockerCase):
    def setUp(self) -> None:
        super().setUp()
        self.api = HttpApi()
        self.addCleanup(self.api.server.shutdown)
        self.state_dir = self.folder / "state"
        (self.state_dir / "run").mkdir(parents=True)
        (self.state_dir / "crash-points").mkdir()
        self.netd = SocketNetd(str(self.folder), str(self.state_dir / "run/netd.sock"))
        self.port = free_port()
        (self.state_dir / "zun_lite.conf").write_text(
            f"[DEFAULT]\ncluster = {self.cluster}\n[agent]\nport = {self.port}\napi_url = {self.api.url}\n"
            f"docker_socket = {self.engine.socket}\ndocker_runtime = runc\nheartbeat_seconds = 0.5\n"
        )
        self.agents = AgentsClient(self.api.key, Clock())
        self.address = f"127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.addCleanup(self.end)

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        log = open(self.folder / "agent.log", "ab")
        self.addCleanup(log.close)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zun_lite.cmd.agent"],
            env={"PATH": os.environ["PATH"], "ZUN_LITE_STATE_DIR": str(self.state_dir), **environment},
            stdout=log,
            stderr=log,
        )
        return self.process

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def put(self, workload) -> None:
        self.api.put(workload)
        self.agents.nudge(HOST, self.address)

    def assert_state(self, uuid: str, state: str) -> None:
        self.assertTrue(self.api.wait_for(lambda: self.api.state(uuid) == state, 30), self.log()[-3000:])

    def a_workload(self, **changes):
        spec = ContainerSpec(BUSYBOX_TAG, command=("sh", "-c", "echo hello; exec sleep 600"), cpus=0.5, memory_mib=32)
        return a_workload(**{"spec": spec, **changes})

    def test_it_enrols_runs_answers_and_ends_in_time(self):
        self.start(ZUN_LITE_JOIN_TOKEN="one-time")
        workload = self.a_workload()
        self.put(workload)
        self.assert_state(workload.uuid, "running")
        output, code = self.agents.execute(
            HOST, self.address, workload.uuid, "req-1", ["sh", "-c", "echo hi; exit 2"], 5
        )
        self.assertEqual((output, code), ("hi\n", 2))
        query = {"stdout": True, "stderr": True, "timestamps": False, "tail": "all", "since": 0}
        self.assertEqual(self.agents.logs(HOST, self.address, workload.uuid, "req-2", query), "hello\n")
        with self.assertRaises(errors.Conflict):
            self.agents.execute(HOST, self.address, workload.uuid, "req-3", ["sleep", "60"], 1)
        with self.assertRaises(errors.NotFound):
            self.agents.execute(HOST, self.address, names.new_id(), "req-4", ["id"], 5)
        with self.assertRaises(errors.Failed):
            self.agents.execute(names.new_id(), self.address, workload.uuid, "req-5", ["id"], 5)
        self.assertNotIn("one-time", self.log())
        self.assert_small()
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(10), 0)
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(self.runtime.inspect(names.docker_name(workload.uuid)).state, "running")

    def test_without_identity_or_token_it_says_what_to_do(self):
        self.assertEqual(self.start().wait(20), 1)
        self.assertIn("zun-lite-manage host token", self.log())

    def test_killed_at_any_point_it_ends_with_one_container_and_then_with_none(self):
        self.start(ZUN_LITE_JOIN_TOKEN="one-time", ZUN_LITE_CRASH_POINTS="yes")
        self.assertTrue(self.api.wait_for(lambda: self.api.beats, 20))
        for creating, deleting in zip(CREATING, DELETING + CREATING, strict=False):
            workload = self.a_workload(wiring=Wiring((), (an_attachment(),)))
            with self.subTest(creating=creating):
                self.die_at(creating, workload)
                self.assert_state(workload.uuid, "running")
                found = [item for item in self.runtime.containers() if item.uuid == workload.uuid]
                self.assertEqual(len(found), 1)
                self.assertEqual(self.starts_of(workload.uuid), 1)
            if deleting not in DELETING:
                continue
            with self.subTest(deleting=deleting):
                gone = deleted(workload)
                self.die_at(deleting, replace(gone, goal=replace(gone.goal, stop_timeout_seconds=0)))
                self.assert_state(workload.uuid, "absent")
                self.assertNotIn(workload.uuid, [item.uuid for item in self.runtime.containers()])
                volume_id = workload.wiring.attachments[0].volume_id
                self.assertNotIn(volume_id, self.netd.attached)

    def die_at(self, point: str, workload) -> None:
        self.assertIn(point, crash.POINTS)
        (self.state_dir / "crash-points" / f"armed.{point}").touch()
        self.put(workload)
        self.assertEqual(self.process.wait(20), -signal.SIGKILL, point)
        self.assertTrue((self.state_dir / "crash-points" / f"hit.{point}").exists())
        self.start(ZUN_LITE_CRASH_POINTS="yes")

    def starts_of(self, uuid: str) -> int:
        since = {"since": 0, "until": int(time.time()) + 1, "decode": True}
        filters = {"event": ["start"], "label": [f"{names.LABEL_UUID}={uuid}"]}
        return len(list(self.engine.api.events(filters=filters, **since)))

    def assert_small(self) -> None:
        with open(f"/proc/{self.process.pid}/smaps_rollup") as stream:
            pss_kib = next(int(line.split()[1]) for line in stream if line.startswith("Pss:"))
        print(f"agent: PSS {pss_kib / 1024:.1f} MiB", file=sys.stderr)
        self.assertLess(pss_kib, 80 * 1024)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
