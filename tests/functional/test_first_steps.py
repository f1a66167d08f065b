# SPDX-License-Identifier: Apache-2.0
"""docs/first-steps.md as its reader types it, with the stock client.

Each command ends well and shows what stands behind its #.
"""

from __future__ import annotations

import re
import shlex
import string
import sys
from pathlib import Path

from tests.functional.case import ClientsTestCase

GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "first-steps.md"
ZL = ".venv/bin/zl"
# What makes the clients, which the tests have already.
_BEFORE = re.compile(r'eval "\$\(.venv/bin/zun-lite env\)"|python3 -m venv |~/clients/bin/pip |export PATH=')
_KEPT = re.compile(r"(\w+)=\$\((.+)\)")


def commands() -> list[tuple[str, str]]:
    """Each command of the guide, and what is seen of it."""
    lines = [line.strip() for line in GUIDE.read_text().splitlines() if line.startswith("    ")]
    parted = [line.partition("  # ") for line in lines]
    return [(command.strip(), seen.strip()) for command, _, seen in parted]


class FirstStepsTest(ClientsTestCase):
    settings = {"network": {"external_cidr": "172.29.81.0/24"}}

    def test_each_command_of_the_guide_does_what_it_says(self) -> None:
        typed = [(command, seen) for command, seen in commands() if not _BEFORE.match(command)]
        self.assertEqual(4, len(commands()) - len(typed), "what makes the clients is typed first")
        self.assertGreater(len(typed), 25)
        kept: dict[str, str] = {}
        for command, seen in typed:
            variable, to_type = _KEPT.fullmatch(command), command
            if variable:
                to_type = variable[2]
            said = self.type(shlex.split(string.Template(to_type).substitute(kept)))
            self.assertIn(seen, said, command)
            if variable:
                kept[variable[1]] = said.strip()
        for noun in ("appcontainer", "volume", "floating ip", "router"):
            self.assertEqual([], self.shown(*noun.split(), "list"), noun)
        self.assertNotIn("back", [network["Name"] for network in self.shown("network", "list")])

    def type(self, words: list[str]) -> str:
        """What a command said, when what it set going has come to its end, as it has when a reader types the next."""
        if words[0] == "openstack":
            said = self.clients.openstack(*words[1:])
            output = said.stdout + said.stderr
        else:
            argv = [sys.executable, "-m", "zun_lite.cmd.zl", *words[1:]] if words[0] == ZL else words
            output = self.cloud.run(argv)
        if words[:3] == ["openstack", "appcontainer", "run"]:
            self.cloud.wait_status(self.uuid_of(words[words.index("--name") + 1]), "Running", "Stopped")
        if words[:3] == ["openstack", "appcontainer", "kill"]:
            self.cloud.wait_status(self.uuid_of(words[-1]), "Stopped")
        if words[:3] == ["openstack", "appcontainer", "delete"]:
            self.cloud.wait(lambda: words[-1] not in self.names(), f"{words[-1]} is gone", 30)
        return output

    def uuid_of(self, name: str) -> str:
        (found,) = [item["uuid"] for item in self.containers() if item["name"] == name]
        return found

    def names(self) -> list[str]:
        return [item["name"] for item in self.containers()]

    def containers(self) -> list[dict]:
        return self.cloud.ask("GET", "/v1/containers")["containers"]
