# SPDX-License-Identifier: Apache-2.0
"""What is enormous, bottomless or malformed is refused soon, and costs the processes no memory that they keep."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from tests.functional.case import CloudTestCase
from zun_lite.cmd import processes

MIB = 1024 * 1024
HUGE_BYTES = 100 * MIB
# What one such request may take for a moment, beyond what the process had before.
MOST_GROWTH_MIB = 100.0
SOON_SECONDS = 10.0
# Every door that reads a body, by the name that the refusal comes under; some need no token.
DOORS = (
    "/v1/containers",
    "/v1/capsules",
    "/v1/registries",
    "/v1/images",
    "/v1/containers/real/put_archive?path=/tmp",
    "/v1/containers/any/stop",
    "/network/v2.0/networks",
    "/volume/v3/volumes",
    "/image/v2/images",
    "/identity/v3/auth/tokens",
    "/node/v1/enrol",
)
MILLION_KEYS = b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}"


class BombsTest(CloudTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        network = cls.cloud.make_network("10.89.0.0/24", name="real", cloud="admin")
        uuid = cls.cloud.run_container("real", cloud="admin", nets=[{"network": network}])
        cls.cloud.wait_status(uuid, "Running", cloud="admin")

    def setUp(self) -> None:
        super().setUp()
        self.before = self.peak_mib()
        self.addCleanup(self.assert_unharmed)

    def peak_mib(self) -> dict[int, float]:
        """The most memory that each process of the API ever held."""
        return {pid: peak_mib(pid) for pid in processes.tree(self.cloud.pid("api"))}

    def assert_unharmed(self) -> None:
        """The same processes are there, they answer, and none of them grew by much."""
        self.assertEqual(200, self.cloud.call("GET", "/v1/containers").status_code)
        after = self.peak_mib()
        self.assertEqual(set(self.before), set(after), "a process of the API died")
        grown = {pid: after[pid] - self.before[pid] for pid in after}
        self.assertLess(max(grown.values()), MOST_GROWTH_MIB, grown)

    def headers(self, **more: str) -> dict[str, str]:
        # Some doors are for administrators.
        told = {"X-Auth-Token": self.cloud.token("admin"), "OpenStack-API-Version": "container 1.40"}
        return {**told, "Content-Type": "application/json", **more}

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        return requests.post(f"{self.cloud.url}{path}", data=body, headers=self.headers(**headers), timeout=60)

    def soon(self, ask: Callable[[], requests.Response | int]) -> requests.Response | int:
        began = time.monotonic()
        answer = ask()
        self.assertLess(time.monotonic() - began, SOON_SECONDS)
        return answer

    def test_a_hundred_mebibytes_are_refused_at_every_door_before_they_are_read(self):
        for path in DOORS:
            with self.subTest(path=path):
                self.assertEqual(413, self.soon(lambda path=path: self.send_raw(path, HUGE_BYTES)))

    def test_a_hundred_mebibytes_in_chunks_are_refused_at_every_door(self):
        for path in DOORS:
            with self.subTest(path=path):
                self.assertEqual(413, self.soon(lambda path=path: self.send_chunks(path)))

    def test_a_million_keys_are_refused_at_every_door(self):
        for path in DOORS:
            with self.subTest(path=path):
                answer = self.soon(lambda path=path: self.post(path, MILLION_KEYS))
                self.assertIn(answer.status_code, (400, 404, 413), answer.text[:200])

    def test_as_many_keys_as_a_body_may_hold_are_refused_at_every_door(self):
        """D9."""
        body = b"{" + b",".join(b'"k%d":1' % number for number in range(80_000)) + b"}"
        self.assertLess(len(body), MIB)
        for path in DOORS:
            with self.subTest(path=path):
                answer = self.soon(lambda path=path: self.post(path, body))
                self.assertIn(answer.status_code, (400, 404, 413), answer.text[:200])

    def test_nesting_without_end_is_refused_at_every_door(self):
        """D9."""
        depth = 150_000
        for body in (
            b"[" * depth + b"]" * depth,
            b'{"a":' * depth + b"1" + b"}" * depth,
            b"[" * depth,
            b'{"a":' * depth,
        ):
            for path in DOORS:
                with self.subTest(path=path, body=body[:6]):
                    answer = self.soon(lambda path=path, body=body: self.post(path, body))
                    self.assertIn(answer.status_code, (400, 404, 413), answer.text[:200])

    def test_numbers_that_are_none_are_refused(self):
        for number in (b"1e400", b"-1e400", b"NaN", b"Infinity", b"9" * 5000, b"0x10", b"1e", b"-"):
            for field in (b"cpu", b"memory", b"disk"):
                with self.subTest(number=number[:12], field=field):
                    answer = self.post("/v1/containers", b'{"image":"demo","' + field + b'":' + number + b"}")
                    self.assertEqual(400, answer.status_code, answer.text[:200])
        for text in ("1e400", "9" * 400, "nan", "inf", "-0", "1_000", "٣", " 1"):
            for field in ("cpu", "memory", "disk"):
                with self.subTest(text=text[:12], field=field):
                    answer = self.cloud.call("POST", "/v1/containers", {"image": "demo", field: text})
                    self.assertEqual(400, answer.status_code, answer.text[:200])

    def test_of_a_key_that_is_there_twice_the_last_one_counts(self):
        answer = self.post("/v1/containers", b'{"image":"demo","memory":"16","memory":"5"}')
        self.assertEqual(400, answer.status_code, answer.text)
        answer = self.post("/v1/containers", b'{"image":"demo","cpu":0.1,"memory":"5","memory":"16"}')
        self.assertEqual((202, "16"), (answer.status_code, answer.json().get("memory")), answer.text)
        self.delete(answer.json()["uuid"])

    def test_names_and_paths_with_control_characters_are_refused(self):
        """B4, D8."""
        for name in (
            "a\nb",
            "a\tb",
            "a\x7fb",
            "a\x00b",
            "a\x1b[31mb",
            "a\u202eb",
            "a\u2028b",
            "a b",
            "a/b",
            "á",
            "-a",
            "",
        ):
            with self.subTest(name=name):
                answer = self.cloud.call("POST", "/v1/containers", {"image": "demo", "name": name})
                self.assertEqual(400, answer.status_code, answer.text)
                self.assertNotIn("\x1b", answer.text)
        for path in ("/v1/containers/a%0Ab", "/v1/containers/a%00b", "/v1/containers/%1B%5B31m", "/v1/%FF%FE"):
            with self.subTest(path=path):
                answer = self.cloud.call("GET", path)
                self.assertIn(answer.status_code, (400, 404), answer.text)
        logs = (self.cloud.state_dir / "log" / "api.log").read_bytes()
        self.assertNotIn(b"\x1b", logs)
        self.assertNotIn(b"\x00", logs)

    def test_headers_and_addresses_without_end_are_refused(self):
        for path, headers in (
            ("/v1/containers?name=" + "x" * 20_000, {}),
            ("/v1/containers/" + "x" * 20_000, {}),
            ("/v1/containers", {"X-Filler": "x" * 20_000}),
            ("/v1/containers", {f"X-Filler-{number}": "x" for number in range(500)}),
            ("/v1/containers", {"X-Auth-Token": "x" * 7_000}),
        ):
            answer = requests.get(f"{self.cloud.url}{path}", headers={**self.headers(), **headers}, timeout=30)
            self.assertIn(answer.status_code, (400, 401, 414, 431), f"{path[:40]}: {answer.text[:200]}")

    def test_a_length_that_is_a_lie_or_none_is_refused_or_waited_for_no_longer_than_others_need(self):
        for length in (b"-1", b"x", b"1e3", b"99999999999999999999", b"5, 6"):
            with self.subTest(length=length):
                head = b"POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n{}"
                status = self.talk(head)
                self.assertIn(status, (400, 401, 411, 413), status)

    # By hand, as no client sends this.

    def talk(self, *parts: bytes) -> int:
        """Send these and answer the status; what the server no longer takes is not sent."""
        with socket.create_connection(("127.0.0.1", self.cloud.port), timeout=30) as sock:
            try:
                for part in parts:
                    sock.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                head = sock.recv(4096)
            except ConnectionResetError:
                return 0
        return int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0

    def head(self, path: str, *lines: str) -> bytes:
        told = [f"POST {path} HTTP/1.1", "Host: x", *(f"{key}: {text}" for key, text in self.headers().items()), *lines]
        return ("\r\n".join(told) + "\r\n\r\n").encode()

    def send_raw(self, path: str, size: int) -> int:
        return self.talk(self.head(path, f"Content-Length: {size}"), *([b" " * MIB] * (size // MIB)))

    def send_chunks(self, path: str) -> int:
        def chunks() -> Iterator[bytes]:
            for _ in range(HUGE_BYTES // MIB):
                yield b"100000\r\n" + b" " * MIB + b"\r\n"
            yield b"0\r\n\r\n"

        return self.talk(self.head(path, "Transfer-Encoding: chunked"), *chunks())


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
