# SPDX-License-Identifier: Apache-2.0
"""The command line's parts: which cloud, kept tokens, what users write, and what is shown."""

from __future__ import annotations

import configparser
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
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
from zun_lite.cli.tokens import Pass, TokenFiles
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
        self.files = TokenFiles(self.folder / "tokens")
        self.cloud = clouds.CloudSettings("a", {"auth_url": "http://a", "username": "u", "password": "p"})
        self.kept = Pass("gAAA", time.time() + 3600, "http://a/v1")

    def path(self) -> Path:
        (path,) = (self.folder / "tokens").iterdir()
        return path

    def test_a_token_is_kept_for_its_user_alone(self):
        self.files.write(self.cloud, self.kept)
        self.assertEqual(self.kept, self.files.read(self.cloud))
        self.assertEqual(
            (0o700, 0o600), tuple(path.stat().st_mode & 0o777 for path in (self.folder / "tokens", self.path()))
        )
        self.assertNotIn("password", self.path().read_text())
        for auth in ({"username": "v"}, {"password": "q"}, {"project_name": "x"}):
            other = clouds.CloudSettings("a", {**self.cloud.auth, **auth})
            self.assertIsNone(self.files.read(other), auth)

    def test_one_that_others_could_have_written_or_that_ends_soon_is_not_believed(self):
        self.files.write(self.cloud, self.kept)
        os.chmod(self.path(), 0o644)
        self.assertIsNone(self.files.read(self.cloud))
        os.chmod(self.path(), 0o600)
        self.assertIsNotNone(self.files.read(self.cloud))
        real = self.path().rename(self.folder / "elsewhere")
        (self.folder / "tokens" / self.files._path(self.cloud).name).symlink_to(real)
        self.assertIsNone(self.files.read(self.cloud))
        self.files.forget(self.cloud)
        self.files.write(self.cloud, Pass("gAAA", time.time() + 60, "http://a/v1"))
        self.assertIsNone(self.files.read(self.cloud))


class CopyingTest(FolderCase):
    def tar(self, *members: tuple[str, bytes, str]) -> io.BytesIO:
        """(name, kind, content or target)."""
        made = io.BytesIO()
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
        (source / "inner" / "file").write_bytes(b"x" * 3_000_000)
        os.symlink("inner/file", source / "link")
        back = self.folder / "back"
        back.mkdir()
        unpack(io.BytesIO(b"".join(pack(source, "named"))), back, ("named", "other"))
        self.assertEqual((source / "inner" / "file").read_bytes(), (back / "other" / "inner" / "file").read_bytes())
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

    def test_one_that_is_cut_off_is_told(self):
        content = self.tar(("a", tarfile.REGTYPE, "x" * 5000)).getvalue()[:2000]
        with self.assertRaises(Failure):
            unpack(io.BytesIO(content), self.folder)


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

    def test_refusals_of_every_service_are_one_sentence_with_the_request(self):
        said = b'{"errors": [{"title": "No.", "request_id": "req-1"}]}'
        self.assertEqual("No. (HTTP 404) (request req-1)", str(refusal(404, "", said)))
        self.assertEqual("No. (HTTP 401)", str(refusal(401, "", b'{"error": {"message": "No."}}')))
        self.assertEqual("The server refused. (HTTP 502) (request req-2)", str(refusal(502, "req-2", b"<html>")))


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
        script = "import sys; sys.argv[1:] = ['-h']; from zun_lite.cmd.zl import main; main(); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
        read = set(done.stdout.splitlines()[-1].split())
        for name in ("requests", "keystoneauth1", "openstack", "websockets", "rich", "sqlalchemy", "asyncio", "yaml"):
            self.assertNotIn(name, read)
