# SPDX-License-Identifier: Apache-2.0
"""zl and the `openstack` plugin from end to end, on real terminals: a pty's, and tmux's.

Needs root. The plugin runs in the stock clients' environment, beside python-zunclient.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tarfile
import time

from tests.clients.runner import venv
from tests.clients.terminal import Terminal, heed_interrupts
from tests.functional.command_line_case import ZL, CommandLineCase

START_SECONDS = 0.25
COUNTING = ["sh", "-c", "trap 'exit 0' TERM; i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done"]


class CommandLineTest(CommandLineCase):
    def test_run_says_what_the_container_says_and_ends_as_it_does(self):
        done = self.zl("run", "--quiet", "--name", "once", "--net", f"network={self.network}", "demo:latest", "--",
                       "sh", "-c", "echo out; echo err >&2; exit 3")  # fmt: skip
        self.assertEqual((3, "out\n", "err\n"), (done.returncode, done.stdout, done.stderr))
        explained = json.loads(self.zl("explain", "once", "-f", "json").stdout)
        self.assertRegex(explained["verdict"], "ended by itself with exit code 3")
        self.assertEqual(["err", "out"], sorted(explained["last words"]))
        self.assertEqual(0, self.zl("delete", "once", "--wait").returncode)
        gone = self.zl("show", "once")
        self.assertEqual(1, gone.returncode)
        self.assertRegex(gone.stderr, r"^zl: .*once.*\(HTTP 404\) \(request req-[0-9a-f-]+\)\n$")

    def test_a_run_that_removes_itself_still_tells_its_exit_code(self):
        ours = self.zl("run", "--quiet", "--rm", "--name", "brief", "--net", f"network={self.network}", "demo:latest",
                       "--", "sh", "-c", "exit 9")  # fmt: skip
        self.assertEqual((9, ""), (ours.returncode, ours.stderr))
        self.cloud.wait(lambda: self.cloud.call("GET", "/v1/containers/brief").status_code == 404, "it goes")

    def test_exec_passes_on_streams_and_exit_codes(self):
        done = self.zl("exec", "-i", "shell", "--", "sh", "-c", "cat; echo err >&2; exit 4", input="typed\n")
        self.assertEqual((4, "typed\n", "err\n"), (done.returncode, done.stdout, done.stderr))
        missing = self.zl("exec", "shell", "nonesuch")
        self.assertEqual(127, missing.returncode)
        self.assertRegex(missing.stderr, "nonesuch.*not found")

    def test_a_terminal_follows_its_window_and_passes_on_every_key(self):
        with self.terminal("exec", "-it", "shell", "sh", rows=31, columns=97) as terminal:
            terminal.wait_raw()
            terminal.type("stty size\r")
            terminal.read_until("\n31 97\n")
            terminal.resize(44, 132)
            terminal.type("sleep 0.3; stty size\r")
            terminal.read_until("\n44 132\n")
            terminal.type("sleep 600\r")
            self.cloud.wait(lambda: "sleep 600" in self.zl("top", "shell").stdout, "it sleeps")
            terminal.type("\x03")
            terminal.type("echo h\u00e9llo $((6*7))\r")
            terminal.read_until("\nh\u00e9llo 42\n")
            terminal.type("exit 5\r")
            self.assertEqual(5, terminal.wait(), terminal.said)

    def test_what_is_attached_to_goes_on_when_it_is_left(self):
        with self.terminal("attach", "shell", rows=33, columns=88) as terminal:
            terminal.read_until("leaves it running")
            terminal.wait_raw()
            terminal.type("stty size\r")
            terminal.read_until("\n33 88\n")
            terminal.resize(41, 121)
            terminal.type("sleep 0.3; stty size\r")
            terminal.read_until("\n41 121\n")
            terminal.type("\x10\x11")
            self.assertEqual(0, terminal.wait(), terminal.said)
        self.assertEqual("Running", self.cloud.container(self.shell)["status"])

    def test_a_log_is_followed_in_tmux_until_ctrl_c(self):
        self.running("counting", nets=[{"network": self.network}], command=COUNTING)
        server = f"zl-test-{os.getpid()}"

        def tmux(*words: str) -> str:
            return self.run_command("tmux", "-L", server, "-f", "/dev/null", *words).stdout

        self.addCleanup(tmux, "kill-server")
        tmux("new-session", "-d", "-x", "90", "-y", "20", "sh")
        tmux("send-keys", f"PS1='$ '; clear; {' '.join(ZL)} logs --follow --tail 2 counting", "Enter")
        self.cloud.wait(lambda: len(re.findall(r"^line \d+$", tmux("capture-pane", "-p"), re.M)) > 4, "it follows")
        tmux("resize-window", "-x", "60", "-y", "15")
        tmux("send-keys", "C-c", "")
        tmux("send-keys", "echo ended $?", "Enter")
        self.cloud.wait(lambda: "ended 130" in tmux("capture-pane", "-p"), "the shell is back")
        self.assertNotIn("Traceback", tmux("capture-pane", "-p", "-S", "-100"))

    def test_a_list_fits_its_terminal_and_has_colours_there_alone(self):
        with self.terminal("list", columns=60) as terminal:
            self.assertEqual(0, terminal.wait())
        self.assertIn("\x1b[32mRunning\x1b[0m", terminal.said)
        plain = re.sub(r"\x1b\[\d+m", "", terminal.said)
        self.assertLessEqual(max(map(len, plain.splitlines())), 60)
        self.assertIn("\u2026", plain)
        with Terminal(*ZL, "list", environment={**self.environment, "NO_COLOR": "1"}) as terminal:
            terminal.wait()
        piped = self.zl("list").stdout
        self.assertNotIn("\x1b", terminal.said + piped)
        self.assertIn(self.shell, piped)
        fitted = self.zl("list", "--fit-width", env={**self.environment, "COLUMNS": "70"}).stdout
        self.assertEqual(70, max(map(len, fitted.splitlines())))

    def test_stats_and_events_go_on_until_ctrl_c(self):
        with self.terminal("stats", "shell") as stats, self.terminal("events") as events:
            # each screen is painted over the one before
            self.cloud.wait(lambda: stats.read_more() and stats.said.count("\x1b[H\x1b[2J") >= 2, "they are live")
            self.assertEqual(2, len(re.findall(r"^shell  ", stats.said, re.M)))
            name = self.running("heard-of", nets=[{"network": self.network}])["name"]
            self.assertRegex(events.read_until("Running"), rf"container {name} .*Creating")
            self.assertIn("\x1b[32mRunning", events.said)
            for terminal in (stats, events):
                terminal.type("\x03")
                self.assertEqual(130, terminal.wait())
                self.assertNotIn("Traceback", terminal.said)

    def test_bash_completes_the_commands(self):
        words = (str(shutil.which("bash")), "--norc", "--noprofile", "-i")
        with Terminal(*words, environment=self.environment) as terminal:
            terminal.type(f'zl() {{ {" ".join(ZL)} "$@"; }}; eval "$(zl complete)"; echo rea\'\'dy\r')
            terminal.read_until("ready\n")
            terminal.type("zl expl\t-h; echo do''ne\r")
            self.assertRegex(terminal.read_until("done\n"), "zl explain -h")
            self.assertIn("usage: zl explain", terminal.said)

    def test_files_are_copied_in_and_out(self):
        source = self.folder / "source"
        (source / "inner").mkdir(parents=True)
        (source / "inner" / "file").write_bytes(os.urandom(3_000_000))
        self.assertEqual("", self.zl("cp", str(source), "shell:/tmp").stderr)
        self.assertEqual("", self.zl("cp", str(source / "inner" / "file"), "shell:/tmp/renamed").stderr)
        self.assertEqual("", self.zl("cp", "shell:/tmp/source", str(self.folder / "back")).stderr)
        for path in (self.folder / "back" / "inner" / "file",):
            self.assertEqual((source / "inner" / "file").read_bytes(), path.read_bytes())
        tar = self.zl("cp", "shell:/tmp/renamed", "-", text=False).stdout
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            self.assertEqual(["renamed"], archive.getnames())
        refused = self.zl("cp", "shell:/nowhere", str(self.folder))
        self.assertRegex(refused.stderr, "nothing at /nowhere")

    def test_a_port_is_forwarded(self):
        serve = "trap 'exit 0' TERM; echo here > /tmp/index.html; httpd -f -p 127.0.0.1:8080 -h /tmp & wait"
        self.running("serving", nets=[{"network": self.network}], command=["sh", "-c", serve])
        with (
            subprocess.Popen(
                [*ZL, "port-forward", "serving", "0:8080"],
                env=self.environment,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=heed_interrupts,
            ) as forwarding,
            contextlib.ExitStack() as ending,
        ):
            ending.callback(forwarding.kill)
            port = int(re.search(r":(\d+) to port", forwarding.stdout.readline())[1])

            def fetched() -> bool:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as found:
                    found.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    said = b"".join(iter(lambda: found.recv(4096), b""))
                    return said.endswith(b"here\n")
                return False

            self.cloud.wait(fetched, "the page comes through")
            forwarding.send_signal(signal.SIGINT)
            self.assertIn(forwarding.wait(30), (0, 130))

    def test_events_are_shown_as_they_happen(self):
        with subprocess.Popen(
            [*ZL, "events", "--json", "--count", "2"], env=self.environment, stdout=subprocess.PIPE, text=True
        ) as events:
            time.sleep(1)
            uuid = self.running("heard", nets=[{"network": self.network}])["uuid"]
            told = [json.loads(line) for line in events.stdout]
        self.assertEqual({uuid}, {item["uuid"] for item in told})
        self.assertEqual(0, events.returncode)

    def test_a_kept_token_is_used_and_renewed_when_it_is_revoked(self):
        self.assertEqual(0, self.zl("list").returncode)
        folder = self.folder / "cache" / "zun_lite" / "tokens"
        (kept,) = (path for path in folder.iterdir() if not path.name.startswith("way-"))
        known = json.loads(kept.read_text())
        self.assertEqual(0, self.zl("list").returncode)
        self.assertEqual(known["token"], json.loads(kept.read_text())["token"])
        kept.write_text(json.dumps({**known, "token": "gAAAAAmade-up"}))
        done = self.zl("list", "-f", "value", "-c", "name")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("shell\n", done.stdout)
        self.assertNotEqual("gAAAAAmade-up", json.loads(kept.read_text())["token"])

    def test_a_command_starts_quickly(self):
        self.zl("list")
        spent = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.assertEqual(0, self.zl("list").returncode)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        self.assertLess(min(spent), START_SECONDS, "seconds of processor time")

    def test_the_plugin_s_commands_win_beside_the_stock_ones_and_the_rest_stay(self):
        listed = json.loads(self.openstack("appcontainer", "list", "-f", "json", "--fit-width").stdout)
        self.assertIn(("shell", "Running"), {(item["name"], item["status"]) for item in listed})
        done = self.openstack("appcontainer", "exec", "shell", "--", "sh", "-c", "echo err >&2; exit 6")
        self.assertEqual((6, "err\n"), (done.returncode, done.stderr))
        refused = self.openstack("appcontainer", "show", "nobody")
        self.assertRegex(refused.stderr, r"nobody.*\(HTTP 404\) \(request req-")
        self.assertEqual(1, refused.returncode)
        helped = self.openstack("help", "appcontainer").stdout
        for name in ("explain", "port-forward", "events", "add floating ip"):
            self.assertIn(f"appcontainer {name}", helped)
        self.assertRegex(self.openstack("complete").stdout, r"cmds_appcontainer='[^']*\bexplain\b")
        with Terminal(
            *("openstack", "appcontainer", "exec", "-it", "shell", "sh"),
            environment={**self.environment, "PYTHONPATH": self.plugin_path},
            rows=29,
            columns=91,
        ) as terminal:
            terminal.wait_raw()
            terminal.type("stty size; exit 7\r")
            self.assertEqual(7, terminal.wait(), terminal.said)
        self.assertIn("\n29 91\n", terminal.said)
        uuid = self.openstack("appcontainer", "run", "--net", f"network={self.network}", "-f", "value", "-c", "uuid",
                              "demo:latest", "true").stdout.strip()  # fmt: skip
        self.assertRegex(uuid, "^[0-9a-f-]{36}$")

    def test_the_plugin_reads_a_command_when_it_is_run_and_not_when_it_is_listed(self):
        script = (
            "import sys; from importlib.metadata import entry_points; "
            "found = {point.name: point.load() for point in entry_points(group='openstack.extension') "
            "if point.value.startswith('zun_lite')}; "
            "listed = 'zun_lite.cli.containers' in sys.modules; "
            "made = found['appcontainer_port-forward'](None, None); "
            "print(len(found) > 40, listed, made.get_description(), 'zun_lite.cli.moving' in sys.modules)"
        )
        environment = {**self.environment, "PYTHONPATH": self.plugin_path}
        done = self.run_command(str(venv() / "bin" / "python"), "-c", script, env=environment)
        self.assertEqual("True False Reach a TCP port of a container from here True\n", done.stdout, done.stderr)

    def test_the_sdk_has_containers_by_the_vendor_hook(self):
        script = (
            "import openstack, json\n"
            "conn = openstack.connect(cloud='demo', vendor_hook='zun_lite.osc.sdk:add_container_service')\n"
            "found = conn.container.find_container('shell')\n"
            "output, code = conn.container.execute_in_container(found, 'echo hello')\n"
            "names = [one.name for one in conn.container.containers(status='Running')]\n"
            "print(json.dumps([names, found.id, output, code]))\n"
        )
        environment = {**self.environment, "PYTHONPATH": self.plugin_path}
        done = self.run_command(str(venv() / "bin" / "python"), "-c", script, env=environment)
        self.assertEqual(0, done.returncode, done.stderr)
        names, ident, output, code = json.loads(done.stdout)
        self.assertIn("shell", names)
        self.assertEqual((self.shell, "hello\n", 0), (ident, output, code))
