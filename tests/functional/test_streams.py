# SPDX-License-Identifier: Apache-2.0
"""The gateway's own paths from end to end: logs, exec, events, archives, ports, and what ends or bounds them.

Needs root. Streams are checked often here, so that nobody has to wait for half a minute.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.functional.case import CloudTestCase
from tests.unit.domain.test_tar import a_tar
from zun_lite.cmd import processes
from zun_lite.domain import channels

MIB = 1024 * 1024
MOST = 5
COUNTING = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; echo error $i >&2; sleep 0.1; done"]


class GatewayCase(CloudTestCase):
    settings = {"gateway": {"check_seconds": "1", "streams_per_workload": str(MOST)}}
    network: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network()

    def container(self, name: str, **fields: Any) -> str:
        return self.running(name, nets=[{"network": self.network}], **fields)["uuid"]

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.cloud.gateway_port}"

    def headers(self, cloud: str = "demo") -> dict[str, str]:
        return {"X-Auth-Token": self.cloud.token(cloud)}

    def get(self, path: str, **options: Any) -> requests.Response:
        options.setdefault("headers", self.headers())
        return requests.get(f"{self.gateway}{path}", timeout=30, **options)

    @contextlib.contextmanager
    def dialled(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> Iterator[ClientConnection]:
        url = f"ws://127.0.0.1:{self.cloud.gateway_port}{path}"
        with connect(url, additional_headers=headers or self.headers(), **options) as socket:
            yield socket

    @contextlib.contextmanager
    def exec(self, uuid: str, *command: str, terminal: bool = False, **options: Any) -> Iterator[ClientConnection]:
        with self.dialled(f"/v1/containers/{uuid}/exec", **options) as socket:
            socket.send(json.dumps({"command": command, "terminal": terminal}))
            yield socket

    def rest(self, socket: ClientConnection) -> tuple[dict[int, bytes], dict[str, Any], int]:
        """What still came by channel, the status, and the close code."""
        said: dict[int, bytes] = {channels.STDOUT: b"", channels.STDERR: b""}
        status: dict[str, Any] = {}
        try:
            while True:
                channel, content = channels.split(socket.recv(40))
                if channel == channels.STATUS:
                    status = json.loads(content)
                else:
                    said[channel] += content
        except ConnectionClosed:
            return said, status, socket.close_code

    def lines(self, answer: requests.Response) -> Iterator[str]:
        for line in answer.iter_lines(chunk_size=1):
            yield line.decode()

    def memory_mib(self) -> float:
        return sum(processes.memory_kib(self.cloud.pid(program)) for program in ("gateway", "agent")) / 1024

    def assert_refused(self, answer: requests.Response, status: int, words: str) -> None:
        self.assertEqual(status, answer.status_code, answer.text)
        item = answer.json()["errors"][0]
        self.assertEqual(status, item["status"])
        self.assertRegex(item["title"], words)


class OwnPathsTest(GatewayCase):
    def test_the_paths_are_announced_where_clients_look(self):
        links = {link["rel"]: link["href"] for link in self.cloud.ask("GET", "/v1")["links"]}
        self.assertEqual(f"ws://127.0.0.1:{self.cloud.gateway_port}/", links["streams"])
        self.assertIn("events", self.get("/v1/", headers={}).json()["paths"])

    def test_a_log_is_followed_line_by_line_until_the_container_ends(self):
        uuid = self.container("counting", command=COUNTING)
        with self.get(f"/v1/containers/{uuid}/logs?follow=true&timestamps=1&stderr=0&tail=1", stream=True) as answer:
            lines = self.lines(answer)
            first = next(lines)
            self.assertRegex(first, r"^\d{4}-\d\d-\d\dT[\d:.]+Z line \d+$")
            number = int(first.split()[-1])
            self.assertEqual([number + 1, number + 2], [int(next(lines).split()[-1]) for _ in range(2)])
            self.cloud.ask("POST", f"/v1/containers/{uuid}/kill?signal=KILL")
            self.assertLess(sum(1 for _ in lines), 100)
        whole = self.get(f"/v1/containers/{uuid}/logs?stdout=0&since={time.time() - 3600:.3f}").text.splitlines()
        self.assertEqual(["error 1", "error 2"], whole[:2])
        self.assertEqual("", self.get(f"/v1/containers/{uuid}/logs?since={time.time() + 60:.3f}").text)

    def test_a_log_in_frames_tells_the_streams_apart(self):
        uuid = self.container("framed", command=["sh", "-c", "echo out; echo err >&2; sleep 600"])
        self.cloud.wait(lambda: len(self.get(f"/v1/containers/{uuid}/logs").text) == 8, "it has said both")
        content = self.get(f"/v1/containers/{uuid}/logs?format=frames").content
        found = set()
        while content:
            channel, length = channels.FRAME.unpack(content[:8])
            found.add((channel, content[8 : 8 + length]))
            content = content[8 + length :]
        self.assertEqual({(1, b"out\n"), (2, b"err\n")}, found)

    def test_a_log_of_nothing_is_followed_too(self):
        uuid = self.container("silent", command=["sleep", "600"])
        with self.get(f"/v1/containers/{uuid}/logs?follow=true", stream=True) as answer:
            self.assertEqual(200, answer.status_code)

    def test_exec_keeps_stdout_and_stderr_apart_and_tells_the_exit_code(self):
        uuid = self.container("commands")
        with self.exec(uuid, "sh", "-c", "cat; echo to-err >&2; exit 7") as socket:
            socket.send(channels.message(channels.STDIN, b"typed\n"))
            socket.send(channels.message(channels.STDIN, b""))
            said, status, code = self.rest(socket)
        self.assertEqual((b"typed\n", b"to-err\n"), (said[1], said[2]))
        self.assertEqual(({"exit_code": 7}, 1000), (status, code))

    def test_a_command_that_is_not_there_ends_with_127_and_says_so(self):
        uuid = self.container("lacking")
        with self.exec(uuid, "nonesuch") as socket:
            said, status, _ = self.rest(socket)
        self.assertEqual({"exit_code": 127}, status)
        self.assertRegex(said[2].decode(), "nonesuch.*not found")

    def test_a_command_that_reads_nothing_takes_one_request(self):
        uuid = self.container("asked")
        with self.post_exec(uuid, "sh", "-c", "cat; echo out; echo err >&2; exit 7") as answer:
            self.assertEqual((200, channels.FRAMES_TYPE), (answer.status_code, answer.headers["Content-Type"]))
            self.assertEqual({1: b"out\n", 2: b"err\n", 3: b'{"exit_code": 7}'}, self.framed(answer.content))
        with self.post_exec(uuid, "nonesuch") as answer:
            self.assertEqual(b'{"exit_code": 127}', self.framed(answer.content)[3])
        for command, token, status in ((("true",), "made-up", 401), (("true",), "", 401), ((), None, 400)):
            with self.post_exec(uuid, *command, token=token) as answer:
                self.assert_refused(answer, status, ".")
        self.cloud.ask("POST", f"/v1/containers/{uuid}/stop?timeout=1")
        self.cloud.wait_status(uuid, "Stopped")
        with self.post_exec(uuid, "true") as answer:
            self.assert_refused(answer, 409, "Stopped")

    def post_exec(self, uuid: str, *command: str, token: str | None = None) -> requests.Response:
        headers = self.headers() if token is None else {"X-Auth-Token": token}
        url = f"{self.gateway}/v1/containers/{uuid}/exec"
        return requests.post(url, headers=headers, json={"command": command}, stream=True, timeout=30)

    def framed(self, content: bytes) -> dict[int, bytes]:
        """What was said in each channel."""
        found: dict[int, bytes] = {}
        while content:
            channel, length = channels.FRAME.unpack_from(content)
            end = channels.FRAME.size + length
            found[channel] = found.get(channel, b"") + content[channels.FRAME.size : end]
            content = content[end:]
        return found

    def test_exec_with_a_terminal_follows_its_size(self):
        uuid = self.container("sized")
        with self.exec(uuid, "sh", terminal=True) as socket:
            socket.send(channels.message(channels.SIZE, b'{"height": 33, "width": 99}'))
            said = b""
            while b"33 99" not in said:
                socket.send(channels.message(channels.STDIN, b"stty size\n"))
                said += socket.recv(30)
            socket.send(channels.message(channels.STDIN, b"exit 3\n"))
            self.assertEqual({"exit_code": 3}, self.rest(socket)[1])

    def test_exec_into_what_does_not_run_is_409(self):
        uuid = self.container("stopped")
        with self.exec(uuid, "true") as socket:
            self.assertEqual({"exit_code": 0}, self.rest(socket)[1])
        self.cloud.ask("POST", f"/v1/containers/{uuid}/stop?timeout=1")
        self.cloud.wait_status(uuid, "Stopped")
        with self.exec(uuid, "true") as socket:
            _, status, code = self.rest(socket)
        self.assertEqual((409, 4409), (status["error"]["status"], code))
        self.assertRegex(status["error"]["request_id"], "^req-")

    def test_an_attached_process_tells_its_exit_code(self):
        uuid = self.container("attached", command=["sh", "-c", "read x; echo got $x; exit 5"], interactive=True)
        with self.dialled(f"/v1/containers/{uuid}/attach") as socket:
            socket.send(channels.message(channels.STDIN, b"word\n"))
            said, status, _ = self.rest(socket)
        self.assertEqual((b"got word\n", {"exit_code": 5}), (said[1], status))

    def test_a_port_of_the_container_s_own_loopback_is_reached(self):
        server = "trap 'exit 0' TERM; echo here > /tmp/index.html; httpd -f -p 127.0.0.1:8080 -h /tmp & wait"
        uuid = self.container("serving", command=["sh", "-c", server])
        path = f"/v1/containers/{uuid}/port-forward?port="

        def fetched() -> bool:
            with self.dialled(f"{path}8080") as socket:
                said = b""
                with contextlib.suppress(ConnectionClosed):
                    socket.send(b"GET / HTTP/1.0\r\n\r\n")
                    while True:
                        said += socket.recv(30)
                return said.endswith(b"here\n")

        self.cloud.wait(fetched, "the server answers")
        for port, code in (("9", 4409), ("0", 4400), ("x", 4400), ("", 4400)):
            with self.dialled(f"{path}{port}") as socket:
                self.assertEqual(code, self.rest(socket)[2], port)

    def test_who_may_not_is_refused(self):
        uuid = self.container("mine")
        for path in (f"/v1/containers/{uuid}/logs", f"/v1/containers/{uuid}/archive?path=/etc", "/v1/events"):
            self.assert_refused(self.get(path, headers={}), 401, "token")
            self.assert_refused(self.get(path, headers={"X-Auth-Token": "made-up"}), 401, ".")
        network = self.cloud.make_network(cloud="admin")
        theirs = self.cloud.run_container("theirs", cloud="admin", nets=[{"network": network}])
        self.addCleanup(self.delete, theirs)
        self.assert_refused(self.get(f"/v1/containers/{theirs}/logs"), 404, theirs)
        self.assert_refused(self.get("/v1/containers/nobody/logs"), 404, "nobody")
        self.assert_refused(self.get("/v1/nothing"), 404, "nothing at /v1/nothing")
        for query in ("tail=x", "since=-1", "since=x", "follow=maybe", "format=xml"):
            self.assert_refused(self.get(f"/v1/containers/{uuid}/logs?{query}"), 400, query.split("=")[0])
        for command in ((), ("a\0",)):
            with self.exec(uuid, *command) as socket:
                self.assertEqual(4400, self.rest(socket)[2], command)
        with self.exec(uuid, "true", headers={"X-Auth-Token": "made-up"}) as socket:
            self.assertEqual(4401, self.rest(socket)[2])
        with self.assertRaises(InvalidStatus):
            self.dialled(f"/v1/containers/{uuid}/exec", origin="http://evil.example").__enter__()

    def test_all_streams_end_with_the_token(self):
        uuid = self.container("revoked", command=COUNTING)
        token = self.cloud.take_token("demo")
        mine = {"X-Auth-Token": token}
        with contextlib.ExitStack() as stack:
            logs = stack.enter_context(self.get(f"/v1/containers/{uuid}/logs?follow=1", headers=mine, stream=True))
            events = stack.enter_context(self.get("/v1/events", headers=mine, stream=True))
            command = stack.enter_context(self.exec(uuid, "sleep", "600", headers=mine))
            asked = stack.enter_context(self.post_exec(uuid, "sleep", "600", token=token))
            kept = stack.enter_context(self.get(f"/v1/containers/{uuid}/logs?follow=1", stream=True))
            log_lines, event_lines, kept_lines = (self.lines(answer) for answer in (logs, events, kept))
            for lines in (log_lines, event_lines, kept_lines):
                next(lines)
            url = f"{self.cloud.url}/identity/v3/auth/tokens"
            requests.delete(url, headers={**mine, "X-Subject-Token": token}, timeout=30).raise_for_status()
            began = time.monotonic()
            with self.assertRaises(requests.exceptions.ChunkedEncodingError):
                self.assertLess(sum(1 for _ in log_lines), 1000)
            self.assertIn("event: end", list(event_lines))
            self.assertEqual(4403, self.closing_code(command))
            self.assertEqual(403, json.loads(self.framed(asked.content)[3])["error"]["status"])
            self.assertLess(time.monotonic() - began, 35)
            next(kept_lines)

    def closing_code(self, socket: ClientConnection) -> int:
        _, status, code = self.rest(socket)
        self.assertEqual(403, status["error"]["status"])
        return code

    def test_a_reader_that_stops_holds_up_the_process_and_nothing_grows(self):
        """D6."""
        uuid = self.container("flood", memory="64")
        before = self.memory_mib()
        with self.exec(uuid, "yes", "0123456789012345678901234567890123456789", max_queue=1) as socket:
            socket.recv(30)
            time.sleep(2)
            self.assertLess(self.memory_mib() - before, 10, "memory of gateway and agent, MiB")
            self.assertGreater(sum(len(socket.recv(30)) for _ in range(100)), 100_000)
        top = f"/v1/containers/{uuid}/top"
        self.cloud.wait(lambda: not any("yes" in row[-1] for row in self.cloud.ask("GET", top)["Processes"]), "it ends")

    def put(self, uuid: str, path: str, content: Any, **headers: str) -> requests.Response:
        url = f"{self.gateway}/v1/containers/{uuid}/archive"
        return requests.put(url, params={"path": path}, data=content, headers={**self.headers(), **headers}, timeout=60)

    def test_large_archives_go_in_and_out_in_constant_memory(self):
        uuid = self.container("copied", memory="64")
        size = 200 * MIB
        block = os.urandom(MIB)

        def tar() -> Iterator[bytes]:
            header = tarfile.TarInfo("large")
            header.size = size
            yield header.tobuf()
            for _ in range(size // MIB):
                yield block
            yield b"\0" * 10240

        before = self.memory_mib()
        answer = self.put(uuid, "/tmp", tar())
        self.assertEqual(204, answer.status_code, answer.text)
        grown = self.memory_mib() - before
        self.assertEqual(f"{size}", self.execute(uuid, "stat -c %s /tmp/large")[1].strip())
        with self.get(f"/v1/containers/{uuid}/archive?path=/tmp/large", stream=True) as answer:
            with tarfile.open(fileobj=answer.raw, mode="r|", bufsize=MIB) as archive:
                member = archive.next()
                stream = archive.extractfile(member)
                self.assertTrue(all(stream.read(MIB) == block for _ in range(size // MIB)))
        self.assertLess(max(grown, self.memory_mib() - before), 60, "memory of gateway and agent, MiB")

    def test_a_container_goes_on_while_a_slow_client_copies(self):
        script = "i=0; while true; do i=$((i+1)); echo $i > /tmp/next; mv /tmp/next /tmp/count; sleep 0.01; done"
        uuid = self.container("alive", command=["sh", "-c", f"dd if=/dev/zero of=/tmp/large bs=1M count=64; {script}"])
        self.cloud.wait(lambda: self.execute(uuid, "cat /tmp/count")[0] == 0, "it counts")
        with self.get(f"/v1/containers/{uuid}/archive?path=/tmp/large", stream=True) as answer:
            answer.raw.read(MIB)
            time.sleep(0.5)
            first, second = (int(self.execute(uuid, "cat /tmp/count")[1]) for _ in range(2))
            self.assertGreater(second, first)
            self.assertGreater(len(answer.raw.read(8 * MIB)), MIB)

    def test_what_may_not_be_unpacked_is_refused(self):
        uuid = self.container("guarded")
        self.assertEqual(204, self.put(uuid, "/tmp", a_tar(("fine", b"x"))).status_code)
        self.assertEqual((0, "x"), self.execute(uuid, "cat /tmp/fine"))
        link = io.BytesIO()
        with tarfile.open(fileobj=link, mode="w") as archive:
            member = tarfile.TarInfo("out")
            member.type, member.linkname = tarfile.SYMTYPE, "/../../../../../tmp/zun-lite-escaped"
            archive.addfile(member)
            archive.addfile(tarfile.TarInfo("out/in"))
        for content, path, status, words in (
            (a_tar(("../up", b"x")), "/tmp", 400, "leads out"),
            (b"\x1f\x8b" + b"0" * 600, "/tmp", 415, "gzip"),
            (b"no tar at all" * 100, "/tmp", 400, "not a tar"),
            (a_tar(("x", b"x")), "/nowhere", 400, "nothing at /nowhere"),
            (a_tar(("x", b"x")), "relative", 400, "absolute"),
            (a_tar(("x", b"x" * 2000))[:1024], "/tmp", 400, "cut off|middle"),
        ):
            with self.subTest(words):
                self.assert_refused(self.put(uuid, path, content), status, words)
        self.put(uuid, "/tmp", link.getvalue())
        self.assertFalse(os.path.lexists("/tmp/zun-lite-escaped"))
        self.assert_refused(self.put(uuid, "/tmp", b"x" * 600, **{"Content-Encoding": "gzip"}), 415, "gzip")
        self.assert_refused(self.get(f"/v1/containers/{uuid}/archive?path=/nowhere"), 400, "nothing at /nowhere")
        self.assertEqual("Running", self.cloud.container(uuid)["status"])

    def test_one_stream_more_than_a_container_may_have_is_refused(self):
        """D6."""
        uuid = self.container("bounded")
        path = f"/v1/containers/{uuid}/logs?follow=true"
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(self.get(path, stream=True)) for _ in range(MOST)]
            self.assert_refused(self.get(path), 429, f"{MOST} streams open")
            streams[0].close()
            self.cloud.wait(lambda: self.is_let_in(path), "the place of one that left is free")

    def is_let_in(self, path: str) -> bool:
        with self.get(path, stream=True) as answer:
            return answer.status_code == 200

    def listen(self, since: int | None = None, cloud: str = "demo") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.cloud.gateway_port, timeout=30)
        headers = self.headers(cloud)
        if since is not None:
            headers["Last-Event-ID"] = str(since)
        connection.request("GET", "/v1/events", headers=headers)
        answer = connection.getresponse()
        self.addCleanup(answer.close)
        self.addCleanup(connection.close)
        self.assertEqual((200, "text/event-stream"), (answer.status, answer.getheader("Content-Type")))
        return answer

    def events(self, answer: http.client.HTTPResponse) -> Iterator[tuple[str, int, dict[str, Any]]]:
        fields: dict[str, str] = {}
        while line := answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                yield fields["event"], int(fields.get("id", 0)), json.loads(fields["data"])
                fields = {}

    def test_changes_are_told_to_their_own_project_and_again_from_where_a_client_was(self):
        events = self.events(self.listen())
        ready, number, _ = next(events)
        self.assertEqual("ready", ready)
        theirs = self.listen(cloud="admin")
        uuid = self.container("told")
        self.delete(uuid)
        seen = []
        while not seen or seen[-1][2]["status"] != "Deleted":
            seen.append(next(events))
        self.assertEqual({("status", uuid)}, {(name, item["uuid"]) for name, _, item in seen})
        statuses = list(dict.fromkeys(item["status"] for _, _, item in seen))
        self.assertEqual(
            ["Creating", "Running", "Deleted"], [one for one in statuses if one not in ("Created", "Deleting")]
        )
        numbers = [number for _, number, _ in seen]
        self.assertEqual(sorted(numbers), numbers)
        half = len(seen) // 2
        again = self.events(self.listen(seen[half][1]))
        self.assertEqual("ready", next(again)[0])
        self.assertEqual(seen[half + 1 :], [next(again) for _ in seen[half + 1 :]])
        whole = self.events(self.listen(number))
        next(whole)
        self.assertEqual(seen[0], next(whole))
        gap = self.events(self.listen(10**9))
        self.assertEqual(["ready", "gap"], [next(gap)[0] for _ in range(2)])
        network = self.cloud.make_network(cloud="admin")
        other = self.cloud.run_container("others", cloud="admin", nets=[{"network": network}])
        self.addCleanup(self.delete, other)
        of_theirs = self.events(theirs)
        self.assertEqual(["ready", "status"], [next(of_theirs)[0], (told := next(of_theirs))[0]])
        self.assertEqual(other, told[2]["uuid"])

    def test_all_listeners_of_a_project_hear_a_change(self):
        answers = [self.listen() for _ in range(MOST)]
        uuid = self.container("heard")

        def heard(answer: http.client.HTTPResponse, into: list[str]) -> None:
            into.append(next(item["uuid"] for name, _, item in self.events(answer) if name == "status"))

        found: list[str] = []
        threads = [threading.Thread(target=heard, args=(answer, found)) for answer in answers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual([uuid] * MOST, found)
        self.assert_refused(self.get("/v1/events"), 429, f"{MOST} event streams")
