# SPDX-License-Identifier: Apache-2.0
"""Security groups of a whole cloud: a rule opens and closes a port of a container that runs, and names are found."""

from __future__ import annotations

from typing import Any

from tests.functional.case import CloudTestCase

V2 = "/network/v2.0"
# Says who it is to everybody who connects.
SERVER = ["sh", "-c", "trap 'exit 0' TERM; while :; do echo here | nc -l -p 8080; done & wait"]
WAIT_SECONDS = 10.0


class SecurityGroupsTest(CloudTestCase):
    network: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network("10.90.0.0/24", name="guarded")

    def make(self, kind: str, **fields: Any) -> Any:
        return self.cloud.ask("POST", f"{V2}/{kind.replace('_', '-')}s", {kind: fields})[kind]

    def address(self, record: dict[str, Any]) -> str:
        return record["addresses"][self.network][0]["addr"]

    def connects(self, uuid: str, address: str, port: int = 8080) -> bool:
        code, output = self.execute(uuid, f"nc -w 2 {address} {port}")
        return code == 0 and output == "here\n"

    def turns(self, wanted: bool, uuid: str, address: str, what: str) -> None:
        self.cloud.wait(lambda: self.connects(uuid, address) is wanted, what, WAIT_SECONDS)

    def test_a_rule_opens_and_closes_a_port_while_containers_run(self):
        group = self.make("security_group", name="web")
        server = self.running("server", nets=[{"network": self.network}], command=SERVER, security_groups=["web"])
        client = self.running("client", nets=[{"network": self.network}])["uuid"]
        address = self.address(server)
        self.assertFalse(self.connects(client, address), "a group that lets nothing in lets nothing in")
        fields = {"direction": "ingress", "protocol": "tcp", "port_range_min": 8080, "port_range_max": "8080"}
        rule = self.make("security_group_rule", security_group_id=group["id"], **fields)
        self.turns(True, client, address, "the rule lets the client in")
        self.assertFalse(self.reaches(client, address), "and no pings")
        self.cloud.ask("DELETE", f"{V2}/security-group-rules/{rule['id']}")
        self.turns(False, client, address, "without the rule it is shut again")

        (default,) = self.cloud.ask("GET", f"{V2}/security-groups?name=default")["security_groups"]
        self.make("security_group_rule", security_group_id=group["id"], remote_group_id=default["id"], **fields)
        self.turns(True, client, address, "the default group's members are let in")
        refused = self.cloud.call("DELETE", f"{V2}/security-groups/{group['id']}")
        self.assertEqual((409, "SecurityGroupInUse"), (refused.status_code, refused.json()["NeutronError"]["type"]))
        self.delete(server["uuid"])
        self.assertEqual(204, self.cloud.call("DELETE", f"{V2}/security-groups/{group['id']}").status_code)

    def test_members_of_the_default_group_reach_each_other_and_others_do_not_reach_them(self):
        self.make("security_group", name="apart")
        inside = self.running("inside", nets=[{"network": self.network}], command=SERVER)
        neighbour = self.running("neighbour", nets=[{"network": self.network}])["uuid"]
        stranger = self.running("stranger", nets=[{"network": self.network}], security_groups=["apart"])["uuid"]
        address = self.address(inside)
        self.turns(True, neighbour, address, "a member of the default group")
        self.assertFalse(self.connects(stranger, address), "who is not in the group is kept out")
        self.assertFalse(self.reaches(stranger, address))

    def test_exposed_ports_are_open_to_all_and_their_group_goes_with_the_container(self):
        self.make("security_group", name="elsewhere")
        record = self.running(
            "exposing", nets=[{"network": self.network}], command=SERVER, exposed_ports={"8080/tcp": {}}
        )
        (group,) = self.cloud.ask("GET", f"{V2}/security-groups?name=zun-{record['uuid']}")["security_groups"]
        self.assertEqual([group["id"]], record["security_groups"])
        client = self.running("caller", nets=[{"network": self.network}], security_groups=["elsewhere"])["uuid"]
        self.turns(True, client, self.address(record), "an exposed port is open")
        self.assertFalse(self.reaches(client, self.address(record)), "and nothing else is")
        self.delete(record["uuid"])
        self.assertEqual(404, self.cloud.call("GET", f"{V2}/security-groups/{group['id']}").status_code)

    def test_containers_are_found_by_name_and_by_host_name(self):
        record = self.running("findme", nets=[{"network": self.network}], hostname="known")
        seeker = self.running("seeker", nets=[{"network": self.network}])["uuid"]
        for name in ("findme", "known"):
            code, output = self.execute(seeker, f"nslookup {name}")
            self.assertEqual(0, code, output)
            self.assertIn(self.address(record), output)
        self.cloud.ask("PATCH", f"/v1/containers/{record['uuid']}", {"name": "renamed"})
        self.cloud.wait(lambda: self.execute(seeker, "nslookup renamed")[0] == 0, "its new name is found", WAIT_SECONDS)
        self.assertNotEqual(0, self.execute(seeker, "nslookup findme")[0], "and its old one no more")
