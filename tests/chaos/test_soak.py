# SPDX-License-Identifier: Apache-2.0
"""The long version of the tests of faults: many random kills, many cycles; `make chaos` runs it.

The seed is printed; ZUN_LITE_TEST_SEED repeats a run's choices.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from pathlib import Path

from tests.system.test_faults import PROGRAMS, FaultCase

ROUNDS = 60
CYCLES = 200
DOCKER_CONNECTIONS = 32  # what the agent's pool of connections to Docker keeps at most


class SoakTest(FaultCase):
    def setUp(self) -> None:
        seed = int(os.environ.get("ZUN_LITE_TEST_SEED", random.randrange(10**9)))
        print(f"seed {seed}", flush=True)
        self.random = random.Random(seed)

    def test_random_kills_lose_and_double_nothing(self) -> None:
        kills = 0
        for number in range(ROUNDS):
            volumes = [self.cloud.make_volume() for _ in range(2)]
            made: list[str] = []
            names = [f"r{number}-{place}" for place in range(len(volumes))]
            makers = [
                threading.Thread(target=self._make_into, args=(made, name, volume))
                for name, volume in zip(names, volumes, strict=True)
            ]
            for maker in makers:
                maker.start()
            kills += self._kill_some()
            for maker in makers:
                maker.join()
            self.assertEqual(2, len(set(made)))
            for uuid in made:
                self.check_running_once(uuid)
            enders = [threading.Thread(target=self.delete_for_sure, args=(uuid,)) for uuid in made]
            for ender in enders:
                ender.start()
            kills += self._kill_some()
            for ender in enders:
                ender.join()
            for volume in volumes:
                self.drop_volume(volume)
            self.check_books()
        print(f"{kills} kills in {ROUNDS} rounds", flush=True)

    def test_many_cycles_leave_nothing_in_the_kernel(self) -> None:
        volume = self.cloud.make_volume()
        self._cycle(volume)
        before = self._kernel_objects()
        for _ in range(CYCLES):
            self._cycle(volume)
        self.assertEqual(before, self._kernel_objects())
        self.drop_volume(volume)
        self.check_books()

    def _make_into(self, made: list[str], name: str, volume: str) -> None:
        made.append(self.make_for_sure(name, volume))

    def _cycle(self, volume: str) -> None:
        uuid = self.make_for_sure("cycle", volume)
        self.cloud.wait_status(uuid, "Running")
        self.delete_for_sure(uuid)

    def _kill_some(self) -> int:
        count = self.random.choice((1, 1, 2))
        for _ in range(count):
            time.sleep(self.random.uniform(0.0, 0.5))
            program = self.random.choice(PROGRAMS)
            try:
                self.cloud.kill(program)
            except ProcessLookupError:
                continue
        return count

    def _kernel_objects(self) -> dict[str, int]:
        """Counts of what a leak would grow. Loop devices free themselves a moment after they are let go.

        The agent keeps connections to Docker for the next request, up to a bound: they are held to that, not counted.
        """
        time.sleep(1)
        agents = self._descriptors("agent")
        to_docker = agents & self._ends_at(self.cloud.engine.socket)
        self.assertLessEqual(len(to_docker), DOCKER_CONNECTIONS)
        return {
            "namespaces": len([path for path in Path("/run/netns").glob(f"zl{self.cloud.name}-*")]),
            "links": len(list(Path("/sys/class/net").iterdir())),
            "mounts": Path("/proc/mounts").read_text().count(str(self.cloud.state_dir)),
            "loops": sum((path / "loop").exists() for path in Path("/sys/block").glob("loop*")),
            "agent's descriptors": len(agents - to_docker),
            "netd's descriptors": len(self._descriptors("netd")),
        }

    def _descriptors(self, program: str) -> set[str]:
        """What a program has open: `socket:[inode]` for a socket, and each of the others under its own number."""
        opened = set()
        for link in Path(f"/proc/{self.cloud.pid(program)}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(link)
                opened.add(target if target.startswith("socket:") else f"{link.name} {target}")
        return opened

    def _ends_at(self, path: str) -> set[str]:
        """The clients' sockets that are connected to this unix socket, as `socket:[inode]`."""
        listed = subprocess.run(["ss", "-xnH", "src", path], capture_output=True, text=True, check=True).stdout
        return {f"socket:[{line.split()[7]}]" for line in listed.splitlines()}
