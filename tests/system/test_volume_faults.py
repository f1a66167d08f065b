# SPDX-License-Identifier: Apache-2.0
"""Volumes of a whole cloud through kills and losses: what was written is there, once, and nothing is left over.

Everything is asked for through the API, by a client that asks again where a program was just killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cloud import Cloud
from tests.functional.case import PATIENT
from tests.system.test_faults import FaultCase
from zun_lite.common import crash
from zun_lite.netd import kernel, loops, mounts, names, namespaces

V3 = "/volume/v3"
LATEST = "volume 3.50"
DATA = "/data"
POOL_BYTES = 640 * 2**20


class VolumeFaultCase(FaultCase):
    """A sample of both, for the time that it takes; tests/chaos takes every point and a hundred cycles."""

    # empty is all
    points: tuple[str, ...] = ("agent.volume.before", "agent.volume.done", "netd.settle.mounted")
    cycles = 6
    pool: Path

    @classmethod
    def setUpClass(cls) -> None:
        """The pool is a small file system of its own, so that it can be filled, on which copies share what is alike."""
        folder = Path(tempfile.mkdtemp(prefix="zl-small-pool-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.pool = folder / "pool"
        cls.pool.mkdir()
        with open(folder / "pool.img", "wb") as image:
            image.truncate(POOL_BYTES)
        subprocess.run(["mkfs.xfs", "-q", folder / "pool.img"], check=True)
        subprocess.run(["mount", "-o", "loop", folder / "pool.img", cls.pool], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", cls.pool], check=True)
        promises = {"pool_overcommit": "200", "pool_reserve_gib": "0"}
        settings = {"volume": {"pool_dir": str(cls.pool)}, "agent": promises}
        cls.cloud = Cloud(crash_points=True, settings=settings)
        cls.cloud.engine.live_restore = True
        cls.addClassCleanup(cls.cloud.stop)
        cls.cloud.start()
        cls.network = cls.cloud.make_network()

    def setUp(self) -> None:
        self.addCleanup(self.clear)

    def clear(self) -> None:
        """What a test that failed has left does not harm the next one."""
        for container in self.cloud.ask("GET", "/v1/containers")["containers"]:
            self.cloud.call("DELETE", f"/v1/containers/{container['uuid']}?force=true", cloud="admin")
            self.cloud.wait_gone(container["uuid"])
        for volume in self.ask("GET", "volumes")["volumes"]:
            path = f"{V3}/volumes/{volume['id']}/action"
            self.cloud.call("POST", path, {"os-force_delete": None}, cloud="admin", version=LATEST)
            self.is_gone(f"volumes/{volume['id']}")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer, when there is one that is no 5xx."""

        def look() -> Any:
            answer = self.cloud.call(method, f"{V3}/{path}", body, version=LATEST, cloud="demo")
            return answer if answer.status_code < 500 else None

        answer = self.cloud.wait(look, f"{method} {path} is answered")
        self.assertLess(answer.status_code, 300, f"{method} {path} {body}: {answer.text}")
        return answer.json() if answer.content else None

    def make(self, **fields: Any) -> str:
        return self.ask("POST", "volumes", {"volume": {"size": 1, **fields}})["volume"]["id"]

    def copy_of(self, volume: str) -> str:
        return self.make(size=None, source_volid=volume)

    def snapshot_of(self, volume: str) -> str:
        return self.ask("POST", "snapshots", {"snapshot": {"volume_id": volume, "force": True}})["snapshot"]["id"]

    def grow(self, volume: str) -> int:
        """By one GiB; the size that it is to have."""
        size = self.ask("GET", f"volumes/{volume}")["volume"]["size"] + 1
        self.ask("POST", f"volumes/{volume}/action", {"os-extend": {"new_size": size}})
        return size

    def becomes(self, path: str, *statuses: str) -> dict[str, Any]:
        """The volume or snapshot at the path, once it has one of the statuses."""
        kind = path.partition("/")[0].removesuffix("s")
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            answer = self.cloud.call("GET", f"{V3}/{path}", version=LATEST)
            last.update(answer.json()[kind] if answer.status_code == 200 else {"status": answer.status_code})
            return last if last["status"] in statuses else None

        return self.cloud.wait(look, lambda: f"{path} is {' or '.join(statuses)}, but it is {last['status']}")

    def drop(self, path: str) -> None:
        self.ask("DELETE", path)
        self.is_gone(path)

    def is_gone(self, path: str) -> None:
        self.cloud.wait(lambda: self.cloud.call("GET", f"{V3}/{path}").status_code == 404, f"{path} is gone")

    def hold(self, name: str, *, memory_mib: int = 128, **mounted: str) -> str:
        """A running container with these volumes at /data/NAME, or one at /data itself."""
        places = [
            {"source": volume, "destination": DATA if place == "data" else f"{DATA}/{place}"}
            for place, volume in mounted.items()
        ]
        nets = [{"network": self.network}]
        uuid: str = self.cloud.run_container(name, command=PATIENT, mounts=places, nets=nets, memory=memory_mib)
        self.cloud.wait_status(uuid, "Running")
        return uuid

    def write(self, uuid: str, name: str) -> str:
        """The checksum of what was written, to the disk, under that name."""
        command = f"head -c 65536 /dev/urandom >{DATA}/{name} && sync && sha256sum <{DATA}/{name}"
        return self.shell(uuid, command).split()[0]

    def sums(self, uuid: str, folder: str = DATA) -> dict[str, str]:
        """Checksums by name of all files in a folder of the container."""
        said = self.shell(uuid, f"cd {folder} && ls && sha256sum $(find . -maxdepth 1 -type f)")
        pairs = [line.split() for line in said.splitlines() if len(line.split()) == 2]
        return {name.removeprefix("./"): digest for digest, name in pairs}

    def shell(self, uuid: str, command: str) -> str:
        return self.execute_for_sure(uuid, f"sh -c '{command}'")

    def is_clean(self) -> None:
        """Nothing of any volume is left: no file, mount, loop device or lock."""
        self.check_books()
        self.assertEqual([], sorted(os.listdir(self.pool)))
        self.assertEqual([], self.loops())
        mounted = f"{self.cloud.state_dir}/mounts/"
        self.assertEqual([], [mount.point for mount in mounts.here() if mount.point.startswith(mounted)])

    def loops(self) -> list[str]:
        """Files of the pool that have a loop device."""
        return [loop.file_name for loop in loops.in_use() if loop.file_name.startswith(f"{self.pool}/")]


class VolumeFaultTest(VolumeFaultCase):
    def test_wherever_a_program_dies_the_order_is_carried_out_once(self) -> None:
        """Named points on the paths of volumes, each hit once by kill -9 while a container has the volume."""
        volume = self.make()
        holder = self.hold("holder", data=volume)
        written = {"first": self.write(holder, "first")}
        copies: dict[str, str] = {}
        snapshots: list[str] = []
        sizes = [1]

        def take() -> None:
            snapshots.append(self.snapshot_of(volume))
            self.becomes(f"snapshots/{snapshots[-1]}", "available", "error")

        def copy() -> None:
            made = self.copy_of(volume)
            self.becomes(f"volumes/{made}", "available", "error")
            copies[f"copy{len(copies)}"] = made

        def grow() -> None:
            sizes.append(self.grow(volume))
            self.becomes(f"volumes/{volume}", "in-use", "error_extending")

        def destroy() -> None:
            self.drop(f"volumes/{copies.popitem()[1]}")

        acts: dict[str, Callable[[], None]] = {
            "agent.volume.before": take,
            "netd.freeze.after": take,
            "agent.volume.done": copy,
            "agent.pool.staged": copy,
            "netd.grow.device": grow,
            "agent.pool.frozen": take,
            "netd.settle.mounted": copy,
            "agent.pool.copied": copy,
            "agent.pool.destroyed": destroy,
            "agent.pool.renamed": copy,
            "agent.pool.grown": grow,
        }
        named = {point for point in crash.MORE_POINTS if point.split(".")[1] in ("volume", "pool")}
        named |= {point for point in crash.MORE_POINTS if point.split(".")[1] in ("freeze", "grow", "settle")}
        self.assertEqual(named, set(acts))
        for point in self.points or acts:
            act = acts[point]
            with self.subTest(point=point):
                self.cloud.arm_point(point)
                act()
                self.assertTrue(self.cloud.was_hit(point), f"{point} was never reached")
        statuses = {item["status"] for item in self.ask("GET", "snapshots")["snapshots"]}
        self.assertEqual({"available"}, statuses)
        self.assertEqual("in-use", self.ask("GET", f"volumes/{volume}")["volume"]["status"])

        written["last"] = self.write(holder, "last")
        self.assertEqual(written, self.sums(holder))
        blocks = int(self.shell(holder, f"stat -f -c %b {DATA}")) * int(self.shell(holder, f"stat -f -c %S {DATA}"))
        self.assertGreater(blocks, (sizes[-1] - 0.2) * 2**30)
        reader = self.hold("reader", **copies)
        for place in copies:
            self.assertEqual({"first": written["first"]}, self.sums(reader, f"{DATA}/{place}"))
        self.check_books()
        for uuid in (reader, holder):
            self.delete_for_sure(uuid)
        for made in copies.values():
            self.drop(f"volumes/{made}")
        self.ask("DELETE", f"volumes/{volume}?cascade=True")
        self.is_gone(f"volumes/{volume}")
        self.is_clean()

    def test_a_full_pool_refuses_and_harms_no_data(self) -> None:
        kept, filler = self.make(), self.make()
        holder, writer = self.hold("holder", data=kept), self.hold("filler", memory_mib=512, data=filler)
        first = self.write(holder, "first")
        # more than is promised is refused, and what it is refused to stays as it is
        large = self.make(size=500, source_volid=kept)
        self.becomes(f"volumes/{large}", "error")
        self.ask("POST", f"volumes/{kept}/action", {"os-extend": {"new_size": 500}})
        self.assertEqual(1, self.becomes(f"volumes/{kept}", "error_extending")["size"])
        # what was promised and is not there is refused to whoever writes
        fill = f"for i in $(seq 50); do dd if=/dev/zero of={DATA}/f$i bs=64k count=320 conv=fsync 2>&1 || break; done"
        said = self.shell(writer, f"{fill}; echo $i")
        self.assertRegex(said, "No space left|I/O error|Input/output error")
        self.assertGreater(int(said.split()[-1]), 3, "it was not full at once")
        copy = self.make(size=None, source_volid=filler)
        self.becomes(f"volumes/{copy}", "available", "error")
        self.assertEqual(first, self.sums(holder).get("first"))
        for made in (large, copy):
            self.drop(f"volumes/{made}")
        self.delete_for_sure(writer)
        self.drop(f"volumes/{filler}")
        self.delete_for_sure(holder)
        self.assertEqual("error_extending", self.ask("GET", f"volumes/{kept}")["volume"]["status"])
        reset = {"os-reset_status": {"status": "available"}}
        self.cloud.ask("POST", f"{V3}/volumes/{kept}/action", reset, cloud="admin", version=LATEST)
        holder = self.hold("holder", data=kept)
        second = self.write(holder, "second")
        self.assertEqual({"first": first, "second": second}, self.sums(holder))
        self.delete_for_sure(holder)
        self.drop(f"volumes/{kept}")
        self.is_clean()

    def test_nothing_differs_and_nothing_is_left(self) -> None:
        """A cycle writes, orders a snapshot, a copy or growth, loses something in the middle of that, and compares all.

        Lost are: the container, the agent, the Docker Engine, netd, the controller and the whole host.
        """
        losses = (
            self.lose_container, self.lose_agent, self.lose_engine, self.lose_netd, self.lose_controller, self.lose_host
        )  # fmt: skip
        self.volume = self.make()
        self.holder = self.hold("holder", data=self.volume)
        written: dict[str, str] = {}
        differences: list[str] = []
        began = time.monotonic()
        for cycle in range(self.cycles):
            written[f"f{cycle}"] = self.write(self.holder, f"f{cycle}")
            act = (self.copied, self.taken, self.grown)[(cycle + cycle // len(losses)) % 3]
            finish = act(dict(written))
            losses[cycle % len(losses)]()
            finish(differences)
            self.cloud.wait_status(self.holder, "Running")
            if self.sums(self.holder) != written:
                differences.append(f"cycle {cycle}, after {losses[cycle % len(losses)].__name__}")
        print(f"{self.cycles} cycles in {time.monotonic() - began:.0f} s, {len(differences)} differences")
        self.assertEqual([], differences)
        self.delete_for_sure(self.holder)
        self.drop(f"volumes/{self.volume}")
        self.is_clean()

    # what is ordered before a loss, and looked at after it

    def copied(self, written: dict[str, str]) -> Callable[[list[str]], None]:
        made = self.copy_of(self.volume)

        def finish(differences: list[str]) -> None:
            self.becomes(f"volumes/{made}", "available")
            self.compare(made, written, differences)

        return finish

    def taken(self, written: dict[str, str]) -> Callable[[list[str]], None]:
        snapshot = self.snapshot_of(self.volume)

        def finish(differences: list[str]) -> None:
            self.becomes(f"snapshots/{snapshot}", "available")
            made = self.make(size=None, snapshot_id=snapshot)
            self.becomes(f"volumes/{made}", "available")
            self.compare(made, written, differences)
            self.drop(f"snapshots/{snapshot}")

        return finish

    def grown(self, written: dict[str, str]) -> Callable[[list[str]], None]:
        size = self.grow(self.volume)

        def finish(differences: list[str]) -> None:
            self.becomes(f"volumes/{self.volume}", "in-use", "available")
            self.assertEqual(size, self.ask("GET", f"volumes/{self.volume}")["volume"]["size"])

        return finish

    def compare(self, volume: str, written: dict[str, str], differences: list[str]) -> None:
        """A copy has what was written before it was ordered, and goes."""
        reader = self.hold("reader", data=volume)
        found = self.sums(reader)
        if {name: found.get(name) for name in written} != written:
            differences.append(f"{volume}: {found}")
        self.delete_for_sure(reader)
        self.drop(f"volumes/{volume}")

    # losses

    def lose_container(self) -> None:
        self.delete_for_sure(self.holder)
        self.holder = self.hold("holder", data=self.volume)

    def lose_agent(self) -> None:
        self.lose_program("agent")

    def lose_netd(self) -> None:
        self.lose_program("netd")

    def lose_controller(self) -> None:
        self.lose_program("controller")

    def lose_program(self, program: str) -> None:
        before = self.cloud.pid(program)
        self.cloud.kill(program)

        def is_back() -> bool:
            with contextlib.suppress(ProcessLookupError):
                return self.cloud.pid(program) != before
            return False

        self.cloud.wait(is_back, f"{program} is back")

    def lose_engine(self) -> None:
        self.cloud.engine.kill()
        self.cloud.engine.start()

    def lose_host(self) -> None:
        """What a reboot leaves: files. Processes, mounts and loop devices are gone; the boot has another id."""
        api = self.cloud.engine.api
        pids = [api.inspect_container(item["Id"])["State"]["Pid"] for item in api.containers()]
        self.cloud.down()
        self.cloud.engine.lose_power()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        state = f"{self.cloud.state_dir}/"
        for mount in reversed(mounts.here()):
            if mount.point.startswith(state):
                kernel.unmount(mount.point)
        for loop in loops.in_use():
            if loop.file_name.startswith(f"{self.pool}/"):
                loops.free(loop.node)
        for name in namespaces.names(names.namespace_prefix(self.cloud.name)):
            namespaces.remove(name)
        for path in Path(state, "agent", "workloads").glob("*.json"):
            noted = json.loads(path.read_text())
            path.write_text(json.dumps({**noted, "boot_id": "an-earlier-boot"}))
        self.cloud.wait(lambda: not self.loops(), "all is taken down")
        self.cloud.engine.start()
        self.cloud.up()
