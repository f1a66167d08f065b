# SPDX-License-Identifier: Apache-2.0
"""What API and hosts tell each other survives the wire, from older and newer programs too."""

import json
import unittest

from zun_lite.domain.capsule import CapsuleSpec, Member, MemberMount
from zun_lite.domain.desired import (
    COPY,
    SNAPSHOT,
    VOLUME,
    CommitOrder,
    Desired,
    DesiredSet,
    ImageNews,
    Inventory,
    KeptImage,
    Report,
    VolumeNews,
    VolumeOrder,
)
from zun_lite.domain.lifecycle import ON, Goal, Observed
from zun_lite.domain.plan import Done, MemberDone
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import (
    ContainerSpec,
    FileRequest,
    Healthcheck,
    MountRequest,
    NetworkRequest,
    RestartPolicy,
)
from zun_lite.domain.wiring import Address, Attachment, Endpoint, Wiring

SPEC = ContainerSpec(
    image="demo:latest",
    command=("sh", "-c", "exit 0"),
    environment={"A": "b"},
    restart_policy=RestartPolicy("on-failure", 3),
    networks=(NetworkRequest("n1", fixed_ips=("10.0.0.9",)),),
    mounts=(MountRequest("/data", "v1"),),
    files=(FileRequest("/etc/app", "YQ=="),),
    healthcheck=Healthcheck("true"),
)
WIRING = Wiring(
    (Endpoint("p1", "n1", 1000, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.9", 24, "s1", "10.0.0.1"),), True),),
    (Attachment("v1", 2, 1, "/data", formatted=True),),
)
DESIRED = Desired("u1", "p", "web", 1, 4, Goal(power=ON, run=2), SPEC, WIRING, True)


MEMBER = Member("m1", "app", ContainerSpec("demo:latest"), (MemberMount("v", "/data"),))
CAPSULE = Desired(
    "u2", "p", "pod", 1, 1, Goal(), CapsuleSpec("demo:latest", members=(MEMBER,)), Wiring(), True, "capsule"
)
OBSERVED = Observed(state="running", members=(("m1", Observed(state="running")),))


def with_more(body):
    """The body with a key more wherever there are keys of ours."""
    if isinstance(body, list):
        return [with_more(item) for item in body]
    if not isinstance(body, dict):
        return body
    users_own = ("environment", "labels", "hints", "annotations", "connector")
    return {"mood": "fine", **{key: body[key] if key in users_own else with_more(body[key]) for key in body}}


def through_the_wire(body):
    return json.loads(json.dumps(body))


class WireTest(unittest.TestCase):
    def test_a_set_arrives_as_it_was_sent(self):
        order = VolumeOrder("v1", VOLUME, COPY, 2, 3, "ext4", SNAPSHOT, "s1", True)
        sent = DesiredSet(7, (DESIRED,), ("v9",), volumes=(order,))
        self.assertEqual(sent, DesiredSet.from_json(through_the_wire(sent.to_json())))

    def test_a_report_arrives_as_it_was_sent(self):
        inventory = Inventory(Resources(2, 2048, 10), runtimes=("runc", "zun-lite"))
        news = (VolumeNews("v1", VOLUME, 2), VolumeNews("s1", SNAPSHOT, 1, "no room"))
        seen = (("u1", Observed(state="running", ports=(80,))),)
        sent = Report("boot", inventory, True, seen, ("v9",), volumes=news)
        self.assertEqual(sent, Report.from_json(through_the_wire(sent.to_json())))

    def test_what_a_newer_program_adds_is_passed_over(self):
        body = with_more(through_the_wire(DESIRED.to_json()))
        body["wiring"]["endpoints"][0].pop("dns")
        self.assertEqual(DESIRED, Desired.from_json(body))
        for sent in (
            DesiredSet(7, (DESIRED, CAPSULE), ("v9",), (KeptImage("i1", "demo:latest"),), (CommitOrder("i2", "u1"),)),
            Report("boot", Inventory(Resources(2)), True, (("u1", OBSERVED),), ("v9",), (ImageNews("i1"),)),
            Done(members=(("m1", MemberDone("c1")),)),
        ):
            self.assertEqual(sent, type(sent).from_json(with_more(through_the_wire(sent.to_json()))))

    def test_what_an_older_program_left_out_has_its_default(self):
        self.assertEqual(ContainerSpec("demo:latest"), ContainerSpec.from_json({"image": "demo:latest"}))
