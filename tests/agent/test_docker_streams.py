# SPDX-License-Identifier: Apache-2.0
"""Looking into real containers: processes, use, files and terminals, and what must not get out of them."""

from __future__ import annotations

import asyncio
import io
import tarfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import docker.errors

from tests.agent.engine import DockerCase
from tests.unit.domain.test_tar import a_member, a_tar
from zun_lite.agent.runtime import docker_archives, docker_streams
from zun_lite.agent.runtime.base import Bind
from zun_lite.agent.runtime.docker_archives import DockerArchives
from zun_lite.agent.runtime.docker_streams import DockerStreams
from zun_lite.agent.runtime.freezer import Freezer
from zun_lite.domain import archives, errors, names


class StreamsCase(DockerCase):
    def setUp(self) -> None:
        super().setUp()
        self.freezer = Freezer(str(self.folder / "frozen"))
        self.streams = DockerStreams(
            self.runtime, self.engine.socket, DockerArchives(self.runtime, self.freezer, self.engine.socket), self
        )

    def running(self, *command: str, binds=(), **changes) -> str:
        order = self.an_order(*command, **changes)
        if binds:
            order = type(order)(order.uuid, 1, 1, order.spec, tuple(binds))
        self.run_order(order)
        return order.uuid

    def container_id(self, uuid: str) -> str:
        return self.runtime.inspect(names.docker_name(uuid)).container_id

    def run_in(self, uuid: str, *command: str) -> str:
        done = self.runtime.execute(uuid, list(command), 10, 65536)
        self.assertEqual(0, done.exit_code, done.output)
        return done.output.decode()


class LooksTest(StreamsCase):
    def test_processes_are_listed_as_ps_is_told(self):
        uuid = self.running("sleep", "601")
        found = self.streams.top(uuid, None)
        self.assertIn("sleep 601", [row[found.titles.index("CMD")] for row in found.rows])
        found = self.streams.top(uuid, "-o pid,comm")
        self.assertEqual((("PID", "COMMAND"), "sleep"), (found.titles, found.rows[0][1]))

    def test_ps_is_told_nothing_strange(self):
        uuid = self.running()
        for ps_args in ("zz", "-o comm", "-ef; id", "$(id)", "a\nb", "x" * 300, "--help > /tmp/x"):
            with self.subTest(ps_args), self.assertRaises(errors.Invalid):
                self.streams.top(uuid, ps_args)

    def test_use_is_told(self):
        uuid = self.running("sh", "-c", "while :; do :; done")
        used = self.streams.stats(uuid)
        self.assertGreater(used.cpu_percent, 10)
        self.assertEqual(32 * 1024 * 1024, used.memory_limit_bytes)
        self.assertTrue(0 < used.memory_bytes < used.memory_limit_bytes, used)

    def test_what_does_not_run_is_not_looked_into(self):
        order = self.an_order()
        self.runtime.create(order)
        for look in (
            lambda: self.streams.top(order.uuid, None),
            lambda: self.streams.stats(order.uuid),
            lambda: self.streams.resize(order.uuid, 1, 1),
            lambda: self.streams.create_exec(order.uuid, ["sh"], True),
        ):
            self.assertRaises(errors.Conflict, look)
        self.assertRaises(errors.NotFound, self.streams.stats, names.new_id())


class ArchivesTest(StreamsCase):
    def names_in(self, content: bytes) -> list[str]:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return archive.getnames()

    def test_files_go_in_and_out_of_every_state(self):
        uuid = self.running()
        for number, change in enumerate(
            (
                lambda api, id: None,
                lambda api, id: api.pause(id),
                lambda api, id: api.unpause(id) or api.stop(id, timeout=0),
            )
        ):
            change(self.engine.api, self.container_id(uuid))
            self.streams.put_archive(uuid, "/tmp", a_tar((f"f{number}", b"hello")))
            found = self.streams.get_archive(uuid, f"/tmp/f{number}")
            with tarfile.open(fileobj=io.BytesIO(found.content)) as archive:
                self.assertEqual(b"hello", archive.extractfile(f"f{number}").read())
            self.assertEqual((f"f{number}", 5), (found.stat["name"], found.stat["size"]))
        made = self.an_order()
        self.runtime.create(made)
        self.streams.put_archive(made.uuid, "/tmp", a_tar(("a", b"x")))

    def test_a_container_runs_on_afterwards(self):
        uuid = self.running()
        self.streams.get_archive(uuid, "/etc")
        self.assertEqual("on\n", self.run_in(uuid, "echo", "on"))
        self.assertEqual([], list((self.folder / "frozen").iterdir()))

    def test_it_cannot_be_paused_meanwhile_but_afterwards(self):
        uuid = self.running()
        container_id = self.container_id(uuid)
        pid = self.engine.api.inspect_container(container_id)["State"]["Pid"]
        with self.freezer.still(pid, container_id):
            self.assertIn("(disk sleep)", self._state_of(pid))
            with self.assertRaises(docker.errors.APIError):
                self.engine.api.pause(container_id)
        self.engine.api.pause(container_id)
        self.assertTrue(self.engine.api.inspect_container(container_id)["State"]["Paused"])

    def test_what_a_killed_agent_held_still_is_set_free(self):
        uuid = self.running()
        container_id = self.container_id(uuid)
        pid = self.engine.api.inspect_container(container_id)["State"]["Pid"]
        held = self.freezer.still(pid, container_id)
        held.__enter__()
        self.assertIn("(disk sleep)", self._state_of(pid))
        Freezer(str(self.folder / "frozen")).thaw_all()
        self.assertIn("(sleeping)", self._state_of(pid))
        self.assertEqual([], list((self.folder / "frozen").iterdir()))
        held.__exit__(None, None, None)

    def _state_of(self, pid: int) -> str:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(line for line in lines if line.startswith("State:"))

    def test_what_is_not_there_or_not_meant_is_refused(self):
        uuid = self.running()
        for path in ("/nope", "/etc/passwd/x", "/nope/deeper", "relative", "/" + "n" * 300):
            with self.subTest(path[:20]), self.assertRaises(errors.Invalid):
                self.streams.get_archive(uuid, path)
            with self.subTest(path[:20]), self.assertRaises(errors.Invalid):
                self.streams.put_archive(uuid, path, a_tar(("a", b"x")))
        self.streams.put_archive(uuid, "/tmp", a_tar(("file", b"x")))
        self.assertRaises(errors.Invalid, self.streams.put_archive, uuid, "/tmp/file", a_tar(("a", b"x")))

    def test_more_than_the_bound_is_refused(self):
        uuid = self.running()
        self.run_in(uuid, "dd", "if=/dev/zero", "of=/tmp/large", "bs=1M", "count=17")
        with self.assertRaisesRegex(errors.Invalid, str(archives.MAX_BYTES)):
            self.streams.get_archive(uuid, "/tmp/large")
        self.assertEqual("on\n", self.run_in(uuid, "echo", "on"))

    def test_a_volume_is_entered_only_where_it_is_named(self):
        (self.folder / "volume").mkdir()
        (self.folder / "volume" / "in").write_text("mine")
        uuid = self.running(binds=[Bind(str(self.folder / "volume"), "/srv/data")])
        self.assertEqual(["srv", "srv/data"], self.names_in(self.streams.get_archive(uuid, "/srv").content))
        self.assertEqual(["data", "data/in"], self.names_in(self.streams.get_archive(uuid, "/srv/data").content))
        self.assertRaises(errors.Invalid, self.streams.put_archive, uuid, "/srv", a_tar(("data/x", b"1")))
        self.streams.put_archive(uuid, "/srv/data", a_tar(("y", b"2")))
        self.assertEqual(["in", "y"], sorted(entry.name for entry in (self.folder / "volume").iterdir()))

    def test_a_large_volume_that_is_left_out_does_not_hold_up_its_container(self):
        (self.folder / "volume").mkdir()
        with open(self.folder / "volume" / "large", "wb") as large:
            large.truncate(docker_archives.MAX_SKIPPED_BYTES * 4)
        uuid = self.running(binds=[Bind(str(self.folder / "volume"), "/srv/data")])
        with self.assertRaisesRegex(errors.Invalid, "volume"):
            self.streams.get_archive(uuid, "/srv")

    def test_links_lead_nowhere_but_into_the_container(self):
        secret = self.folder / "secret"
        secret.write_text("the host's")
        uuid = self.running()
        self.run_in(uuid, "ln", "-s", str(self.folder), "/out")
        self.run_in(uuid, "ln", "-s", "/../../../../../.." + str(self.folder), "/out2")
        self.run_in(uuid, "ln", "-s", str(secret), "/file")
        for path in ("/out/secret", "/out2/secret"):
            self.assertRaises(errors.Invalid, self.streams.get_archive, uuid, path)
        self.assertEqual(["file"], self.names_in(self.streams.get_archive(uuid, "/file").content))
        for path in ("/out", "/out2"):
            self.assertRaises(errors.ZunError, self.streams.put_archive, uuid, path, a_tar(("planted", b"x")))
        link = a_member("sly", tarfile.SYMTYPE, str(self.folder))
        try:
            self.streams.put_archive(uuid, "/tmp", a_tar(link, ("sly/planted", b"x")))
        except errors.ZunError as error:
            self.assertLess(error.status, 500)
        self.assertEqual({"secret", "frozen"}, {entry.name for entry in self.folder.iterdir()})

    def test_a_link_that_comes_and_goes_leads_nowhere_either(self):
        """B3."""
        (self.folder / "volume").mkdir()
        (self.folder / "canary").mkdir()
        (self.folder / "canary" / "data").mkdir()
        (self.folder / "canary" / "data" / "secret").write_text("the host's")
        swap = f"mkdir -p /a/data; while :; do mv /a /b; ln -s {self.folder}/canary /a; rm /a; mv /b /a; done"
        uuid = self.running("sh", "-c", swap, binds=[Bind(str(self.folder / "volume"), "/srv/data")])
        for number in range(60):
            try:
                found = self.streams.get_archive(uuid, "/a/data").content
                self.assertNotIn(b"the host's", found)
                self.streams.put_archive(uuid, "/a/data", a_tar((f"planted{number}", b"x")))
            except errors.ZunError as error:
                self.assertLess(error.status, 500, error.message)
        self.assertEqual(["secret"], [entry.name for entry in (self.folder / "canary" / "data").iterdir()])
        mounts = Path("/proc/self/mounts").read_text()
        self.assertNotIn("canary", mounts)

    def test_a_program_of_the_container_s_that_unpacks_is_never_run(self):
        """B3."""
        uuid = self.running()
        for name in ("unpigz", "gzip", "xz", "tar"):
            self.run_in(
                uuid, "sh", "-c", f"mkdir -p /usr/bin; echo 'touch /ran' > /usr/bin/{name}; chmod 755 /usr/bin/{name}"
            )
        self.streams.put_archive(uuid, "/tmp", a_tar(("a", b"x")))
        self.assertRaises(errors.Invalid, self.streams.put_archive, uuid, "/tmp", b"\x1f\x8b\x08" + b"\0" * 600)
        self.assertRaises(errors.Invalid, self.streams.get_archive, uuid, "/ran")

    def test_many_at_once_wait_for_each_other(self):
        uuid = self.running()
        got: list[object] = []

        def copy(number: int) -> None:
            try:
                self.streams.put_archive(uuid, "/tmp", a_tar((f"n{number}", b"x")))
                got.append(True)
            except errors.ZunError as error:
                got.append(error)

        threads = [threading.Thread(target=copy, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([True] * 6, got)
        self.assertEqual(6, len(self.run_in(uuid, "ls", "/tmp").split()))


class TerminalsTest(StreamsCase, unittest.IsolatedAsyncioTestCase):
    async def read_until(self, duplex, wanted: bytes) -> bytes:
        said = b""
        async with asyncio.timeout(10):
            while wanted not in said:
                _, content = await duplex.read()
                self.assertTrue(content, said)
                said += content
        return said

    async def test_attaching_talks_to_the_main_process(self):
        for terminal in (True, False):
            uuid = self.running("cat", interactive=True, tty=terminal)
            duplex = await self.streams.attach(uuid)
            await duplex.write("héllo\n".encode())
            await self.read_until(duplex, "héllo".encode())
            self.engine.api.kill(self.container_id(uuid))
            async with asyncio.timeout(10):
                while (await duplex.read())[1]:
                    pass
            await duplex.close()

    async def test_without_a_terminal_the_streams_are_told_apart(self):
        uuid = self.running("sh", "-c", "read line; echo out; echo err >&2; sleep 600", interactive=True)
        duplex = await self.streams.attach(uuid)
        await duplex.write(b"\n")
        async with asyncio.timeout(10):
            said = sorted([await duplex.read(), await duplex.read()])
        self.assertEqual([(1, b"out\n"), (2, b"err\n")], said)
        await duplex.close()

    async def test_a_command_has_a_terminal_of_a_size(self):
        uuid = self.running()
        exec_id = await asyncio.to_thread(self.streams.create_exec, uuid, ["sh"], True)
        self.assertRaises(errors.Invalid, self.streams.resize_exec, uuid, exec_id, 33, 77)
        duplex = await self.streams.start_exec(uuid, exec_id)
        await asyncio.to_thread(self.streams.resize_exec, uuid, exec_id, 33, 77)
        await duplex.write(b"stty size\n")
        await self.read_until(duplex, b"33 77")
        await duplex.write(b"exit\n")
        async with asyncio.timeout(10):
            while (await duplex.read())[1]:
                pass
        self.assertRaises(errors.Invalid, self.streams.resize_exec, uuid, exec_id, 33, 77)
        await duplex.close()

    async def test_a_command_is_started_once(self):
        uuid = self.running()
        exec_id = self.streams.create_exec(uuid, ["cat"], True)
        duplex = await self.streams.start_exec(uuid, exec_id)
        with self.assertRaises(errors.ZunError):
            await self.streams.start_exec(uuid, exec_id)
        await duplex.close()

    async def test_docker_is_asked_about_a_command_only_where_it_was_not_made_by_this_agent(self):
        uuid = self.running()
        made, older = (self.streams.create_exec(uuid, ["cat"], True) for _ in range(2))
        with mock.patch.object(self.runtime, "asking", side_effect=AssertionError("Docker was asked")):
            duplex = await self.streams.start_exec(uuid, made)
            with self.assertRaises(AssertionError):
                await self.streams.start_exec(uuid, made)
        await duplex.close()
        after_a_restart = DockerStreams(self.runtime, self.engine.socket, mock.Mock(), self)
        duplex = await after_a_restart.start_exec(uuid, older)
        with self.assertRaises(errors.Conflict):
            await after_a_restart.start_exec(uuid, older)
        await duplex.close()

    async def test_commands_that_were_made_long_ago_are_not_remembered_and_started_all_the_same(self):
        uuid = self.running()
        with mock.patch.object(docker_streams, "MOST_REMEMBERED", 2):
            first, *_ = (self.streams.create_exec(uuid, ["cat"], True) for _ in range(4))
        self.assertEqual(2, len(self.streams._made))
        duplex = await self.streams.start_exec(uuid, first)
        await duplex.close()

    async def test_a_command_of_another_container_is_none(self):
        """A3."""
        mine, other = self.running(), self.running()
        made = self.streams.create_exec(other, ["sh"], True)
        for exec_id in (made, "e" * 64, "nonsense", "../containers"):
            self.assertRaises(errors.Invalid, self.streams.resize_exec, mine, exec_id, 1, 1)
            self.assertRaises(errors.Invalid, self.streams.hang_up_exec, mine, exec_id)
            with self.assertRaises(errors.Invalid):
                await self.streams.start_exec(mine, exec_id)
        duplex = await self.streams.start_exec(other, self.streams.create_exec(other, ["cat"], True))
        await duplex.close()

    async def test_a_command_that_is_hung_up_on_ends_with_what_it_runs(self):
        uuid = self.running()
        exec_id = self.streams.create_exec(uuid, ["sh", "-c", "sleep 777; true"], True)
        duplex = await self.streams.start_exec(uuid, exec_id)
        for runs in (True, False):
            async with asyncio.timeout(10):
                while ("sleep 777" in str(self.streams.top(uuid, None).rows)) != runs:
                    await asyncio.sleep(0.05)
            await duplex.close()
            self.streams.hang_up_exec(uuid, exec_id)
        self.streams.hang_up_exec(uuid, exec_id)

    async def test_a_process_that_does_not_read_holds_up_who_writes(self):
        uuid = self.running("sleep", "600", interactive=True)
        duplex = await self.streams.attach(uuid)
        written = 0
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(3):
                while True:
                    await duplex.write(b"x" * 65536)
                    written += 65536
        self.assertLess(written, 16 * 1024 * 1024)
        await duplex.close()
