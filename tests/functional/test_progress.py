# SPDX-License-Identifier: Apache-2.0
"""How `run` shows a container's way, layer by layer of an image of a real registry, and what `explain` says of it.

Needs root.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile

from tests.functional.command_line_case import ZL, CommandLineCase
from tests.registry import PrivateRegistry

PORT = 5127
LAYER_BYTES = (20_000_000, 3_000_000, 400_000)


class ProgressTest(CommandLineCase):
    settings = {"image": {"allowed_registries": f"127.0.0.1:{PORT}"}}
    registry: PrivateRegistry

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.registry = PrivateRegistry(cls.cloud.engine, PORT)
        cls.addClassCleanup(cls.registry.stop)
        cls.registry.start()

    def pushed(self, name: str) -> str:
        """The name of an image in the registry, with layers that no other image has and that cannot be pressed."""
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            lines = ["FROM demo:latest"]
            for number, count in enumerate(LAYER_BYTES):
                lines.append(f"ADD part{number} /part{number}")
                self._add(tar, f"part{number}", os.urandom(count))
            self._add(tar, "Dockerfile", "\n".join(lines).encode())
        context.seek(0)
        api = self.cloud.engine.api
        for line in api.build(fileobj=context, custom_context=True, tag=f"{name}:1", rm=True, decode=True):
            self.assertNotIn("error", line)
        self.registry.push(f"{name}:1", f"{name}:1")
        api.remove_image(f"{name}:1")
        return f"{self.registry.address}/{name}:1"

    def _add(self, tar: tarfile.TarFile, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))

    def run_words(self, name: str, *words: str, image: str = "demo:latest") -> tuple[str, ...]:
        return ("run", *words, "--name", name, "--net", f"network={self.network}", image)

    def explain(self, name: str, cloud: str = "demo") -> dict:
        environment = {**self.environment, "OS_CLOUD": cloud}
        done = self.zl("explain", name, "-f", "json", env=environment)
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def stages(self, told: dict) -> dict[str, str]:
        return {stage["name"]: stage["state"] for stage in told["stages"]}

    def test_a_pull_is_shown_by_its_layers_on_a_terminal_and_gone_when_the_container_speaks(self):
        words = self.run_words("shown", image=self.pushed("shown"))
        with self.terminal(*words, "--", "sh", "-c", "echo out; exit 3") as terminal:
            self.assertEqual(3, terminal.wait(), terminal.said)
        screens = terminal.said.split("\x1b[J")
        for wanted in (r"host +\S*done", r"image +under way", r"\n  [0-9a-f]{12}  (downloading|unpacking|done)"):
            self.assertRegex(terminal.said, wanted)
        self.assertIn("layers", terminal.said)
        self.assertEqual("out\n", screens[-1])
        # each screen takes back exactly the lines of the one before it
        for before, after in zip(screens[1:], screens[2:], strict=False):
            self.assertRegex(before, rf"\x1b\[{before.count(chr(10))}A\r$", after)

    def test_elsewhere_each_layer_and_each_stage_is_a_line(self):
        words = self.run_words("plain", image=self.pushed("plain"))
        command = [*ZL, *words, "--", "sh", "-c", "echo out; echo err >&2; exit 4"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with self.registry.held():
            running = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, **pipes)
            self.addCleanup(running.kill)
            first = [running.stderr.readline() for _ in range(2)]
            waiting = self.explain("plain")
        self.assertRegex("".join(first), r"^plain: host done\nplain: network done: 10\.1\.0\.\d+\n$")
        self.assertEqual("under way", self.stages(waiting)["image"])
        self.assertEqual("It is on its way, at the pull of its image.", waiting["verdict"])
        said, told = running.communicate(timeout=60)
        self.assertEqual((4, "out\n"), (running.returncode, said))
        self.assertRegex(told, r"plain: layer [0-9a-f]{12} done\n")
        self.assertRegex(told, r"plain: image done: .*plain:1\n(plain: \w+ done\n)*err\n$")
        self.assertNotIn("\x1b", told)
        self.assertEqual({"done"}, set(self.stages(self.explain("plain")).values()))

    def test_a_container_that_found_no_host_is_explained_by_filters_and_to_an_administrator_by_hosts(self):
        done = self.zl(*self.run_words("huge", "--wait", "--memory", "40000"))
        self.assertEqual((1, "zl: Container huge failed: There are not enough hosts available.\n"),
                         (done.returncode, done.stderr))  # fmt: skip
        told = self.explain("huge")
        self.assertIn("has the room that it asks for: 1 CPUs, 40000 MiB of memory", told["verdict"])
        self.assertEqual([1, 0], [each["left"] for each in told["filters"] if each["name"] in ("is ready", "has room")])
        self.assertNotIn("refused", str(told))
        (refused,) = self.explain("huge", "admin")["filters"][-1]["refused"]
        self.assertEqual("it lacks memory", refused["reason"])
        with self.terminal("explain", "huge") as terminal:
            self.assertEqual(0, terminal.wait())
        shown = terminal.said
        self.assertRegex(shown, r"stages +host +failed +There are not enough hosts available\.\n +network +ahead\n")
        self.assertRegex(shown, r"filters +is ready: 1 left\n(.*\n)* +has room: 0 left\n")

    def test_an_image_that_is_not_there_and_a_volume_that_does_not_fit_are_explained_with_what_helps(self):
        done = self.zl(*self.run_words("imageless", "--wait", image=f"{self.registry.address}/nothing:1"))
        self.assertEqual(1, done.returncode)
        told = self.explain("imageless")
        self.assertEqual(
            ("done", "failed", "ahead"), tuple(self.stages(told)[name] for name in ("network", "image", "create"))
        )
        self.assertRegex(
            told["verdict"], "^It failed at the pull of its image: Image .*nothing:1.* was not found.*rebuild"
        )
        self.assertEqual(0, self.zl(*self.run_words("full", "-d", "--mount", "size=900,destination=/data")).returncode)
        self.addCleanup(self.zl, "delete", "full", "--wait")
        self.cloud.wait(lambda: self.stages(self.explain("full"))["mount"] != "ahead", "it came to its volume")
        told = self.explain("full")
        self.assertIn(self.stages(told)["mount"], ("waits", "failed"))
        self.assertRegex(told["verdict"], "at the mount of its volumes: Volume .* of 900 GiB cannot be made")

    def test_what_ended_and_what_runs_are_explained(self):
        done = self.zl(*self.run_words("hungry", "--quiet", "--memory", "16"), "--", "tail", "/dev/zero")
        self.assertEqual(137, done.returncode, done.stderr)
        self.assertRegex(self.explain("hungry")["verdict"], r"killed \(exit code 137\).* 16 MiB .* `set --memory 32`")
        killed = self.zl(*self.run_words("killed", "--quiet"), "--", "sh", "-c", "sh -c 'kill -9 $$'; exit $?")
        self.assertEqual(137, killed.returncode, killed.stderr)
        self.assertIn("it had not run out of its memory", self.explain("killed")["verdict"])
        done = self.zl(*self.run_words("well", "--wait", "--healthcheck", "cmd=true,interval=1"), "--", "sleep", "600")
        self.assertEqual(0, done.returncode, done.stderr)
        self.cloud.wait(
            lambda: self.explain("well")["verdict"] == "It runs, and its health check says that it is well.",
            "it is well",
        )
