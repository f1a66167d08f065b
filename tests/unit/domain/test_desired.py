# SPDX-License-Identifier: Apache-2.0
"""What API and hosts tell each other survives the wire, from older and newer programs too."""

import json
import unittest

from zun_lite.domain.desired import Desired, DesiredSet, Inventory, Report
from zun_lite.domain.lifecycle import ON, Goal, Observed
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec, MountRequest, NetworkRequest, RestartPolicy
from zun_lite.domain.wiring import Address, Attachment, Endpoint, Wiring

SPEC = ContainerSpec(
    image="demo:latest",
    command=("sh", "-c", "exit 0"),
    environment={"A": "b"},
    restart_policy=RestartPolicy("on-failure", 3),
    networks=(NetworkRequest("n1", fixed_ips=("10.0.0.9",)),),
    mounts=(MountRequest("/data", "v1"),),
)
WIRING = Wiring(
    (Endpoint("p1", "n1", 1000, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.9", 24, "s1", "10.0.0.1"),), True),),
    (Attachment("v1", 2, 1, "/data", formatted=True),),
)
DESIRED = Desired("u1", "p", "web", 1, 4, Goal(power=ON, run=2), SPEC, WIRING, True)


def through_the_wire(body):
    return json.loads(json.dumps(body))


class WireTest(unittest.TestCase):
    def test_a_set_arrives_as_it_was_sent(self):
        sent = DesiredSet(7, (DESIRED,), ("v9",))
        self.assertEqual(sent, DesiredSet.from_json(through_the_wire(sent.to_json())))

    def test_a_report_arrives_as_it_was_sent(self):
        inventory = Inventory(Resources(2, 2048, 10), runtimes=("runc", "zun-lite"))
        sent = Report("boot", inventory, True, (("u1", Observed(state="running", ports=(80,))),), ("v9",))
        self.assertEqual(sent, Report.from_json(through_the_wire(sent.to_json())))

    def test_what_a_newer_program_adds_is_passed_over(self):
        body = through_the_wire(DESIRED.to_json())
        body["goal"]["mood"] = "fine"
        body["spec"]["mood"] = "fine"
        body["wiring"]["endpoints"][0].pop("dns")
        self.assertEqual(DESIRED, Desired.from_json(body))

    def test_what_an_older_program_left_out_has_its_default(self):
        self.assertEqual(ContainerSpec("demo:latest"), ContainerSpec.from_json({"image": "demo:latest"}))
