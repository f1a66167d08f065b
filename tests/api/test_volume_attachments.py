# SPDX-License-Identifier: Apache-2.0
"""Attachments of clients, in the new way and in the old one, and that a container's are none of theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.api.volume_case import V3, VolumeApiTestCase
from tests.builders import a_host
from zun_lite.control import reports
from zun_lite.db import roles, volume_attachments
from zun_lite.domain.desired import MAKE
from zun_lite.domain.names import new_id
from zun_lite.volume.embedded import EmbeddedVolumes

CONNECTOR = {"host": "host1", "ip": "192.0.2.7", "initiator": "iqn.x"}


class AttachmentApiTestCase(VolumeApiTestCase):
    def serve_with(self, user: str) -> None:
        """Make the user one of the operator's services in its project."""

        def add(tx) -> None:
            token = self.log_in(user).json["token"]
            role = roles.named(tx, ["service"])[0]
            roles.assign(tx, token["user"]["id"], roles.PROJECT, token["project"]["id"], role.id)

        self.db.transact(add)
        self._tokens.pop(user, None)

    def ask(self, method: str, path: str, body: Any = None, at: str = "3.44", **more: Any):
        return self.call(method, f"{V3}/attachments{path}", body, at=at, **more)

    def begin(self, volume: dict[str, Any], **fields: Any) -> dict[str, Any]:
        body = {"attachment": {"volume_uuid": volume["id"], "instance_uuid": new_id(), **fields}}
        answer = self.ask("POST", "", body)
        self.assertEqual(200, answer.status_code, answer.text)
        return answer.json["attachment"]


class AttachmentsTest(AttachmentApiTestCase):
    def test_one_is_begun_connected_completed_and_ended(self) -> None:
        volume, instance = self.made_here(), new_id()
        made = self.begin(volume, instance_uuid=instance, connector=None)
        self.assertEqual(
            (volume["id"], instance, "reserved", "rw", {}),
            tuple(made[key] for key in ("volume_id", "instance", "status", "attach_mode", "connection_info")),
        )
        self.assertEqual(("reserved", []), ((shown := self.shown(volume["id"]))["status"], shown["attachments"]))
        path = f"/{made['id']}"
        self.denied(400, "badRequest", self.ask("POST", f"{path}/action", {"os-complete": None}), "reserved")
        answer = self.ask("PUT", path, {"attachment": {"connector": {**CONNECTOR, "mountpoint": "/dev/vdb"}}})
        shown = answer.json["attachment"]
        self.assertEqual(("attaching", "local"), (shown["status"], shown["connection_info"]["driver_volume_type"]))
        self.assertEqual("attaching", self.status(volume["id"]))
        answer = self.ask("POST", f"{path}/action", {"os-complete": None})
        self.assertEqual((204, ""), (answer.status_code, answer.text))
        (attachment,) = (shown := self.shown(volume["id"], user="admin"))["attachments"]
        self.assertEqual(
            ("in-use", instance, "host1", "/dev/vdb", made["id"]),
            (shown["status"], *(attachment[key] for key in ("server_id", "host_name", "device", "attachment_id"))),
        )
        self.assertEqual({"attachments": []}, self.ask("DELETE", path).json)
        self.assertEqual("available", self.status(volume["id"]))
        self.denied(404, "itemNotFound", self.ask("GET", path), made["id"])

    def test_the_path_of_the_file_is_told_to_the_operators_own_only(self) -> None:
        volume = self.made_here()
        made = self.begin(volume, connector=CONNECTOR)
        self.assertNotIn("device_path", made["connection_info"]["data"])
        shown = self.ask("GET", f"/{made['id']}", user="admin").json["attachment"]
        self.assertIn(f"/{volume['id']}.img", shown["connection_info"]["data"]["device_path"])

    def test_an_empty_volume_gets_its_file_on_the_connectors_host(self) -> None:
        volume = self.make(size=2)
        self.begin(volume, connector=CONNECTOR)
        (order,) = self.host_obeys()
        self.assertEqual((volume["id"], MAKE, 2), (order.uuid, order.act, order.size_gib))
        self.assertEqual([], self.orders())
        a_host(self.means, "host2")
        other = self.made_here()
        for host, word in (("host2", "another host"), ("host3", "no host"), (None, "no host")):
            body = {"attachment": {"volume_uuid": other["id"], "connector": {"host": host}}}
            self.denied(400, "badRequest", self.ask("POST", "", body), word)
            self.assertEqual("available", self.status(other["id"]))

    def test_two_do_not_have_one_volume_unless_it_is_for_many(self) -> None:
        volume = self.made_here()
        self.begin(volume)
        body = {"attachment": {"volume_uuid": volume["id"], "instance_uuid": new_id()}}
        words = f"Invalid volume: Volume {volume['id']} status must be available to reserve, but the current status is"
        self.denied(400, "badRequest", self.ask("POST", "", body), words)
        kind = {"volume_type": {"name": "many", "extra_specs": {"multiattach": "<is> True"}}}
        self.assertEqual(200, self.call("POST", f"{V3}/types", kind, user="admin").status_code)
        shared = self.make(volume_type="many")
        made = []
        for _ in range(2):
            made.append(self.begin(shared, connector=CONNECTOR))
            self.ask("POST", f"/{made[-1]['id']}/action", {"os-complete": None})
        self.assertEqual("in-use", self.status(shared["id"]))
        self.assertEqual(2, len(self.shown(shared["id"])["attachments"]))
        left = self.ask("DELETE", f"/{made[0]['id']}").json["attachments"]
        self.assertEqual([made[1]["id"]], [item["id"] for item in left])
        self.assertEqual("in-use", self.status(shared["id"]))

    def test_a_containers_attachment_is_ended_by_the_operators_services_alone(self) -> None:
        volume, workload = self.made_here(), new_id()
        self.attach(volume, workload)
        (found,) = self.ask("GET", f"?instance_id={workload}").json["attachments"]
        self.assertEqual((workload, "attached"), (found["instance"], found["status"]))
        path = f"/{found['id']}"
        for user in ("demo", "admin"):
            answer = self.ask("DELETE", path, user=user)
            self.denied(409, "conflictingRequest", answer, f"Detach volume from instance {workload}", "Container API")
            for action, values in (
                ("os-begin_detaching", None),
                ("os-detach", {"attachment_id": found["id"]}),
                ("os-terminate_connection", {"connector": CONNECTOR}),
                ("os-initialize_connection", {"connector": CONNECTOR}),
            ):
                answer = self.act(volume["id"], action, values, user=user)
                self.denied(409, "conflictingRequest", answer, workload)
        answer = self.act(volume["id"], "os-force_detach", {"attachment_id": found["id"]}, user="admin")
        self.denied(409, "conflictingRequest", answer, workload)
        self.assertEqual("in-use", self.status(volume["id"]))
        # the control: the same of a client's own attachment, and the service's right
        own = self.begin(self.made_here())
        self.assertEqual(200, self.ask("DELETE", f"/{own['id']}").status_code)
        self.serve_with("admin")
        self.assertEqual(200, self.ask("DELETE", path, user="admin").status_code)
        self.assertEqual("available", self.status(volume["id"]))

    def test_every_attachment_has_the_next_epoch(self) -> None:
        volume, epochs = self.made_here(), []
        for number in range(3):
            if number == 1:
                self.attach(volume, workload := new_id())
            else:
                self.begin(volume)
            with self.db.read() as tx:
                (row,) = volume_attachments.of_volumes(tx, [volume["id"]])[volume["id"]]
            epochs.append(row.epoch)
            if number == 1:
                EmbeddedVolumes(self.db).release(workload)
            else:
                self.ask("DELETE", f"/{row.uuid}")
        self.assertEqual([2, 3, 4], epochs)

    def test_they_come_with_3_27_and_completing_with_3_44(self) -> None:
        made = self.begin(self.made_here(), connector=CONNECTOR)
        body = {"attachment": {"volume_uuid": new_id()}}
        for method, path, sent in (
            ("GET", "", None),
            ("GET", "/detail", None),
            ("POST", "", body),
            ("GET", f"/{made['id']}", None),
            ("PUT", f"/{made['id']}", body),
            ("DELETE", f"/{made['id']}", None),
        ):
            self.denied(404, "itemNotFound", self.ask(method, path, sent, at="3.26"), "3.27")
        complete = {"os-complete": None}
        self.denied(404, "itemNotFound", self.ask("POST", f"/{made['id']}/action", complete, at="3.43"), "3.44")
        self.assertEqual(204, self.ask("POST", f"/{made['id']}/action", complete, at="3.44").status_code)
        self.assertEqual(200, self.ask("GET", f"/{made['id']}", at="3.27").status_code)

    def test_lists_are_filtered_and_cut_into_pages(self) -> None:
        volumes = [self.made_here() for _ in range(3)]
        made = [self.begin(volume) for volume in volumes]
        first = made[0]
        for query, expected in (
            ("", made[::-1]),
            (f"?volume_id={first['volume_id']}", [first]),
            (f"?instance_id={first['instance']}", [first]),
            ("?status=attached", []),
            ("?limit=2", made[:0:-1]),
            (f"?marker={made[1]['id']}", [first]),
            ("?sort=created_at:asc&limit=1", [first]),
        ):
            found = self.ask("GET", query).json["attachments"]
            self.assertEqual([item["id"] for item in expected], [item["id"] for item in found], query)
        self.assertEqual({"id", "volume_id", "instance", "status"}, set(found[0]))
        self.assertIn("attach_mode", self.ask("GET", "/detail").json["attachments"][0])
        self.assertEqual([], self.ask("GET", "", user="other").json["attachments"])
        self.assertEqual(3, len(self.ask("GET", "?all_tenants=1", user="admin").json["attachments"]))

    def test_bad_bodies_are_refused_with_the_field(self) -> None:
        volume = self.made_here()
        for fields, word in (
            ({"volume_uuid": None}, "volume_uuid"),
            ({"volume_uuid": 5}, "volume_uuid"),
            ({"instance_uuid": 5}, "instance_uuid"),
            ({"connector": "host1"}, "connector"),
            ({"connector": {"host": "x" * 5000}}, "connector"),
            ({"colour": "red"}, "colour"),
        ):
            body = {"attachment": {"volume_uuid": volume["id"], "instance_uuid": new_id(), **fields}}
            self.denied(400, "badRequest", self.ask("POST", "", body), word)
        made = self.begin(volume)
        for body in ({}, {"attachment": {}}, {"attachment": {"connector": None}}):
            self.denied(400, "badRequest", self.ask("PUT", f"/{made['id']}", body))
        self.denied(400, "badRequest", self.ask("POST", f"/{made['id']}/action", {"os-x": None}), "os-complete")


class OldActionsTest(AttachmentApiTestCase):
    def test_reserved_connected_attached_and_all_the_way_back(self) -> None:
        volume, instance = self.made_here(), new_id()
        ident = volume["id"]
        self.assertEqual(202, self.act(ident, "os-reserve").status_code)
        self.assertEqual(("attaching", []), ((shown := self.shown(ident))["status"], shown["attachments"]))
        answer = self.act(ident, "os-initialize_connection", {"connector": CONNECTOR}, user="admin")
        self.assertEqual(200, answer.status_code, answer.text)
        connection = answer.json["connection_info"]
        self.assertEqual(("local", ident), (connection["driver_volume_type"], connection["data"]["volume_id"]))
        self.assertTrue(connection["data"]["device_path"].endswith(f"/{ident}.img"))
        values = {"instance_uuid": instance, "mountpoint": "/dev/vdb", "mode": "rw", "host_name": None}
        self.assertEqual(202, self.act(ident, "os-attach", values).status_code)
        (attachment,) = (shown := self.shown(ident))["attachments"]
        self.assertEqual(
            ("in-use", instance, "/dev/vdb", ident),
            (shown["status"], attachment["server_id"], attachment["device"], attachment["volume_id"]),
        )
        self.denied(400, "badRequest", self.act(ident, "os-reserve"), "in-use")
        self.assertEqual(202, self.act(ident, "os-begin_detaching").status_code)
        self.assertEqual("detaching", self.status(ident))
        self.assertEqual(202, self.act(ident, "os-roll_detaching").status_code)
        self.assertEqual("in-use", self.status(ident))
        self.act(ident, "os-begin_detaching")
        self.assertEqual(202, self.act(ident, "os-terminate_connection", {"connector": CONNECTOR}).status_code)
        answer = self.act(ident, "os-detach", {"attachment_id": attachment["attachment_id"]})
        self.assertEqual(202, answer.status_code, answer.text)
        self.assertEqual(("available", []), ((shown := self.shown(ident))["status"], shown["attachments"]))

    def test_what_was_reserved_is_let_go(self) -> None:
        ident = self.made_here()["id"]
        self.act(ident, "os-reserve")
        self.assertEqual(202, self.act(ident, "os-unreserve").status_code)
        self.assertEqual("available", self.status(ident))
        self.assertEqual(202, self.act(ident, "os-unreserve").status_code)

    def test_an_available_volume_is_attached_at_once_also_to_a_host(self) -> None:
        ident = self.made_here()["id"]
        self.act(ident, "os-attach", {"host_name": "bare1", "mountpoint": "/mnt", "mode": "ro"})
        (attachment,) = self.shown(ident, user="admin")["attachments"]
        self.assertEqual(("bare1", None), (attachment["host_name"], attachment["server_id"]))
        self.assertEqual(202, self.act(ident, "os-detach").status_code)

    def test_what_cannot_be_is_refused(self) -> None:
        ident = self.made_here()["id"]
        for action, values, status, key, word in (
            ("os-begin_detaching", None, 400, "badRequest", "must be 'in-use'"),
            ("os-initialize_connection", {"connector": CONNECTOR}, 400, "badRequest", "reserved"),
            ("os-initialize_connection", {}, 400, "badRequest", "connector"),
            ("os-attach", {"mountpoint": "/x"}, 400, "badRequest", "instance_uuid"),
            ("os-attach", {"instance_uuid": new_id(), "mode": "rx"}, 400, "badRequest", "mode"),
            ("os-detach", {"attachment_id": new_id()}, 404, "itemNotFound", "attachment"),
            ("os-migrate_volume", {}, 400, "badRequest", "There is no such action: os-migrate_volume"),
            ("os-force_detach", {}, 403, "forbidden", "force_detach"),
            ("os-force_delete", None, 403, "forbidden", "force_delete"),
            ("os-reset_status", {"status": "error"}, 403, "forbidden", "reset_status"),
        ):
            self.denied(status, key, self.act(ident, action, values), word)
        for body in ({}, {"os-reserve": None, "os-attach": None}, []):
            self.denied(400, "badRequest", self.call("POST", f"{V3}/volumes/{ident}/action", body))
        self.assertEqual("available", self.status(ident))

    def test_flags_are_set_and_shown(self) -> None:
        ident = self.made_here()["id"]
        self.assertEqual(200, self.act(ident, "os-set_bootable", {"bootable": True}).status_code)
        self.assertEqual(202, self.act(ident, "os-update_readonly_flag", {"readonly": True}).status_code)
        shown = self.shown(ident)
        self.assertEqual(("true", "True"), (shown["bootable"], shown["metadata"]["readonly"]))
        self.assertEqual(1, len(self.get(f"{V3}/volumes?bootable=True")["volumes"]))
        self.attach(self.shown(ident), new_id())
        (found,) = self.ask("GET", "/detail").json["attachments"]
        self.assertEqual("ro", found["attach_mode"])
        answer = self.act(ident, "os-update_readonly_flag", {"readonly": False})
        self.denied(400, "badRequest", answer, "must be available to update readonly flag")
        self.denied(400, "badRequest", self.act(ident, "os-set_bootable", {}), "bootable")

    def test_administrators_set_a_status_that_is_no_lie(self) -> None:
        ident = self.made_here()["id"]
        for status, code in (("error", 202), ("available", 202), ("in-use", 400), ("creating", 400), (None, 400)):
            answer = self.act(ident, "os-reset_status", {"status": status}, user="admin")
            self.assertEqual(code, answer.status_code, answer.text)
        self.attach(self.shown(ident), new_id())
        answer = self.act(ident, "os-reset_status", {"status": "available"}, user="admin")
        self.denied(400, "badRequest", answer, "attachment")
        self.act(ident, "os-reset_status", {"status": "error"}, user="admin")
        answer = self.act(ident, "os-force_delete", user="admin")
        self.denied(400, "badRequest", answer, "attached")

    def test_no_status_that_is_set_makes_a_host_remove_data(self) -> None:
        ident = self.made_here()["id"]
        self.attach(self.shown(ident), new_id())
        for status in ("deleting", "error_deleting"):
            answer = self.act(ident, "os-reset_status", {"status": status}, user="admin")
            self.denied(400, "badRequest", answer, "must be one of", "is deleted instead")
        self.assertEqual(
            ("in-use", ()), (self.status(ident), reports.desired_set(self.means, self.host).doomed_volumes)
        )

    def test_a_volume_that_hangs_is_deleted_by_force(self) -> None:
        volume = self.made_here()
        self.take(volume)
        self.act(volume["id"], "os-extend", {"new_size": 2})
        self.denied(403, "forbidden", self.call("DELETE", f"{V3}/volumes/{volume['id']}?force=True"), "force_delete")
        self.assertEqual(202, self.act(volume["id"], "os-force_delete", user="admin").status_code)
        for _ in range(2):
            self.host_obeys()
        self.assertEqual(404, self.call("GET", f"{V3}/volumes/{volume['id']}").status_code)


class ForeignIdsTest(AttachmentApiTestCase):
    """Each refusal beside the same request with an id of the caller's own."""

    def setUp(self) -> None:
        super().setUp()
        self.mine, self.foreign = self.furnish("demo"), self.furnish("other")

    def furnish(self, user: str) -> dict[str, str]:
        volume, kept = self.made_here(user, metadata={"k": "v"}), self.made_here(user)
        snapshot = self.take(kept, user, metadata={"k": "v"})
        self.host_obeys()
        body = {"attachment": {"volume_uuid": kept["id"], "instance_uuid": new_id(), "connector": CONNECTOR}}
        attachment = self.ask("POST", "", body, user=user).json["attachment"]["id"]
        return {"volumes": volume["id"], "snapshots": snapshot["id"], "attachments": attachment, "kept": kept["id"]}

    def requests(self, ids: dict[str, str]):
        """(method, path, body) of every route that takes an id, the harmless ones first."""
        volume, snapshot = f"{V3}/volumes/{ids['volumes']}", f"{V3}/snapshots/{ids['snapshots']}"
        attachment = f"{V3}/attachments/{ids['attachments']}"
        for path, kind in ((volume, "volume"), (snapshot, "snapshot")):
            yield "GET", path, None
            yield "PUT", path, {kind: {"name": "taken"}}
            yield "GET", f"{path}/metadata", None
            yield "POST", f"{path}/metadata", {"metadata": {"a": "b"}}
            yield "GET", f"{path}/metadata/a", None
            yield "PUT", f"{path}/metadata/a", {"meta": {"a": "c"}}
            yield "DELETE", f"{path}/metadata/a", None
            yield "PUT", f"{path}/metadata", {"metadata": {"k": "v"}}
        yield "GET", attachment, None
        yield "PUT", attachment, {"attachment": {"connector": CONNECTOR}}
        yield "POST", f"{attachment}/action", {"os-complete": None}
        yield "POST", f"{V3}/snapshots", {"snapshot": {"volume_id": ids["volumes"]}}
        yield "POST", f"{V3}/volumes", {"volume": {"source_volid": ids["volumes"]}}
        yield "POST", f"{V3}/volumes", {"volume": {"snapshot_id": ids["snapshots"]}}
        yield "POST", f"{V3}/attachments", {"attachment": {"volume_uuid": ids["volumes"], "connector": CONNECTOR}}
        for action, values in (
            ("os-set_bootable", {"bootable": False}),
            ("os-unreserve", None),
            ("os-terminate_connection", {"connector": CONNECTOR}),
            ("os-initialize_connection", {"connector": CONNECTOR}),
            ("os-roll_detaching", None),
            ("os-detach", None),
            ("os-reserve", None),
            ("os-attach", {"instance_uuid": new_id(), "mountpoint": "/x"}),
            ("os-begin_detaching", None),
            ("os-detach", None),
            ("os-update_readonly_flag", {"readonly": False}),
            ("os-extend", {"new_size": 2}),
        ):
            yield "POST", f"{volume}/action", {action: values}
        yield "DELETE", attachment, None

    def test_another_projects_things_are_not_there_in_any_route(self) -> None:
        before = [self.names(at="3.0", user="other"), self.names("", "snapshots", user="other")]
        for (method, path, body), (_, own, own_body) in zip(
            self.requests(self.foreign), self.requests(self.mine), strict=True
        ):
            answer = self.call(method, path, body, at="3.50")
            self.denied(404, "itemNotFound", answer, "could not be found")
            control = self.call(method, own, own_body, at="3.50")
            self.assertIn(
                control.status_code, (200, 202, 204), f"the control: {method} {own} {own_body} {control.text}"
            )
            self.host_obeys()
        for path in (f"volumes/{self.foreign['volumes']}", f"snapshots/{self.foreign['snapshots']}"):
            self.denied(404, "itemNotFound", self.call("DELETE", f"{V3}/{path}"), "could not be found")
        self.assertEqual(before, [self.names(at="3.0", user="other"), self.names("", "snapshots", user="other")])
        self.assertEqual("attaching", self.status(self.foreign["kept"]))

    def test_a_container_does_not_mount_another_projects_volume(self) -> None:
        self.services = replace(self.services, means=replace(self.means, volumes=EmbeddedVolumes(self.db)))
        self.client = self.make_client()
        headers = {"OpenStack-API-Version": "container 1.40"}
        for ident, status in ((self.foreign["volumes"], 404), (self.mine["volumes"], 202)):
            body = {"image": "demo", "memory": 64, "mounts": [{"source": ident, "destination": "/data"}]}
            answer = self.call("POST", "/v1/containers", body, headers=headers)
            self.assertEqual(status, answer.status_code, answer.text)
