# SPDX-License-Identifier: Apache-2.0
"""The OCI runtime wrapper as a program, with stand-ins for the real runtime and for netd."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import testtools

from zun_lite.netd import runtime
from zun_lite.netd.runtime_create import Arguments

# notes how it was called, writes the pid file as runc does, and fails when told to
REAL = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done >> {folder}/calls
echo -- >> {folder}/calls
while [ $# -gt 0 ]; do
    if [ "$1" = --pid-file ]; then echo 4242 > "$2"; fi
    shift
done
exit $(cat {folder}/code 2>/dev/null || echo 0)
"""


class FakeNetd:
    """Answers each request by a function, on a real socket."""

    def __init__(self, path: str, answer: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                request = json.loads(stream.readline())
                self.asked.append(request)
                answer = self._answer(request)
                if answer is not None:
                    stream.write(json.dumps(answer).encode() + b"\n")


def agree(request: dict[str, Any]) -> dict[str, Any]:
    sources = {"v1": "/mounts/v1/data"}
    return {"ok": True, "result": {"sources": sources, "mount_dir": "/mounts"} if request["op"] == "prepare" else {}}


class WrapperTests(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.real = self.folder / "real runtime"
        self.real.write_text(REAL.format(folder=self.folder))
        self.real.chmod(0o755)
        self.socket = str(self.folder / "netd.sock")
        self.wrapper = str(self.folder / "bin/wrapper")
        runtime.install(self.wrapper, str(self.real), self.socket, sys.executable)
        self.bundle = self.folder / "bundle"
        self.bundle.mkdir()
        self.configure({"type": "network"})
        self.log = self.folder / "log.json"
        self.create = (
            *("--root", str(self.folder / "create"), f"--log={self.log}", "--log-format", "json", "create"),
            *("--bundle", str(self.bundle), "--pid-file", str(self.folder / "pid"), "ab" * 32),
        )

    def configure(self, *namespaces: dict[str, str], mounts: tuple[str, ...] = ()) -> None:
        config = {"linux": {"namespaces": namespaces}, "mounts": [{"source": source} for source in mounts]}
        (self.bundle / "config.json").write_text(json.dumps(config))

    def netd(self, answer: Any = agree) -> FakeNetd:
        fake = FakeNetd(self.socket, answer)
        self.addCleanup(fake.close)
        return fake

    def run_wrapper(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.wrapper, *words], capture_output=True, text=True, timeout=30)

    def calls(self) -> list[list[str]]:
        text = (self.folder / "calls").read_text() if (self.folder / "calls").exists() else ""
        return [call.splitlines() for call in text.split("--\n")[:-1]]

    def reason(self) -> str:
        entry = json.loads(self.log.read_text().splitlines()[-1])
        self.assertEqual("error", entry["level"])
        return entry["msg"]

    def test_every_other_verb_goes_straight_to_the_real_runtime(self) -> None:
        for words in (
            ("--root", "create", "start", "x"),
            ("--log=create", "--systemd-cgroup", "delete", "--force", "create"),
            ("state", "a b"),
            ("--version",),
            (),
        ):
            (self.folder / "code").write_text("7")
            self.assertEqual(7, self.run_wrapper(*words).returncode)
            self.assertEqual(list(words), self.calls()[-1])

    def test_create_prepares_then_creates_with_the_same_words_then_wires(self) -> None:
        netd = self.netd()

        self.assertEqual(0, self.run_wrapper(*self.create).returncode)

        self.assertEqual([list(self.create)], self.calls())
        self.assertEqual(
            [
                {"op": "prepare", "container_id": "ab" * 32},
                {"op": "wire", "container_id": "ab" * 32, "pid": 4242},
            ],
            netd.asked,
        )

    def test_a_container_that_joins_another_is_prepared_and_not_wired(self) -> None:
        netd = self.netd()
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self.addCleanup(other.communicate, b"\n")
        self.configure({"type": "mount"}, {"type": "network", "path": f"/proc/{other.pid}/ns/uts"})

        self.assertEqual(0, self.run_wrapper(*self.create).returncode)
        self.assertEqual(["prepare"], [request["op"] for request in netd.asked])

    def test_the_hosts_own_network_is_refused(self) -> None:
        self.netd()
        self.configure({"type": "network", "path": "/proc/self/ns/net"})

        self.assertEqual(1, self.run_wrapper(*self.create).returncode)
        self.assertIn("host's own network", self.reason())
        self.assertIn("delete", self.calls()[-1])

    def test_only_prepared_volumes_may_be_bound(self) -> None:
        self.netd()
        self.configure({"type": "network"}, mounts=("/mounts/v1/data", "/elsewhere"))
        self.assertEqual(0, self.run_wrapper(*self.create).returncode)

        self.configure({"type": "network"}, mounts=("/mounts/v2/data",))
        self.assertEqual(1, self.run_wrapper(*self.create).returncode)
        self.assertIn("/mounts/v2/data", self.reason())

    def test_a_refusal_before_create_creates_nothing(self) -> None:
        self.netd(lambda request: {"ok": False, "error": {"kind": "not-found", "message": "no such record"}})

        done = self.run_wrapper(*self.create)

        self.assertEqual((1, "zun_lite: no such record\n"), (done.returncode, done.stderr))
        self.assertEqual("zun_lite: no such record", self.reason())
        self.assertEqual([], self.calls())

    def test_a_failure_to_wire_takes_the_half_made_container_away(self) -> None:
        failure = {"ok": False, "error": {"kind": "failed", "message": "no bridge"}}
        self.netd(lambda request: failure if request["op"] == "wire" else agree(request))

        self.assertEqual(1, self.run_wrapper(*self.create).returncode)
        self.assertEqual([*self.create[:5], "delete", "--force", "ab" * 32], self.calls()[-1])
        self.assertIn("no bridge", self.reason())

    def test_the_real_runtimes_exit_code_is_kept(self) -> None:
        netd = self.netd()
        (self.folder / "code").write_text("3")

        self.assertEqual(3, self.run_wrapper(*self.create).returncode)
        self.assertEqual(1, len(self.calls()))
        self.assertEqual(["prepare"], [request["op"] for request in netd.asked])

    def test_a_netd_that_hangs_up_is_asked_again(self) -> None:
        seen: list[str] = []

        def answer(request: dict[str, Any]) -> dict[str, Any] | None:
            seen.append(request["op"])
            return None if seen.count(request["op"]) == 1 else agree(request)

        self.netd(answer)

        self.assertEqual(0, self.run_wrapper(*self.create).returncode)
        self.assertEqual(["prepare", "prepare", "wire", "wire"], seen)

    def test_a_missing_netd_is_waited_for_and_then_named(self) -> None:
        # the wait is cut short by a copy of the program with a shorter one
        source = "from zun_lite.netd import runtime_create as r; import sys; r.CONNECT_SECONDS = 0.2; "
        done = subprocess.run(
            [sys.executable, "-c", f"{source}sys.exit(r.main(sys.argv[1:]))"]
            + [str(self.real), self.socket, str(self.folder), "30", *self.create],
            capture_output=True,
            timeout=30,
        )

        self.assertEqual(1, done.returncode)
        self.assertIn("netd does not answer", self.reason())
        self.assertEqual([], self.calls())

    def test_a_netd_that_hangs_before_the_container_is_made_is_named_in_time(self) -> None:
        self.hang_at("prepare")
        self.assertEqual([], self.calls())

    def test_a_netd_that_hangs_when_it_is_made_is_named_in_time_and_the_container_taken_away(self) -> None:
        self.hang_at("wire")
        made, taken_away = self.calls()
        self.assertEqual((list(self.create), "delete"), (made, taken_away[-3]))

    def hang_at(self, operation: str) -> None:
        released = threading.Event()
        self.addCleanup(released.set)
        runtime.install(self.wrapper, str(self.real), self.socket, sys.executable, answer_seconds=0.5)
        self.netd(lambda request: agree(request) if request["op"] != operation else released.wait(20) and None)
        began = time.monotonic()
        self.assertEqual(1, self.run_wrapper(*self.create).returncode)
        self.assertLess(time.monotonic() - began, 10)
        self.assertIn(f"did not answer {operation} in 0.5 s; it hangs", self.reason())

    def test_installing_again_replaces_the_program_whole(self) -> None:
        runtime.install(self.wrapper, "/other/runtime", self.socket, sys.executable)

        self.assertIn("real=/other/runtime\n", Path(self.wrapper).read_text())
        self.assertTrue(os.access(self.wrapper, os.X_OK))
        self.assertEqual(["wrapper"], os.listdir(os.path.dirname(self.wrapper)))


class ArgumentsTests(testtools.TestCase):
    def test_both_spellings_of_options_are_read(self) -> None:
        for argv in (
            ["--root", "r", "--log=l", "create", "--bundle=b", "--pid-file", "p", "id"],
            ["-root", "r", "-log", "l", "--debug", "create", "-b", "b", "-pid-file=p", "--no-pivot", "id"],
        ):
            found = Arguments(argv)
            self.assertEqual(("l", "b", "p", "id"), (found.log, found.bundle, found.pid_file, found.container_id))
            self.assertEqual(argv[: argv.index("create")], found.globals)

    def test_a_value_that_looks_like_the_verb_is_not_taken_for_it(self) -> None:
        found = Arguments(["--root", "create", "create", "--bundle", "create", "--pid-file", "p", "id"])

        self.assertEqual(("create", ["--root", "create"]), (found.bundle, found.globals))
