# SPDX-License-Identifier: Apache-2.0
"""Terminals of containers from end to end: the stock client on a real pty, and what must not be.

Needs root. Streams are checked often here, so that nobody has to wait for half a minute.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import resource
import tarfile
import time
from typing import Any

import requests
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.clients.terminal import Terminal
from tests.functional.case import CloudTestCase
from tests.unit.domain.test_tar import a_tar
from zun_lite.cmd import processes

SHELL: dict[str, Any] = {"command": ["sh"], "interactive": True, "tty": True}
IDLE = 1000


class StreamsCase(CloudTestCase):
    settings = {"gateway": {"check_seconds": "1"}}
    network: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network()

    def shell(self, name: str, **fields: Any) -> str:
        """The uuid of a running container whose main process is a shell that can be attached to."""
        return self.running(name, nets=[{"network": self.network}], **{**SHELL, **fields})["uuid"]

    def attach(self, uuid: str) -> str:
        return self.cloud.ask("GET", f"/v1/containers/{uuid}/attach")

    def exec(self, uuid: str, command: str) -> tuple[str, str]:
        body = {"command": command, "run": False, "interactive": True}
        answer = self.cloud.ask("POST", f"/v1/containers/{uuid}/execute", body)
        return answer["exec_id"], answer["proxy_url"]

    def expect(self, socket: ClientConnection, wanted: str) -> str:
        said = ""
        while wanted not in said:
            said += socket.recv(30).decode()
        return said

    def closed(self, socket: ClientConnection) -> tuple[int, str]:
        """How a stream ended, once it did."""
        with self.assertRaises(ConnectionClosed):
            while True:
                socket.recv(40)
        return socket.close_code, socket.close_reason

    def processes_in(self, uuid: str) -> list[str]:
        return [row[-1] for row in self.cloud.ask("GET", f"/v1/containers/{uuid}/top")["Processes"]]


class StockClientTest(StreamsCase):
    def terminal(self, *words: str, **size: int) -> Terminal:
        return Terminal("openstack", "appcontainer", *words, environment=self.cloud.environment, **size)

    def test_an_attached_terminal_follows_its_window_and_passes_on_every_key(self):
        uuid = self.shell("attached")
        with self.terminal("attach", "attached", rows=31, columns=97) as terminal:
            terminal.read_until("connected to attached")
            terminal.wait_raw()
            terminal.type("\rstty size\r")
            terminal.read_until("\n31 97\n")
            terminal.resize(44, 132)
            self.cloud.wait(lambda: self._size(uuid) == "44 132", "the terminal follows its window")
            terminal.type("echo h\u00e9llo $((6*7))\r")
            terminal.read_until("\nh\u00e9llo 42\n")
            terminal.type("sleep 600\r")
            self.cloud.wait(lambda: "sleep 600" in self.processes_in(uuid), "it sleeps")
            terminal.type("\x03")
            self.cloud.wait(lambda: "sleep 600" not in self.processes_in(uuid), "it was interrupted")
            terminal.type("exit\r")
            self.assertEqual(0, terminal.wait(), terminal.said)
        self.cloud.wait_status(uuid, "Stopped")

    def _size(self, uuid: str) -> str:
        return self.execute(uuid, "sh -c 'stty size < /proc/1/fd/0'")[1].strip()

    def test_a_command_that_is_not_there_is_told(self):
        self.shell("lacking")
        with self.terminal("exec", "--interactive", "lacking", "nonesuch") as terminal:
            terminal.read_until("nonesuch")
            terminal.wait()
            self.assertRegex(terminal.said, "nonesuch.*not found")


class GatewayTest(StreamsCase):
    def test_an_address_opens_one_stream_once(self):
        """A12, D2."""
        uuid = self.shell("once")
        address = self.attach(uuid)
        with connect(address, subprotocols=["binary", "base64"]) as socket:
            self.assertEqual("binary", socket.subprotocol)
            socket.send(b"echo $((40+2))\n")
            self.expect(socket, "42")
            with connect(address) as copy:
                self.assertEqual(1008, self.closed(copy)[0])
            socket.send(b"echo still $((40+3))\n")
            self.expect(socket, "still 43")
        with connect(address) as copy:
            self.assertEqual(1008, self.closed(copy)[0])

    def test_an_address_is_good_for_its_own_container_and_command(self):
        mine, other = self.shell("mine"), self.shell("others")
        exec_id, address = self.exec(mine, "sh")
        other_id, other_address = self.exec(other, "sh")
        for changed in (address.replace(mine, other), address.replace(exec_id, other_id), address.split("&exec_id")[0]):
            with connect(changed) as socket:
                self.assertEqual(1008, self.closed(socket)[0])
        with connect(other_address) as socket:
            socket.send(b"hostname\n")
            self.expect(socket, "hostname")

    def test_the_size_of_another_container_s_command_cannot_be_set(self):
        mine, other = self.shell("small"), self.shell("large")
        exec_id, address = self.exec(other, "sh")
        with connect(address):
            for uuid, status in ((mine, 400), (other, 200)):
                path = f"/v1/containers/{uuid}/execute_resize?exec_id={exec_id}&w=5&h=5"
                self.assertEqual(status, self.cloud.call("POST", path).status_code)

    def test_only_pages_of_its_own_host_are_let_in(self):
        uuid = self.shell("origins")
        own = f"http://127.0.0.1:{self.cloud.gateway_port}"
        for origin in ("http://evil.example", "null", f"https://127.0.0.1:{self.cloud.gateway_port}", own + ".evil"):
            address = self.attach(uuid)
            with self.assertRaises(InvalidStatus) as refused:
                connect(address, origin=origin)
            self.assertEqual(403, refused.exception.response.status_code)
            with connect(address, origin=own) as socket:
                socket.send(b"echo $((40+2))\n")
                self.expect(socket, "42")

    def test_a_stream_ends_with_the_token(self):
        """D4."""
        uuid = self.shell("revoked")
        token = self.cloud.take_token("demo")
        headers = {"X-Auth-Token": token, "OpenStack-API-Version": "container 1.40"}
        address = requests.get(f"{self.cloud.url}/v1/containers/{uuid}/attach", headers=headers, timeout=30).json()
        with connect(address) as revoked, connect(self.attach(uuid)) as kept:
            url = f"{self.cloud.url}/identity/v3/auth/tokens"
            headers = {"X-Auth-Token": token, "X-Subject-Token": token}
            self.assertEqual(204, requests.delete(url, headers=headers, timeout=30).status_code)
            self.assertEqual(1008, self.closed(revoked)[0])
            kept.send(b"echo $((40+2))\n")
            self.expect(kept, "42")

    def test_a_stream_ends_with_its_container(self):
        """D4."""
        uuid = self.shell("doomed")
        with connect(self.attach(uuid)) as socket:
            began = time.monotonic()
            self.cloud.call("DELETE", f"/v1/containers/{uuid}?force=true", cloud="admin")
            code, reason = self.closed(socket)
        self.assertLess(time.monotonic() - began, 35)
        self.assertIn((code, reason), ((1000, "Target closed"), (1008, "The container or the stream is gone.")))

    def test_both_ends_close_when_a_program_dies(self):
        uuid = self.shell("orphaned")
        for program in ("agent", "gateway"):
            exec_id, address = self.exec(uuid, "sh -c 'sleep 777; true'")
            with connect(address) as socket:
                self.cloud.wait(lambda: "sleep 777" in self.processes_in(uuid), "the command runs")
                self.cloud.kill(program)
                self.closed(socket)
            if program == "gateway":
                self.cloud.wait(lambda: "sleep 777" not in self.processes_in(uuid), "nobody's command ends")
            self.cloud.wait(
                lambda: requests.get(f"http://127.0.0.1:{self.cloud.gateway_port}/healthz", timeout=5).ok,
                "the gateway is back",
            )
            self.cloud.wait(
                lambda: self.cloud.call("GET", f"/v1/containers/{uuid}/top").status_code == 200, "the agent is back"
            )

    def test_a_reader_that_stops_holds_up_the_process_and_nothing_grows(self):
        uuid = self.shell("flood", memory="64")
        _, address = self.exec(uuid, "yes 0123456789012345678901234567890123456789")
        with connect(address, max_queue=1) as socket:
            socket.recv(30)
            before = self.memory_mib()
            time.sleep(5)
            grown = self.memory_mib() - before
            self.assertLess(grown, 8, "memory of gateway and agent, MiB")
            amount = sum(len(socket.recv(30)) for _ in range(200))
            self.assertGreater(amount, 100_000)
        self.cloud.wait(lambda: not any("yes" in line for line in self.processes_in(uuid)), "its command ends")

    def test_a_process_that_does_not_read_holds_up_the_writer_and_nothing_grows(self):
        uuid = self.shell("deafened", command=["sleep", "600"], tty=False)
        with connect(self.attach(uuid)) as socket:
            before = self.memory_mib()
            sent = 0
            socket.socket.settimeout(3)
            with self.assertRaises((TimeoutError, OSError, ConnectionClosed)):
                while sent < 64 * 1024 * 1024:
                    socket.send(b"x" * 65536)
                    sent += 65536
            self.assertLess(sent, 32 * 1024 * 1024)
            self.assertLess(self.memory_mib() - before, 8, "memory of gateway and agent, MiB")
        self.assertEqual("Running", self.cloud.container(uuid)["status"])

    def test_a_secret_is_in_no_log_and_no_database(self):
        """D2, E5, E6."""
        uuid = self.shell("quiet")
        exec_id, address = self.exec(uuid, "sh")
        secret = re.search(r"token=([^&]+)", address)[1]
        with connect(address) as socket:
            socket.send(b"exit\n")
            self.closed(socket)
        with connect(address) as socket:
            self.closed(socket)
        for folder in ("log", "run", "agent"):
            for path in (self.cloud.state_dir / folder).rglob("*"):
                if path.is_file():
                    self.assertNotIn(secret.encode(), path.read_bytes(), path)
        for path in self.cloud.state_dir.glob("zun_lite.sqlite*"):
            self.assertNotIn(secret.encode(), path.read_bytes(), path)

    def test_files_go_in_and_out_of_volumes_by_their_names(self):
        volume = self.cloud.make_volume(name="kept")
        uuid = self.shell("copied", mounts=[{"source": volume, "destination": "/data"}])
        one = f"/v1/containers/{uuid}"

        def put(path: str, content: bytes) -> int:
            body = {"data": base64.b64encode(content).decode()}
            return self.cloud.call("POST", f"{one}/put_archive?path={path}", body).status_code

        def names(path: str) -> list[str]:
            found = self.cloud.ask("GET", f"{one}/get_archive?path={path}")
            with tarfile.open(fileobj=io.BytesIO(base64.b64decode(found["data"]))) as archive:
                return archive.getnames()

        self.assertEqual(200, put("/data", a_tar(("in", b"x"))))
        self.assertEqual(["data", "data/in"], names("/data"))
        self.assertNotIn("/data/in", names("/"))
        self.assertEqual(400, put("/", a_tar(("data/sly", b"x"))))
        self.assertEqual((0, "in\n"), self.execute(uuid, "ls /data"))

    def memory_mib(self) -> float:
        return sum(processes.memory_kib(self.cloud.pid(program)) for program in ("gateway", "agent")) / 1024


class IdleTest(StreamsCase):
    settings = {"gateway": {"streams_per_workload": str(IDLE), "streams_per_project": str(IDLE)}}

    def test_a_thousand_idle_streams_cost_little_and_leave_nothing(self):
        """D6."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        uuid = self.shell("idle")
        before = {name: self.memory_mib(name) for name in ("gateway", "agent")}
        files = self.open_files()
        asyncio.run(self.hold(uuid, before))
        self.cloud.wait(lambda: self.open_files() <= files + 10, "no file is left open")

    async def hold(self, uuid: str, before: dict[str, float]) -> None:
        some = asyncio.Semaphore(4)

        async def open_one() -> Any:
            async with some:
                address = await asyncio.to_thread(self.attach, uuid)
                return await dial(address, compression=None, ping_interval=None)

        sockets = await asyncio.gather(*(open_one() for _ in range(IDLE)))
        refused = await asyncio.to_thread(self.cloud.call, "GET", f"/v1/containers/{uuid}/attach")
        self.assertEqual(429, refused.status_code)
        for name, mib in before.items():
            grown = self.memory_mib(name) - mib
            print(f"{IDLE} idle streams: {name} has grown by {grown:.0f} MiB", flush=True)
            self.assertLess(grown, 90, name)
        await sockets[0].send(b"echo $((40+2))\n")
        async with asyncio.timeout(30):
            said = b""
            while b"42" not in said:
                said += await sockets[-1].recv()
            await asyncio.gather(*(socket.close() for socket in sockets))

    def memory_mib(self, program: str) -> float:
        return processes.memory_kib(self.cloud.pid(program)) / 1024

    def open_files(self) -> int:
        return sum(len(os.listdir(f"/proc/{self.cloud.pid(program)}/fd")) for program in ("gateway", "agent"))
