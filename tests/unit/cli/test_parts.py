# SPDX-License-Identifier: Apache-2.0
"""The command line's parts: which cloud, kept tokens, what users write, and what is shown."""

from __future__ import annotations

import configparser
import io
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.clients.runner import TOP
from zun_lite.cli import clouds, values
from zun_lite.cli.copying import pack, unpack
from zun_lite.cli.failures import Failure
from zun_lite.cli.moving import _container_path
from zun_lite.cli.running import exit_code
from zun_lite.cli.screen import harmless, lined
from zun_lite.cli.session import refusal
from zun_lite.cli.table import every, find
from zun_lite.cli.tokens import Pass, TokenFiles, Way, folder_of, key_of
from zun_lite.cli.wire import PART_BYTES
from zun_lite.osc import plugin

YAML = """
clouds:
  a:
    auth: {auth_url: http://a/identity, username: u}
    verify: false
  b:
    auth: {auth_url: http://b/identity}
"""


class FolderCase(unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class CloudsTest(FolderCase):
    def setUp(self) -> None:
        super().setUp()
        (self.folder / "clouds.yaml").write_text(YAML)
        (self.folder / "secure.yaml").write_text("clouds:\n  a:\n    auth: {password: secret}\n")
        self.environment = {"OS_CLIENT_CONFIG_FILE": str(self.folder / "clouds.yaml")}

    def test_a_cloud_is_found_by_its_name_with_its_secrets(self):
        cloud = clouds.read(None, {**self.environment, "OS_CLOUD": "a"})
        self.assertEqual(
            ({"auth_url": "http://a/identity", "username": "u", "password": "secret"}, False),
            (cloud.auth, cloud.verify),
        )
        self.assertNotIn("secret", repr(cloud))
        self.assertEqual("http://b/identity", clouds.read("b", {**self.environment, "OS_CLOUD": "a"}).auth["auth_url"])

    def test_the_environment_s_own_variables_do_without_a_file(self):
        cloud = clouds.read(
            None, {"OS_AUTH_URL": "http://c/v3", "OS_USERNAME": "u", "OS_CONTAINER_API_VERSION": "1.12"}
        )
        self.assertEqual(({"auth_url": "http://c/v3", "username": "u"}, "1.12"), (cloud.auth, cloud.api_version))

    def test_certificates_are_checked_unless_it_is_said_in_so_many_words(self):
        for text, verify in (
            *((word, True) for word in ("", "false", "False", "0", "no", "off", "perhaps")),
            *((word, False) for word in ("true", "True", "1", "yes", "on")),
        ):
            cloud = clouds.read(None, {"OS_AUTH_URL": "https://c/v3", "OS_INSECURE": text})
            self.assertEqual(verify, cloud.verify, text)
        self.assertTrue(clouds.read(None, {"OS_AUTH_URL": "https://c/v3"}).verify)

    def test_what_is_not_there_is_told_with_what_is(self):
        for environment in ({**self.environment, "OS_CLOUD": "z"}, self.environment):
            with self.assertRaisesRegex(Failure, "there are a, b"):
                clouds.read(None, environment)


class TokensTest(FolderCase):
    def setUp(self) -> None:
        super().setUp()
        self.files = TokenFiles(str(self.folder / "tokens"))
        self.cloud = clouds.CloudSettings("a", {"auth_url": "http://a", "username": "u", "password": "p"})
        self.key = key_of(self.cloud)
        self.kept = Pass("gAAA", time.time() + 3600, "http://a/v1")

    def path(self) -> Path:
        (path,) = (self.folder / "tokens").iterdir()
        return path

    def test_a_token_is_kept_for_its_user_alone(self):
        self.files.write(self.key, self.kept)
        self.assertEqual(vars(self.kept), vars(self.files.read(self.key)))
        self.assertEqual(
            (0o700, 0o600), tuple(path.stat().st_mode & 0o777 for path in (self.folder / "tokens", self.path()))
        )
        self.assertNotIn("password", self.path().read_text())
        for auth in ({"username": "v"}, {"password": "q"}, {"project_name": "x"}):
            other = clouds.CloudSettings("a", {**self.cloud.auth, **auth})
            self.assertIsNone(self.files.read(key_of(other)), auth)

    def test_one_that_others_could_have_written_or_that_ends_soon_is_not_believed(self):
        self.files.write(self.key, self.kept)
        os.chmod(self.path(), 0o644)
        self.assertIsNone(self.files.read(self.key))
        os.chmod(self.path(), 0o600)
        self.assertIsNotNone(self.files.read(self.key))
        real = self.path().rename(self.folder / "elsewhere")
        (self.folder / "tokens" / self.key).symlink_to(real)
        self.assertIsNone(self.files.read(self.key))
        self.files.forget(self.key)
        self.files.write(self.key, Pass("gAAA", time.time() + 60, "http://a/v1"))
        self.assertIsNone(self.files.read(self.key))

    def test_the_way_to_a_cloud_is_known_until_its_settings_change(self):
        source = self.folder / "clouds.yaml"
        source.write_text(YAML)
        environment = {"OS_CLIENT_CONFIG_FILE": str(source), "OS_CLOUD": "a"}
        way = Way(self.key, False, "/ca", "1.40")

        def traces(**more: str) -> tuple[str, float]:
            text, changed = clouds.traces(None, {**environment, **more})
            # as if it had lain there for a while
            return text, changed - 10

        self.files.write_way(clouds.traces(None, environment), way)
        self.assertIsNone(self.files.read_way(traces()), "of a file that was changed just now")
        self.files.write_way(traces(), way)
        self.assertEqual(vars(way), vars(self.files.read_way(traces())))
        for more in ({"OS_CLOUD": "b"}, {"OS_REGION_NAME": "r"}, {"OS_CONTAINER_API_VERSION": "1.2"}):
            self.assertIsNone(self.files.read_way(traces(**more)), more)
        (self.folder / "secure.yaml").write_text("clouds: {}")
        self.assertIsNone(self.files.read_way(traces()), "another file beside it")
        self.files.write_way(traces(), way)
        source.write_text(YAML.replace("verify: false", "verify: true "))
        self.assertIsNone(self.files.read_way(traces()), "another content")

    def test_settings_of_the_environment_are_read_each_time(self):
        self.assertIsNone(clouds.traces(None, {"OS_AUTH_URL": "http://c/v3"}))
        self.files.write_way(None, Way(self.key, True, None, "1.40"))
        self.assertIsNone(self.files.read_way(None))


class Tar(io.BytesIO):
    """As it comes from a gateway: it goes forward, and a part of it can be put straight into a file."""

    def copy_to(self, descriptor: int, count: int) -> None:
        content = self.read(count)
        os.write(descriptor, content)
        if len(content) < count:
            raise EOFError("the end")


class CopyingTest(FolderCase):
    def packed(self, source: Path, name: str) -> bytes:
        """All of it, with the parts of files read that would be sent unread."""
        found = b""
        for piece in pack(source, name):
            if not isinstance(piece, bytes):
                self.assertLessEqual(len(piece), PART_BYTES)
                piece = os.pread(piece.file.fileno(), piece.count, piece.start)
            found += piece
        return found

    def tar(self, *members: tuple[str, bytes, str]) -> Tar:
        """(name, kind, content or target)."""
        made = Tar()
        with tarfile.open(fileobj=made, mode="w") as archive:
            for name, kind, content in members:
                member = tarfile.TarInfo(name)
                member.type = kind
                if kind == tarfile.REGTYPE:
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content.encode()))
                else:
                    member.linkname = content
                    archive.addfile(member)
        made.seek(0)
        return made

    def test_a_folder_goes_there_and_back(self):
        source = self.folder / "source"
        (source / "inner").mkdir(parents=True)
        content = b"x" * (PART_BYTES + 3_000_001)
        for name, inside in (("file", content), ("empty", b""), ("block", b"y" * 512), ("n" * 120, b"z")):
            (source / "inner" / name).write_bytes(inside)
        os.chmod(source / "inner" / "block", 0o640)
        os.symlink("inner/file", source / "link")
        os.link(source / "inner" / "block", source / "twin")
        with socket.socket(socket.AF_UNIX) as unsent:
            unsent.bind(str(source / "socket"))
        back = self.folder / "back"
        back.mkdir()
        unpack(Tar(self.packed(source, "named")), back, ("named", "other"))
        for name in ("file", "empty", "block", "n" * 120):
            found, made = (folder / "inner" / name for folder in (source, back / "other"))
            self.assertEqual(found.read_bytes(), made.read_bytes())
            self.assertEqual(found.stat().st_mode, made.stat().st_mode)
        self.assertEqual((back / "other" / "twin").stat().st_ino, (back / "other" / "inner" / "block").stat().st_ino)
        self.assertFalse((back / "other" / "socket").exists())
        self.assertEqual("inner/file", os.readlink(back / "other" / "link"))

    def test_nothing_is_written_outside_or_through_links(self):
        target = self.folder / "target"
        target.mkdir()
        outside = self.folder / "outside"
        outside.mkdir()
        unpack(self.tar(("d", tarfile.SYMTYPE, str(outside)), ("plain", tarfile.REGTYPE, "x")), target)
        for members in (
            [("../up", tarfile.REGTYPE, "x")],
            [("d/in", tarfile.REGTYPE, "x")],
            [("a", tarfile.LNKTYPE, "../outside/none")],
        ):
            with self.assertRaises(Failure):
                unpack(self.tar(*members), target)
        with self.assertRaises(Failure):
            unpack(self.tar(("e", tarfile.SYMTYPE, str(outside)), ("e/in", tarfile.REGTYPE, "x")), target)
        unpack(self.tar(("/absolute", tarfile.REGTYPE, "x"), ("plain", tarfile.SYMTYPE, str(outside / "new"))), target)
        unpack(self.tar(("plain", tarfile.REGTYPE, "y")), target)
        self.assertEqual([], list(outside.iterdir()))
        self.assertEqual({"d", "e", "absolute", "plain"}, {path.name for path in target.iterdir()})

    def test_what_is_packed_is_the_tar_that_others_make(self):
        source = self.folder / "source"
        source.mkdir()
        (source / "file").write_bytes(b"x" * 700)
        made = Tar()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
            archive.add(source, "named", filter=lambda member: member.replace(uid=0, gid=0, uname="", gname=""))
        self.assertEqual(made.getvalue().rstrip(b"\0"), self.packed(source, "named").rstrip(b"\0"))

    def test_one_that_is_cut_off_is_told(self):
        content = self.tar(("a", tarfile.REGTYPE, "x" * 5000)).getvalue()[:2000]
        with self.assertRaises(Failure):
            unpack(Tar(content), self.folder)


class WordsTest(unittest.TestCase):
    def test_times_are_read_as_people_write_them(self):
        self.assertEqual([90, 90, 300, 9000, 86400], [values.span(text) for text in ("90", "90s", "5m", "2h30m", "1d")])
        self.assertEqual(940, values.moment("1m", now=1000))
        self.assertEqual(1767225600, values.moment("2026-01-01T00:00:00+00:00"))
        for text in ("", "x", "5x", "m"):
            with self.assertRaises(Failure):
                values.span(text)

    def test_what_cannot_be_is_told_with_its_form(self):
        self.assertEqual({"a": "1", "b": "2"}, values.pairs(["a=1;b=2"], "--label"))
        self.assertEqual({"Name": "on-failure", "MaximumRetryCount": "3"}, values.restart("on-failure:3"))
        for wrong in (
            lambda: values.pairs(["a"], "-e"),
            lambda: values.restart("maybe"),
            lambda: values.healthcheck("x=y"),
        ):
            self.assertRaises(Failure, wrong)

    def test_paths_of_containers_are_told_from_our_own(self):
        for text, found in (
            ("web:/etc", ("web", "/etc")),
            ("web:etc", ("web", "/etc")),
            ("./web:x", None),
            ("a/b:c", None),
            ("file", None),
            ("/a:b", None),
        ):
            self.assertEqual(found, _container_path(text), text)

    def test_exit_codes_are_read_from_the_detail(self):
        self.assertEqual(
            [3, 0, 0], [exit_code({"status_detail": text}) for text in ("Exited(3) 5 mins ago (error)", "Up", None)]
        )

    def test_nothing_shown_can_steer_a_terminal(self):
        self.assertEqual("a\\x1b[2J\\u202eb", harmless("a\x1b[2J\u202eb"))
        self.assertEqual(["NAME", "a\\x1b"], lined(["name"], [["a\x1b"]]))
        self.assertEqual(13, max(map(len, lined(["a", "b"], [["x" * 30, "y"]], 13))))
        self.assertEqual(20, max(map(len, lined(["a", "b", "c"], [["x" * 30] * 3], 20))))

    def test_refusals_of_every_service_are_one_sentence_with_the_request(self):
        said = b'{"errors": [{"title": "No.", "request_id": "req-1"}]}'
        self.assertEqual("No. (HTTP 404) (request req-1)", str(refusal(404, "", said)))
        self.assertEqual("No. (HTTP 401)", str(refusal(401, "", b'{"error": {"message": "No."}}')))
        self.assertEqual("The server refused. (HTTP 502) (request req-2)", str(refusal(502, "req-2", b"<html>")))
        schema = b'{"errors": [{"title": "r is\\n  too short\\n\\nFailed validating minLength:\\n    {}"}]}'
        self.assertEqual("r is too short (HTTP 400)", str(refusal(400, "", schema)))


class CommandsTest(unittest.TestCase):
    def test_every_command_is_found_by_its_words_with_and_without_the_noun(self):
        for command in every():
            words = command.words.split()
            self.assertEqual((command, ["x"]), find([*words, "x"]), command.words)
            self.assertEqual((command, []), find(command.words.removeprefix("appcontainer ").split()), command.words)
        self.assertIsNone(find(["nonesuch"]))

    def test_every_command_has_its_entry_point_in_the_group_that_is_read_last(self):
        declared = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        declared.optionxform = str
        declared.read(TOP / "setup.cfg")
        lines = declared["options.entry_points"]["openstack.extension"].split("\n")
        found = dict(line.split(" = ") for line in lines if line)
        names = [command.words.replace(" ", "_") for command in every()]
        self.assertEqual({name: f"zun_lite.osc.commands:{name.replace('-', '_')}" for name in names}, found)

    def test_the_plugin_s_name_is_not_the_stock_one_s(self):
        self.assertNotEqual("container", plugin.API_NAME)

    def test_a_command_reads_no_large_library_at_its_start(self):
        read = self.modules_of("-h")
        for name in ("requests", "keystoneauth1", "openstack", "websockets", "rich", "sqlalchemy", "asyncio", "yaml"):
            self.assertNotIn(name, read)

    def test_a_list_is_over_without_what_takes_longer_to_read_than_it_lasts(self):
        now = time.time()
        with tempfile.TemporaryDirectory() as folder, ThreadingHTTPServer(("127.0.0.1", 0), NoContainers) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            source = Path(folder, "clouds.yaml")
            source.write_text("clouds: {a: {auth: {}}}")
            os.utime(source, (now - 60, now - 60))
            environment = {"OS_CLIENT_CONFIG_FILE": str(source), "OS_CLOUD": "a", "XDG_CACHE_HOME": folder}
            files = TokenFiles(folder_of(environment))
            text, _ = clouds.traces(None, environment)
            files.write_way((text, now - 60), Way("key", True, None, "1.40"))
            files.write("key", Pass("gAAA", now + 3600, f"http://127.0.0.1:{server.server_port}/v1"))
            read = self.modules_of("list", **environment)
            server.shutdown()
        self.assertIn("zun_lite.cli.containers", read)
        slow = ("http.client", "email", "ssl", "dataclasses", "typing", "yaml", "pathlib", "urllib.parse", "shutil")
        for name in slow:
            self.assertNotIn(name, read)

    def modules_of(self, *words: str, **environment: str) -> set[str]:
        """What a command of zl has read by its end."""
        script = (
            "import sys; sys.path.append(sys.argv.pop(1)); from zun_lite.cmd.zl import main; "
            "code = main(); print(*sys.modules); sys.exit(code)"
        )
        command = [sys.executable, "-I", "-S", "-c", script, str(TOP), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        return set(done.stdout.splitlines()[-1].split())


class NoContainers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = b'{"containers": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
