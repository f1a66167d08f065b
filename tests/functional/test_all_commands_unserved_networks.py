# SPDX-License-Identifier: Apache-2.0
"""What this server leaves out of Neutron: each command for it hears so, and changes nothing."""

from __future__ import annotations

from typing import Any

from tests.functional import unserved
from tests.functional.commands import about
from tests.functional.commands_case import V2, CommandsTestCase
from zun_lite.domain.names import new_id


def left_out(heard: str) -> Any:
    """Marks a test as one of all commands that hear this."""
    return about(*unserved.named(unserved.SAID[heard]), unserved=f"it hears `... {heard} ...`")


class UnservedNetworksTest(CommandsTestCase):
    settings = {"network": {"external_cidr": "172.29.80.0/24"}}

    @about(*unserved.named(unserved.EMPTY))
    def test_what_clients_look_into_although_nothing_of_it_is_here_is_empty(self):
        for done in self.clients.several([[*words, "-f", "json"] for words in unserved.lines(unserved.EMPTY)]):
            self.assertEqual((0, []), (done.code, done.json()), done)

    @left_out("There is nothing at")
    @left_out("This server has no")
    @left_out("found for")
    @left_out("No Extension found")
    @left_out("external-gateway-multihoming extension is not enabled")
    @left_out("is not a method of")
    def test_what_is_left_out_says_so_and_changes_nothing(self):
        there = self.what_there_is()
        before = self.everything()
        typed = [(heard, words) for heard, text in unserved.SAID.items() for words in unserved.lines(text)]
        ended = self.clients.several([[there.get(word, word) for word in words] for _, words in typed], cloud="admin")
        for (heard, words), done in zip(typed, ended, strict=True):
            with self.subTest(words):
                self.assertIn(heard, done.stderr)
                self.assertEqual(1, done.code, done)
        self.assertEqual(before, self.everything())

    @about(
        *unserved.named(unserved.SILENT),
        fault="ends with 0 and prints nothing, whatever it is answered",
        unserved="the server answers `There is nothing at ...`",
    )
    def test_hosts_are_not_given_networks_and_routers_by_hand(self):
        there = self.what_there_is()
        typed = [[there.get(word, word) for word in words] for words in unserved.lines(unserved.SILENT)]
        for done in self.clients.several(typed, cloud="admin"):
            self.assertEqual((0, ""), (done.code, done.stdout), done)
        for name in ("dhcp-networks", "l3-routers"):
            answer = self.cloud.call("POST", f"{V2}/agents/{there['AGENT']}/{name}", {}, cloud="admin")
            self.assertEqual(404, answer.status_code)
            self.assertIn("There is nothing at", answer.json()["NeutronError"]["message"])

    def what_there_is(self) -> dict[str, str]:
        """By the words that stand for it."""

        def make(kind: str, path: str, **fields: Any) -> str:
            made = self.cloud.ask("POST", f"{V2}/{path}", {kind: fields})[kind]["id"]
            self.addCleanup(self.cloud.call, "DELETE", f"{V2}/{path}/{made}")
            return made

        (external,) = self.got("networks?name=external")["networks"]
        return {
            "HOME": self.network,
            "PORT": make("port", "ports", network_id=self.network),
            "ROUTER": make("router", "routers"),
            "POOL": make("subnetpool", "subnetpools", name="pool", prefixes=["10.90.0.0/16"]),
            "FLOATING": make("floatingip", "floatingips", floating_network_id=external["id"]),
            "AGENT": self.got("agents", cloud="admin")["agents"][0]["id"],
            "PROJECT": self.project(),
            "NONE": new_id(),
        }

    def everything(self) -> list[tuple[str, str]]:
        kinds = ("networks", "subnets", "ports", "routers", "subnetpools", "floatingips", "security-groups")
        found = [item for kind in kinds for item in self.got(kind, cloud="admin")[kind.replace("-", "_")]]
        return [(item["id"], item.get("name", "")) for item in found]
