# SPDX-License-Identifier: Apache-2.0
"""What Horizon's container panel and Heat's container resource ask for, with the client library that they use.

Horizon takes the user's token and the catalogue's URL, negotiates the newest version for every call, and
writes its forms' values in its own way. Heat speaks 1.12, and 1.18 where networks change.
"""

from __future__ import annotations

import json
from typing import Any

from tests.functional.case import PATIENT, ClientsTestCase

# As the panel's own layer between its forms and the library does it.
HORIZON = """
import json
from zunclient import client
def zun():
    return client.Client("1", endpoint_override=URL, auth_token=TOKEN)
def cleaned(form):
    args = {}
    for key, value in form.items():
        if key == "cpu":
            args[key] = float(value)
        elif key in ("memory", "disk"):
            args[key] = int(value)
        elif key == "restart_policy":
            name, _, count = value.partition(":")
            args[key] = {"Name": name, "MaximumRetryCount": count or "0"}
        elif key in ("environment", "labels"):
            args[key] = dict(pair.split("=", 1) for pair in value.split(","))
        elif key == "command":
            import shlex
            args[key] = shlex.split(value)
        else:
            args[key] = value
    return args
def told(found):
    item = found.to_dict()
    item["id"] = item.pop("uuid")
    # The panel reads these without asking whether they are there.
    item["policy"] = item["restart_policy"].get("Name", "")
    item["shell"] = item["labels"].get("cloud-shell")
    item["megabytes"] = int(item["memory"].replace("M", "")) if item["memory"] is not None else None
    return item
"""
HEAT = """
import json, time, openstack
from zunclient import client
from zunclient.common.apiclient import exceptions
session = openstack.connect(cloud="demo").session
def zun(version="1.12"):
    return client.Client(version, session=session, interface="public", region_name="RegionOne")
def until_done(uuid):
    # Anything but these is a failure to Heat.
    seen = []
    while True:
        found = zun().containers.get(uuid)
        seen.append(found.status)
        if found.status in ("Creating", "Created"):
            time.sleep(0.05)
        elif found.status == "Running" or (found.status == "Stopped" and not found.interactive):
            return found, sorted(set(seen))
        else:
            raise SystemExit(f"Heat gives up: {found.status}: {found.status_reason}")
"""


class ProgramsTestCase(ClientsTestCase):
    def told(self, code: str, *, cloud: str = "demo", **values: Any) -> Any:
        """What a program, with these values as its globals, prints as JSON."""
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        return json.loads(self.clients.python(given + code, cloud=cloud).stdout)


class HorizonTest(ProgramsTestCase):
    network: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network("10.80.0.0/24", name="panel-net")

    def panel(self, code: str, *, cloud: str = "demo", **values: Any) -> Any:
        return self.told(
            HORIZON + code, cloud=cloud, URL=f"{self.cloud.url}/v1", TOKEN=self.cloud.token(cloud), **values
        )

    def form(self, name: str, **fields: Any) -> dict[str, Any]:
        """What the panel's dialogue sends when the user fills in the usual."""
        command = "sh -c \"trap 'exit 0' TERM; echo hello; while :; do sleep 1000 & wait; done\""
        return {
            "name": name,
            "image": "demo:latest",
            "image_driver": "docker",
            "command": command,
            "interactive": False,
            "nets": [{"network": self.network}],
            "security_groups": [],
            "hints": {},
            "cpu": "0.25",
            "memory": "32",
            **fields,
        }

    def launch(self, name: str, **fields: Any) -> dict[str, Any]:
        made = self.panel(
            "print(json.dumps(told(zun().containers.run(**cleaned(FORM)))))", FORM=self.form(name, **fields)
        )
        self.addCleanup(self.delete, made["id"])
        self.cloud.wait_status(made["id"], "Running", "Error")
        return self.panel("print(json.dumps(told(zun().containers.get(ID))))", ID=made["id"])

    def test_a_form_becomes_a_container_that_the_panel_can_show(self):
        shown = self.launch(
            "panel",
            environment="GREETING=hi,OTHER=a=b",
            labels="tier=web",
            restart_policy="on-failure:3",
            workdir="/tmp",
            hostname="panelled",
            auto_heal=False,
            mounts=[{"source": "", "size": "1", "destination": "/data"}],
        )
        self.assertEqual(
            ("Running", "on-failure", 32, None), tuple(shown[key] for key in ("status", "policy", "megabytes", "shell"))
        )
        docker = self.one_in_docker(shown["id"])
        self.assertEqual((32 * 1024**2, "panelled", "/tmp"), (
            docker["HostConfig"]["Memory"], docker["Config"]["Hostname"], docker["Config"]["WorkingDir"],
        ))  # fmt: skip
        self.assertEqual({"Name": "on-failure", "MaximumRetryCount": 3}, docker["HostConfig"]["RestartPolicy"])
        self.assertLessEqual({"GREETING=hi", "OTHER=a=b"}, set(docker["Config"]["Env"]))
        self.assertEqual("web", docker["Config"]["Labels"]["tier"])
        self.assertIn("/data", [mount["Destination"] for mount in docker["Mounts"]])
        self.assertEqual([self.network], list(shown["addresses"]))

    def test_a_form_with_nothing_but_an_image_is_enough(self):
        made = self.panel(
            "print(json.dumps(told(zun().containers.create(**cleaned(FORM)))))",
            FORM={"name": "least", "image": "demo:latest", "interactive": True, "nets": [], "mounts": [], "hints": {}},
        )
        self.addCleanup(self.delete, made["id"])
        self.assertEqual(("", None, True), (made["policy"], made["shell"], made["interactive"]))
        self.cloud.wait_status(made["id"], "Created")

    def test_the_panels_list_has_what_it_reads(self):
        shown = self.launch("listed")
        (item,) = self.panel(
            "print(json.dumps([told(found) for found in zun().containers.list(limit=1000) if found.name == 'listed']))"
        )
        self.assertEqual((shown["id"], "Running", ""), (item["id"], item["status"], item["policy"]))

    def test_every_action_of_the_panels_menu(self):
        uuid = self.launch("acted")["id"]
        for action, status, running, paused in (
            ("pause(ID)", "Paused", True, True),
            ("unpause(ID)", "Running", True, False),
            ("stop(ID, '10')", "Stopped", False, False),
            ("start(ID)", "Running", True, False),
            ("restart(ID, '10')", "Running", True, False),
            ("rebuild(ID, image='demo:latest')", "Running", True, False),
            ("kill(ID, 'SIGKILL')", "Stopped", False, False),
            ("start(ID)", "Running", True, False),
        ):
            with self.subTest(action=action):
                self.panel(f"zun().containers.{action}; print('null')", ID=uuid)
                self.cloud.wait_status(uuid, status)
                state = self.one_in_docker(uuid)["State"]
                self.assertEqual((running, paused), (state["Running"], state["Paused"]))
        executed = self.panel(
            "print(json.dumps(zun().containers.execute(ID, command='echo from inside', run=True, interactive=False)))",
            ID=uuid,
        )
        self.assertEqual(("from inside\n", 0), (executed["output"], executed["exit_code"]))
        self.cloud.wait(
            lambda: "hello" in self.panel(
                "print(json.dumps(zun().containers.logs(ID, stdout=True, stderr=True, timestamps=False, tail='all')))",
                ID=uuid,
            ),
            "the panel's log says hello",
        )  # fmt: skip

    def test_an_update_sends_what_changed(self):
        uuid = self.launch("before")["id"]
        changed = self.panel(
            "print(json.dumps(told(zun().containers.update(ID, cpu=0.5, memory=48, name='after'))))", ID=uuid
        )
        self.assertEqual(("after", 0.5, 48), (changed["name"], changed["cpu"], changed["megabytes"]))
        self.cloud.wait(
            lambda: self.one_in_docker(uuid)["HostConfig"]["Memory"] == 48 * 1024**2, "Docker has the new limit"
        )

    def test_deleting_by_the_panel_stops_first(self):
        uuid = self.launch("deleted")["id"]
        self.panel("zun().containers.delete(ID, stop=True); print('null')", ID=uuid)
        self.cloud.wait_gone(uuid)
        self.assertEqual([], self.cloud.in_docker(uuid))

    def test_attach_needs_an_interactive_container(self):
        uuid = self.launch("talks", interactive=True, command="sh")["id"]
        url = self.panel("print(json.dumps(zun().containers.attach(ID)))", ID=uuid)
        self.assertRegex(url, rf"^wss?://.*token=.*uuid={uuid}")

    def test_the_administrators_pages(self):
        code = """
zones = [found.to_dict() for found in zun().availability_zones.list()]
hosts = [found.to_dict() for found in zun().hosts.list()]
images = [found.to_dict() for found in zun().images.list()]
everything = [found.to_dict() for found in zun().containers.list(all_projects=True)]
capsules = [found.to_dict() for found in zun().capsules.list()]
print(json.dumps([zones, hosts, images, everything, capsules]))
"""
        mine = self.launch("seen")
        zones, hosts, _, everything, _ = self.panel(code, cloud="admin")
        self.assertEqual(["nova"], [zone["availability_zone"] for zone in zones])
        self.assertTrue({"uuid", "hostname", "mem_total", "cpus", "disk_total"} <= set(hosts[0]))
        (seen,) = [found for found in everything if found["uuid"] == mine["id"]]
        self.assertEqual(hosts[0]["hostname"], seen["host"])
        self.assertNotIn("host", mine)


class HeatTest(ProgramsTestCase):
    network: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network("10.81.0.0/24", name="stack-net")

    def properties(self, name: str, **more: Any) -> dict[str, Any]:
        """What a template's properties become."""
        return {
            "name": name,
            "image": "demo:latest",
            "cpu": 0.25,
            "memory": "32",
            "environment": {"GREETING": "hi"},
            "labels": {"tier": "web"},
            "interactive": True,
            "image_driver": "docker",
            "hints": {},
            "security_groups": [],
            "restart_policy": {"Name": "on-failure", "MaximumRetryCount": "2"},
            "nets": [{"network": self.network}],
            **more,
        }

    def test_a_stacks_container_comes_changes_and_goes(self):
        code = """
made = zun().containers.run(**PROPERTIES)
found, seen = until_done(made.uuid)
zun().containers.update(made.uuid, cpu=0.5, memory=48)
changed, _ = until_done(made.uuid)
print(json.dumps({"made": made.to_dict(), "found": found.to_dict(), "seen": seen, "changed": changed.to_dict()}))
"""
        told = self.told(HEAT + code, PROPERTIES=self.properties("stacked", command="sh"))
        uuid = told["made"]["uuid"]
        self.addCleanup(self.delete, uuid)
        self.assertIn("Running", told["seen"])
        self.assertEqual("stacked", told["found"]["name"])
        (address,) = told["found"]["addresses"][self.network]
        self.assertTrue({"addr", "port", "subnet_id", "version"} <= set(address))
        self.assertEqual((0.5, "48"), (told["changed"]["cpu"], told["changed"]["memory"]))
        docker = self.one_in_docker(uuid)
        self.assertEqual((["sh"], True), (docker["Config"]["Cmd"], docker["Config"]["OpenStdin"]))
        self.assertEqual({"Name": "on-failure", "MaximumRetryCount": 2}, docker["HostConfig"]["RestartPolicy"])

        gone = self.told(
            HEAT
            + """
zun().containers.delete(ID, stop=True)
began = time.monotonic()
while time.monotonic() - began < 60:
    try:
        zun().containers.get(ID)
    except exceptions.NotFound:
        print(json.dumps("gone"))
        break
    time.sleep(0.05)
""",
            ID=uuid,
        )
        self.assertEqual("gone", gone)
        self.assertEqual([], self.cloud.in_docker(uuid))

    def test_a_job_that_ends_is_done(self):
        code = """
made = zun().containers.run(**PROPERTIES)
found, _ = until_done(made.uuid)
while zun().containers.get(made.uuid).status == "Running":
    time.sleep(0.05)
print(json.dumps(until_done(made.uuid)[0].to_dict()))
"""
        ended = self.told(
            HEAT + code, PROPERTIES=self.properties("job", command="true", interactive=False, restart_policy={})
        )
        self.addCleanup(self.delete, ended["uuid"])
        self.assertEqual("Stopped", ended["status"])
        self.assertEqual(0, self.one_in_docker(ended["uuid"])["State"]["ExitCode"])

    def test_a_container_that_cannot_be_is_a_failure_with_its_reason(self):
        code = """
made = zun().containers.run(**PROPERTIES)
try:
    until_done(made.uuid)
except SystemExit as failure:
    print(json.dumps([made.uuid, str(failure)]))
"""
        properties = self.properties("never", image="no-such-image:1", command="sh")
        uuid, failure = self.told(HEAT + code, PROPERTIES=properties)
        self.addCleanup(self.delete, uuid)
        self.assertRegex(failure, "Heat gives up: Error: .*no-such-image")

    def test_networks_change_at_1_18(self):
        second = self.cloud.make_network("10.82.0.0/24", name="second-net")
        made = self.running("joins", nets=[{"network": self.network}], command=PATIENT)
        code = """
zun("1.18").containers.network_attach(ID, network=SECOND)
print(json.dumps([found.to_dict() for found in zun("1.18").containers.network_list(ID)]))
"""
        self.told(HEAT + code, ID=made["uuid"], SECOND=second)
        record = self.cloud.wait_status(made["uuid"], "Running")
        self.assertEqual({self.network, second}, set(record["addresses"]))
        code = """
zun("1.18").containers.network_detach(ID, network=SECOND)
print("null")
"""
        self.told(HEAT + code, ID=made["uuid"], SECOND=second)
        listed = self.cloud.wait(
            lambda: [
                found
                for found in [
                    self.told(
                        HEAT
                        + 'print(json.dumps([each.to_dict() for each in zun("1.18").containers.network_list(ID)]))',
                        ID=made["uuid"],
                    )
                ]
                if len(found) == 1
            ],
            "one network is left",
        )
        (only,) = listed[0]
        self.assertEqual(self.network, only["net_id"])
        self.assertEqual({"net_id", "port_id", "fixed_ips"}, set(only))
