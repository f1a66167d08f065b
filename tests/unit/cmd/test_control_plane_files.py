# SPDX-License-Identifier: Apache-2.0
"""Dockerfile and compose file name programs, options, ports and files that there are."""

from __future__ import annotations

import configparser
import fnmatch
import json
import re
import shlex
import unittest
from pathlib import Path

import yaml
from packaging.utils import canonicalize_name

from zun_lite.cmd import alive
from zun_lite.common import config

TOP = Path(__file__).resolve().parents[3]
OF_THE_DATABASE = {"database"}


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(TOP / "setup.cfg")
    return parser


def programs() -> set[str]:
    lines = setup()["options.entry_points"]["console_scripts"].strip().split("\n")
    return {line.partition("=")[0].strip() for line in lines}


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile: (word, the rest), continued lines joined."""
    text = re.sub(r"^#.*\n", "", (TOP / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def let_in(path: str) -> bool:
    """Whether .dockerignore lets a path be sent to the engine: the last line that fits decides."""
    answer = True
    for line in (TOP / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            if fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/"):
                answer = line.startswith("!")
    return answer


class DockerfileTest(unittest.TestCase):
    def setUp(self):
        self.lines = instructions()

    def all_of(self, word: str) -> list[str]:
        return [rest for name, rest in self.lines if name == word]

    def one(self, word: str) -> str:
        """What the image ends up with."""
        return self.all_of(word)[-1]

    def test_it_copies_files_that_are_there_and_let_in_and_no_others_are_sent(self):
        copied = {path for rest in self.all_of("COPY") if not rest.startswith("--from") for path in rest.split()[:-1]}
        self.assertIn("constraints.txt", copied)
        for path in copied:
            self.assertTrue((TOP / path).exists(), path)
            self.assertTrue(let_in(path), path)
        sent = {path.name for path in TOP.iterdir() if let_in(path.name)}
        self.assertEqual(copied, sent)
        for secret in (".env", ".git", "zun_lite/__pycache__"):
            self.assertFalse(let_in(secret), secret)

    def test_its_programs_are_those_of_the_package(self):
        self.assertIn(json.loads(self.one("CMD"))[0], programs())
        probe = json.loads(self.one("HEALTHCHECK").partition(" CMD ")[2])
        self.assertIn(probe[0], programs())
        self.assertEqual(json.loads(self.one("CMD"))[0], f"zun-lite-{probe[1]}")

    def test_extras_version_and_ports_are_those_of_the_package(self):
        extras = re.search(r"'\.\[([a-z,]+)\]'", " ".join(self.all_of("RUN")))[1].split(",")
        self.assertLessEqual(set(extras), set(setup()["options.extras_require"]))
        self.assertIn(f"VERSION={setup()['metadata']['version']}", self.all_of("ARG"))
        self.assertRegex(self.one("LABEL"), r'image\.version="\$\{VERSION\}"')
        conf = config.empty()
        self.assertEqual({str(conf.api.port), str(conf.gateway.port)}, set(self.one("EXPOSE").split()))

    def test_nothing_in_it_runs_as_root_and_its_state_is_kept(self):
        words = [word for word, _ in self.lines]
        self.assertNotIn(self.one("USER"), ("root", "0"))
        self.assertNotIn("RUN", words[words.index("USER") :])
        kept = dict(word.split("=", 1) for word in shlex.split(self.one("ENV")))["ZUN_LITE_STATE_DIR"]
        self.assertEqual(kept, self.one("VOLUME"))

    def test_what_the_package_and_its_build_need_is_pinned(self):
        pinned = {canonicalize_name(line.partition("==")[0]) for line in (TOP / "constraints.txt").read_text().split()}
        required = setup()["options"]["install_requires"] + "".join(
            setup()["options.extras_require"][name] for name in ("keystone", "mysql", "postgresql")
        )
        names = re.findall(r"^([A-Za-z0-9._-]+)", required, re.M)
        self.assertLessEqual({canonicalize_name(name) for name in (*names, "setuptools")}, pinned)
        self.assertIn("PIP_CONSTRAINT=/src/constraints.txt", " ".join(self.all_of("RUN")))


class ComposeTest(unittest.TestCase):
    def setUp(self):
        self.text = (TOP / "compose.yaml").read_text()
        self.file = yaml.safe_load(self.text)
        self.services = self.file["services"]
        self.ours = {name: one for name, one in self.services.items() if name not in OF_THE_DATABASE}

    def test_it_starts_programs_of_the_package_and_looks_after_each(self):
        wanted = {"api", "controller", "gateway"}
        self.assertEqual({f"zun-lite-{name}" for name in wanted}, {self.ours[name]["command"][0] for name in wanted})
        for name, service in self.ours.items():
            self.assertIn(service["command"][0], programs(), name)
            probe = service.get("healthcheck", {"test": ["CMD", "zun-lite-alive", "api"]})
            if service["restart"] != "no":
                self.assertEqual(["CMD", "zun-lite-alive", name], probe["test"])
                self.assertIn(name, alive.PROGRAMS)

    def test_its_options_are_there_and_take_the_values(self):
        for service in self.ours.values():
            said = {name: text for name, text in service["environment"].items() if name.startswith("OS_")}
            self.assertIn("OS_DATABASE__CONNECTION", said)
            for name, text in said.items():
                section, _, option = name.removeprefix("OS_").lower().partition("__")
                options = {one.dest: one for one in config.GROUPS[section]}
                self.assertIn(option, options, name)
                default = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
                options[option].type(default)

    def test_ports_that_are_published_are_those_that_programs_listen_on(self):
        conf = config.empty()
        for name in ("api", "gateway"):
            (port,) = self.services[name]["ports"]
            self.assertTrue(port.endswith(f":{conf[name].port}"), port)
            self.assertEqual("0.0.0.0", self.services[name]["environment"][f"OS_{name.upper()}__BIND"])
        gateway = self.services["gateway"]["environment"]
        self.assertEqual(f"http://api:{conf.api.port}", gateway["OS_GATEWAY__API_URL"])

    def test_volumes_and_services_that_are_named_are_there_and_state_is_kept(self):
        state = dict(instructions())["VOLUME"]
        for name, service in self.services.items():
            self.assertLessEqual(set(service.get("depends_on", {})), set(self.services), name)
            for volume, _, place in (line.partition(":") for line in service["volumes"]):
                self.assertIn(volume, self.file["volumes"], name)
                self.assertEqual(name in self.ours, place == state, name)

    def test_each_variable_that_it_asks_for_is_explained(self):
        guide = (TOP / "docs" / "containers.md").read_text()
        names = set(re.findall(r"\$\{(\w+)", self.text))
        self.assertIn("DATABASE_PASSWORD", names)
        for name in names:
            self.assertIn(f"`{name}`", guide)
