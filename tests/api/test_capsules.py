# SPDX-License-Identifier: Apache-2.0
"""Capsules at the edge: templates and what is wrong with them, representations, paging, tenancy, rights."""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.api.case import ApiTestCase
from zun_lite.control import reports
from zun_lite.db import workloads
from zun_lite.domain import errors
from zun_lite.domain.capsule import CapsuleSpec
from zun_lite.domain.desired import Report
from zun_lite.domain.lifecycle import Observed
from zun_lite.domain.resources import Limits
from zun_lite.domain.spec import MountRequest, RestartPolicy

VOLUME_ID = "11111111-2222-4333-8444-555555555555"


def a_template(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    items = [{"image": "demo", "resources": {"requests": {"cpu": 0.5, "memory": 64}}, **item} for item in containers]
    return {
        "kind": "capsule",
        "capsuleVersion": "beta",
        "metadata": {"name": "pod"},
        "spec": {"containers": items or [{"image": "demo"}], **spec},
    }


class CapsuleCase(ApiTestCase):
    def post(self, template: Any, **more: Any):
        return self.call("POST", "/v1/capsules", {"template": template}, **more)

    def make(self, template: Any = None, **more: Any) -> dict[str, Any]:
        answer = self.post(template or a_template(), **more)
        self.assertEqual(202, answer.status_code, answer.text)
        return answer.json

    def spec_of(self, capsule: dict[str, Any]) -> CapsuleSpec:
        with self.db.read() as tx:
            spec = workloads.get(tx, capsule["uuid"]).spec
        self.assertIsInstance(spec, CapsuleSpec)
        return spec

    def report(self, capsule: dict[str, Any], state: str = "running", **members: Observed) -> None:
        """members: what is seen of c0, c1 and so on."""
        with self.db.read() as tx:
            workload = workloads.get(tx, capsule["uuid"])
        uuids = {f"c{number}": member.uuid for number, member in enumerate(workload.spec.members)}
        seen = tuple((uuids[name], observed) for name, observed in members.items())
        observed = Observed(workload.generation, 1, 1, 1, state, container_id="c" * 64, members=seen)
        reports.take(self.means, self.host, Report("boot1", None, False, ((workload.uuid, observed),)))


class CreateTest(CapsuleCase):
    def test_a_template_becomes_a_capsule_that_is_to_run(self) -> None:
        answer = self.post(a_template({"command": ["sh"], "args": ["-c", "true"]}, {}))
        self.assertEqual(202, answer.status_code, answer.text)
        body = answer.json
        self.assertTrue(answer.headers["Location"].endswith(f"/v1/capsules/{body['uuid']}"))
        self.assertEqual(("pod", "Creating", 1.0, "128"), tuple(body[k] for k in ("name", "status", "cpu", "memory")))
        self.assertEqual({"Name": "always", "MaximumRetryCount": "0"}, body["restart_policy"])
        first, second = body["containers"]
        self.assertEqual((["sh", "-c", "true"], []), (first["command"], second["command"]))
        self.assertRegex(first["name"], r"^capsule-pod-[a-z]+-\d+$")
        self.assertNotIn("links", first)
        with self.db.read() as tx:
            workload = workloads.get(tx, body["uuid"])
        self.assertEqual(("capsule", "on", 1), (workload.kind, workload.goal.power, workload.goal.run))

    def test_every_field_of_a_container_arrives(self) -> None:
        item = {
            "image": "demo:1.0",
            "name": "ignored",
            "command": ["sleep"],
            "args": [5],
            "resources": {"requests": {"cpu": "0.5", "memory": "96"}},
            "ports": [
                {"containerPort": 80, "hostPort": 8080, "name": "web", "protocol": "TCP"},
                {"containerPort": "53", "protocol": "UDP"},
            ],
            "env": {"A": "b", "N": 7},
            "workDir": "/srv",
            "stdin": True,
            "tty": "true",
        }
        body = self.make(a_template(item))
        spec = self.spec_of(body).members[0].spec
        self.assertEqual(("sleep", "5"), spec.command)
        self.assertEqual(
            (0.5, 96, "/srv", True, True), (spec.cpus, spec.memory_mib, spec.workdir, spec.interactive, spec.tty)
        )
        self.assertEqual(({"A": "b", "N": "7"}, ("80/tcp", "53/udp")), (spec.environment, spec.exposed_ports))
        self.assertEqual([53, 80], body["containers"][0]["ports"])

    def test_a_template_may_be_json_text(self) -> None:
        self.assertEqual("pod", self.make(json.dumps(a_template()))["name"])

    def test_a_name_is_made_up_where_none_is_given(self) -> None:
        template = a_template()
        template["metadata"] = {}
        self.assertRegex(self.make(template)["name"], r"^[a-z]+-\d+-capsule$")

    def test_labels_annotations_zone_and_keys_that_others_use_are_taken(self) -> None:
        template = a_template()
        template["metadata"] |= {"labels": {"app": "web"}, "annotations": {"note": "x"}, "namespace": "other"}
        template["spec"]["nodeSelector"] = {"disk": "ssd"}
        template["availabilityZone"] = "nova"
        body = self.make(template)
        self.assertEqual(({"app": "web"}, {"note": "x"}), (body["labels"], body["annotations"]))
        self.assertEqual("nova", self.spec_of(body).availability_zone)

    def test_the_specs_restart_policy_counts_before_the_old_one_at_the_top(self) -> None:
        for in_spec, at_top, expected in (
            ("Never", "Always", "no"),
            (None, "OnFailure", "on-failure"),
            (None, None, "always"),
        ):
            template = a_template()
            template |= {"restartPolicy": at_top} if at_top else {}
            template["spec"] |= {"restartPolicy": in_spec} if in_spec else {}
            self.assertEqual(expected, self.make(template)["restart_policy"]["Name"])

    def test_init_containers_retry_and_do_not_change_the_policy_of_the_others(self) -> None:
        template = a_template({}, initContainers=[{"image": "demo", "command": ["true"], "labels": {"of": "others"}}])
        body = self.make(template)
        spec = self.spec_of(body)
        self.assertEqual(RestartPolicy("on-failure", 10), spec.init_members[0].spec.restart_policy)
        self.assertEqual(RestartPolicy("always"), spec.members[0].spec.restart_policy)
        self.assertEqual(1, len(body["init_containers"]))

    def test_it_claims_the_higher_of_its_containers_together_and_one_init_container(self) -> None:
        init = {"image": "demo", "resources": {"requests": {"cpu": "2.5", "memory": 100}}}
        body = self.make(a_template({}, {}, initContainers=[init]))
        self.assertEqual((2.5, "128"), (body["cpu"], body["memory"]))

    def test_volumes_by_id_and_by_size_reach_their_containers(self) -> None:
        template = a_template(
            {"volumeMounts": [{"name": "mine", "mountPath": "/a"}, {"name": "mine", "mountPath": "/again"}]},
            {
                "volumeMounts": [
                    {"name": "mine", "mountPath": "/b", "readOnly": True},
                    {"name": "new", "mountPath": "/n"},
                ]
            },
            volumes=[
                {"name": "mine", "cinder": {"volumeID": VOLUME_ID}},
                {"name": "new", "cinder": {"size": 2, "autoRemove": True}},
            ],
        )
        spec = self.spec_of(self.make(template))
        self.assertEqual(
            (
                MountRequest("/mine", volume_id=VOLUME_ID, auto_remove=False),
                MountRequest("/new", size_gib=2, auto_remove=True),
            ),
            spec.mounts,
        )
        mounts = [[(mount.volume, mount.target, mount.read_only) for mount in member.mounts] for member in spec.members]
        self.assertEqual(
            [[("mine", "/a", False), ("mine", "/again", False)], [("mine", "/b", True), ("new", "/n", False)]], mounts
        )

    def test_a_pull_policy_is_dropped_where_its_sender_may_not_say_one(self) -> None:
        template = a_template({"imagePullPolicy": "Always"})
        self.assertEqual("ifnotpresent", self.spec_of(self.make(template)).members[0].spec.image_pull_policy)
        self.assertEqual("always", self.spec_of(self.make(template, user="admin")).members[0].spec.image_pull_policy)

    def test_a_capsule_without_room_is_recorded_in_error(self) -> None:
        body = self.make(a_template(*[{"resources": {"requests": {"memory": 8000}}}] * 4))
        self.assertEqual("Error", body["status"])
        self.assertEqual("Error", body["containers"][0]["status"])
        self.assertIn("not enough hosts", body["status_reason"])

    def test_a_body_that_is_not_json_is_415(self) -> None:
        answer = self.call("POST", "/v1/capsules", raw=b"kind: capsule", headers={"Content-Type": "application/yaml"})
        self.assertEqual(415, answer.status_code)

    def test_a_create_with_a_key_is_done_once(self) -> None:
        first, second = (self.post(a_template(), headers={"Idempotency-Key": "k1"}) for _ in range(2))
        self.assertEqual(first.json["uuid"], second.json["uuid"])
        self.assertEqual(1, len(self.get("/v1/capsules")["capsules"]))


def _changed(path: str, value: Any) -> dict[str, Any]:
    """A good template with one thing changed; value None takes it away."""
    template: Any = a_template({})
    *steps, last = path.split(".")
    place = template
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return template


_C0 = "spec.containers.0"
_VOLUME = {"name": "vol", "cinder": {"size": 1}}
# what is changed, and a word of the sentence that refuses it
REFUSED: tuple[tuple[str, Any, str], ...] = (
    ("kind", None, "lacks the required kind"),
    ("kind", "pod", "template.kind must be"),
    ("capsuleVersion", "v1", "template.capsuleVersion must be"),
    ("metadata", None, "lacks the required metadata"),
    ("metadata", [], "template.metadata must be"),
    ("metadata.name", "a", "template.metadata.name must be"),
    ("metadata.name", "-a b", "template.metadata.name must be"),
    ("metadata.labels", {"a": 1}, "template.metadata.labels"),
    ("metadata.labels", {"zun.uuid": "x"}, "zun."),
    ("metadata.annotations", "x", "template.metadata.annotations must be"),
    ("spec", None, "lacks the required spec"),
    ("spec", "x", "template.spec must be"),
    ("spec.containers", [], "template.spec.containers must be"),
    ("spec.containers", None, "lacks the required containers"),
    ("spec.containers", ["x"], "template.spec.containers"),
    ("spec.initContainers", [{}], "lacks the required image"),
    ("spec.restartPolicy", "always", "template.spec.restartPolicy must be one of Always, OnFailure, Never"),
    ("restartPolicy", "Sometimes", "template.restartPolicy must be"),
    ("availabilityZone", "", "template.availabilityZone must be"),
    ("unknown", 1, "unknown fields: unknown"),
    (f"{_C0}.labels", {"a": "b"}, "unknown fields: labels"),
    (f"{_C0}.image", None, "lacks the required image"),
    (f"{_C0}.image", "x", "image must be"),
    (f"{_C0}.image", "UPPER/case", "image"),
    (f"{_C0}.name", "?", "name must be"),
    (f"{_C0}.command", "sh", "command must be a list"),
    (f"{_C0}.args", [{}], "args"),
    (f"{_C0}.resources", {"limits": {}}, "unknown fields: limits"),
    (f"{_C0}.resources", {"requests": {"disk": 1}}, "unknown fields: disk"),
    (f"{_C0}.resources", {"requests": {"cpu": "much"}}, "spec.containers.0: cpu must be"),
    (f"{_C0}.resources", {"requests": {"cpu": 17}}, "spec.containers.0: cpu must be from"),
    (f"{_C0}.resources", {"requests": {"memory": "1g"}}, "spec.containers.0: memory must be"),
    (f"{_C0}.resources", {"requests": {"memory": 1}}, "spec.containers.0: memory must be from"),
    (f"{_C0}.ports", [{}], "lacks the required containerPort"),
    (f"{_C0}.ports", [{"containerPort": 70000}], "spec.containers.0"),
    (f"{_C0}.ports", [{"containerPort": "http"}], "spec.containers.0"),
    (f"{_C0}.ports", [{"containerPort": 80, "protocol": "ICMP"}], "protocol must be TCP or UDP"),
    (f"{_C0}.ports", [{"containerPort": 80, "ip": "::"}], "unknown fields: ip"),
    (f"{_C0}.env", ["A=b"], "env must be"),
    (f"{_C0}.env", {"A": True}, "env"),
    (f"{_C0}.env", {"A=": "b"}, "spec.containers.0"),
    (f"{_C0}.workDir", "srv", "spec.containers.0: workdir must be"),
    (f"{_C0}.imagePullPolicy", "sometimes", "imagePullPolicy must be"),
    (f"{_C0}.stdin", "maybe", "stdin must be"),
    (f"{_C0}.tty", 3, "tty must be"),
    (f"{_C0}.volumeMounts", [{"name": "vol"}], "lacks the required mountPath"),
    (f"{_C0}.volumeMounts", [{"name": "vol", "mountPath": "/x"}], "which spec.volumes does not name"),
    ("spec.volumes", [_VOLUME], "No container mounts the volume vol"),
    ("spec.volumes", [{"name": "vol"}], "lacks the required cinder"),
    ("spec.volumes", [{"name": "v", "cinder": {"size": 1}}], "name must be"),
    ("spec.volumes", [{"name": "vol", "cinder": {}}], "must have either the volumeID"),
    ("spec.volumes", [{"name": "vol", "cinder": {"size": 1, "volumeID": VOLUME_ID}}], "must have either the volumeID"),
    ("spec.volumes", [{"name": "vol", "cinder": {"size": 0.5}}], "must be whole GiB"),
    ("spec.volumes", [{"name": "vol", "cinder": {"size": "big"}}], "must be whole GiB"),
    ("spec.volumes", [{"name": "vol", "cinder": {"size": 1e300}}], "must be whole GiB"),
    ("spec.volumes", [{"name": "vol", "cinder": {"volumeID": "short"}}], "volumeID must be"),
    ("spec.volumes", [{"name": "vol", "cinder": {"size": 1, "fsType": "ext4"}}], "unknown fields: fsType"),
    ("spec.volumes", [_VOLUME, _VOLUME], "has the name vol twice"),
    ("spec.volumes", [{"name": "vol", "nfs": {}}], "lacks the required cinder"),
)


class BadTemplates(CapsuleCase):
    def test_each_rule_is_refused_with_a_sentence_that_names_the_place(self) -> None:
        for path, value, words in REFUSED:
            with self.subTest(path=path, value=value):
                self.refused(400, self.post(_changed(path, value)), words)
        self.assertEqual([], self.get("/v1/capsules")["capsules"])

    def test_a_template_as_it_is_passes(self) -> None:
        self.make(_changed("metadata.name", "good"))

    def test_mounts_follow_the_rules_of_a_containers_mounts(self) -> None:
        for path, words in (
            ("data", "absolute path"),
            ("/", "of the container's own"),
            ("/proc/x", "of the container's own"),
        ):
            template = a_template({"volumeMounts": [{"name": "vol", "mountPath": path}]}, volumes=[copy.copy(_VOLUME)])
            self.refused(400, self.post(template), words)
        twice = [{"name": "vol", "mountPath": "/x"}, {"name": "vol", "mountPath": "/x/"}]
        self.refused(400, self.post(a_template({"volumeMounts": twice}, volumes=[_VOLUME])), "twice")

    def test_a_volume_that_is_not_there_is_404_and_leaves_no_record(self) -> None:
        mount = {"volumeMounts": [{"name": "vol", "mountPath": "/x"}]}
        self.means.volumes.resolve = self._no_volume
        template = a_template(mount, volumes=[{"name": "vol", "cinder": {"volumeID": VOLUME_ID}}])
        self.refused(404, self.post(template))
        self.assertEqual([], self.get("/v1/capsules")["capsules"])

    def _no_volume(self, caller: Any, ident: str) -> Any:
        raise errors.NotFound(f"Volume {ident} could not be found.")

    def test_bodies_that_are_no_template_are_refused(self) -> None:
        for body, words in (
            ({}, "lacks the required template"),
            ({"template": a_template(), "run": True}, "unknown fields: run"),
            ({"template": "{"}, "no JSON"),
            ({"template": "[]"}, "must be an object"),
            ({"template": 7}, "must be an object"),
        ):
            with self.subTest(body=body):
                self.refused(400, self.call("POST", "/v1/capsules", body), words)


class RepresentationTest(CapsuleCase):
    def test_its_fields_are_those_of_the_contract(self) -> None:
        body = self.make()
        fields = "uuid links user_id project_id name status status_reason restart_policy labels annotations memory cpu"
        self.assertEqual(
            {*fields.split(), "addresses", "containers", "init_containers", "created_at", "updated_at"}, set(body)
        )
        self.assertEqual(["self", "bookmark"], [link["rel"] for link in body["links"]])

    def test_before_1_32_some_bear_other_names(self) -> None:
        made = self.make()
        body = self.get(f"/v1/capsules/{made['uuid']}", version="1.31")
        self.assertEqual(("pod", {}, "always"), (body["meta_name"], body["meta_labels"], body["restart_policy"]))
        self.assertEqual(
            ({}, [], [], ""),
            tuple(body[k] for k in ("volumes_info", "containers_uuids", "init_containers_uuids", "capsule_version")),
        )
        self.assertFalse({"name", "labels"} & set(body))

    def test_the_host_is_for_administrators(self) -> None:
        made = self.make()
        self.assertNotIn("host", made)
        shown = self.get(f"/v1/capsules/{made['uuid']}", user="admin")
        self.assertEqual(("host1", "host1"), (shown["host"], shown["containers"][0]["host"]))

    def test_its_status_and_its_containers_follow_what_is_seen(self) -> None:
        made = self.make(a_template({}, {}))
        self.report(
            made,
            c0=Observed(state="running", started_at="2026-01-01T00:00:00Z"),
            c1=Observed(state="exited", exit_code=0),
        )
        body = self.get(f"/v1/capsules/{made['uuid']}")
        self.assertEqual("Running", body["status"])
        self.assertEqual(["Running", "Stopped"], [item["status"] for item in body["containers"]])

    def test_a_container_that_is_not_made_yet_is_creating(self) -> None:
        made = self.make(a_template({}, {}))
        self.report(made, c0=Observed(state="running"))
        body = self.get(f"/v1/capsules/{made['uuid']}")
        self.assertEqual(["Running", "Creating"], [item["status"] for item in body["containers"]])


class LookUpTest(CapsuleCase):
    def test_by_uuid_and_by_name_and_not_as_a_container(self) -> None:
        made = self.make()
        self.assertEqual(made["uuid"], self.get("/v1/capsules/pod")["uuid"])
        for ident in (made["uuid"], "pod", made["containers"][0]["uuid"], made["containers"][0]["name"]):
            self.refused(404, self.call("GET", f"/v1/containers/{ident}"))
            self.refused(404, self.call("POST", f"/v1/containers/{ident}/stop"))
        self.assertEqual([], self.get("/v1/containers")["containers"])

    def test_a_container_is_no_capsule(self) -> None:
        made = self.create("web")
        self.refused(404, self.call("GET", f"/v1/capsules/{made['uuid']}"), "Capsule")
        self.refused(404, self.call("DELETE", "/v1/capsules/web"), "Capsule")

    def test_a_name_that_two_bear_is_409(self) -> None:
        self.make()
        self.make()
        self.refused(409, self.call("GET", "/v1/capsules/pod"), "UUID")

    def test_another_project_sees_nothing_and_an_administrator_all(self) -> None:
        made = self.make()
        self.refused(404, self.call("GET", f"/v1/capsules/{made['uuid']}", user="other"))
        self.refused(404, self.call("DELETE", f"/v1/capsules/{made['uuid']}", user="other"))
        self.assertEqual("pod", self.get(f"/v1/capsules/{made['uuid']}", user="admin")["name"])

    def test_lists_are_of_ones_own_project_whatever_a_member_asks(self) -> None:
        self.make()
        self.assertEqual([], self.get("/v1/capsules", user="other")["capsules"])
        self.assertEqual([], self.get("/v1/capsules?all_projects=1", user="other")["capsules"])
        self.assertEqual([], self.get("/v1/capsules", user="admin")["capsules"])
        self.assertEqual(1, len(self.get("/v1/capsules?all_projects=1", user="admin")["capsules"]))

    def test_pages_follow_one_another(self) -> None:
        made = [self.make()["uuid"] for _ in range(3)]
        first = self.get("/v1/capsules?limit=2")
        self.assertEqual(made[:2], [item["uuid"] for item in first["capsules"]])
        self.assertIn(f"/v1/capsules?sort_key=id&sort_dir=asc&limit=2&marker={made[1]}", first["next"])
        second = self.get(f"/v1/capsules?limit=2&marker={made[1]}")
        self.assertEqual((made[2:], None), ([item["uuid"] for item in second["capsules"]], second["next"]))
        backwards = self.get("/v1/capsules?sort_key=created_at&sort_dir=desc")["capsules"]
        self.assertEqual(made[::-1], [item["uuid"] for item in backwards])
        self.assertTrue(all(item["links"] for item in backwards))

    def test_bad_pages_are_refused_and_unknown_keys_let_pass(self) -> None:
        for query in ("limit=0", "limit=x", "sort_key=shoe", "sort_dir=up", "all_projects=perhaps"):
            self.refused(400, self.call("GET", f"/v1/capsules?{query}"))
        self.refused(404, self.call("GET", f"/v1/capsules?marker={VOLUME_ID}"))
        self.get("/v1/capsules?colour=red")


class DeleteTest(CapsuleCase):
    def test_it_is_deleted_in_any_state_and_again(self) -> None:
        for state in (None, "running", "exited"):
            made = self.make()
            if state:
                self.report(made, state, c0=Observed(state=state, exit_code=0))
            for _ in range(2):
                answer = self.call("DELETE", f"/v1/capsules/{made['uuid']}")
                self.assertEqual((204, ""), (answer.status_code, answer.text))
            body = self.get(f"/v1/capsules/{made['uuid']}")
            self.assertEqual(("Deleting", "Deleting"), (body["status"], body["containers"][0]["status"]))

    def test_all_projects_is_for_administrators(self) -> None:
        made = self.make()
        self.refused(403, self.call("DELETE", f"/v1/capsules/{made['uuid']}?all_projects=1"))
        self.assertEqual(
            204, self.call("DELETE", f"/v1/capsules/{made['uuid']}?all_projects=1", user="admin").status_code
        )


class QuotaTest(CapsuleCase):
    limits = Limits(containers=3)

    def test_each_of_its_containers_counts(self) -> None:
        self.make(a_template({}, initContainers=[{"image": "demo"}]))
        self.refused(403, self.post(a_template({}, {})), "containers")
        self.create("last")
        self.refused(403, self.post(a_template({})), "containers")
