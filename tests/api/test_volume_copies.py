# SPDX-License-Identifier: Apache-2.0
"""Volumes out of snapshots and of volumes, snapshots, and growing: what is ordered, and what becomes of it."""

from __future__ import annotations

from typing import Any

from tests.api.volume_case import V3, VolumeApiTestCase
from tests.builders import a_host
from zun_lite.domain.desired import COPY, DESTROY, GROW, SNAPSHOT, TAKE, VOLUME, VolumeNews
from zun_lite.domain.names import new_id
from zun_lite.domain.spec import MountRequest
from zun_lite.volume.embedded import EmbeddedVolumes


class SnapshotsTest(VolumeApiTestCase):
    def test_a_snapshot_is_taken_by_the_host_shown_changed_and_removed(self) -> None:
        volume = self.made_here(size=2, name="data")
        made = self.take(volume, name="before", description="mine", metadata={"a": "b"})
        self.assertEqual(
            ("before", "mine", "creating", 2, volume["id"], {"a": "b"}),
            tuple(made[key] for key in ("name", "description", "status", "size", "volume_id", "metadata")),
        )
        (order,) = self.host_obeys()
        self.assertEqual(
            (made["id"], SNAPSHOT, TAKE, volume["id"]), (order.uuid, order.kind, order.act, order.source_id)
        )
        path = f"{V3}/snapshots/{made['id']}"
        shown = self.get(path)["snapshot"]
        self.assertEqual(("available", "100%"), (shown["status"], shown["os-extended-snapshot-attributes:progress"]))
        self.assertEqual([], self.orders())
        changed = self.call("PUT", path, {"snapshot": {"name": "new", "description": None}}).json["snapshot"]
        self.assertEqual(("new", "mine"), (changed["name"], changed["description"]))
        self.assertEqual((202, ""), ((answer := self.call("DELETE", path)).status_code, answer.text))
        self.assertEqual("deleting", self.get(path)["snapshot"]["status"])
        (order,) = self.host_obeys()
        self.assertEqual((made["id"], SNAPSHOT, DESTROY), (order.uuid, order.kind, order.act))
        self.denied(404, "itemNotFound", self.call("GET", path), f"Snapshot {made['id']} could not be found")

    def test_one_of_an_empty_volume_is_there_at_once_and_so_is_what_is_made_of_it(self) -> None:
        made = self.take(self.make(size=2))
        self.assertEqual("available", self.get(f"{V3}/snapshots/{made['id']}")["snapshot"]["status"])
        copy = self.make(size=None, snapshot_id=made["id"])
        self.assertEqual(("available", 2, made["id"]), (copy["status"], copy["size"], copy["snapshot_id"]))
        self.assertEqual([], self.orders())
        self.assertEqual(202, self.call("DELETE", f"{V3}/snapshots/{made['id']}").status_code)
        self.assertEqual(404, self.call("GET", f"{V3}/snapshots/{made['id']}").status_code)

    def test_a_volume_in_use_is_taken_by_force_only(self) -> None:
        volume = self.made_here()
        self.attach(volume, new_id())
        body = {"snapshot": {"volume_id": volume["id"]}}
        answer = self.call("POST", f"{V3}/snapshots", body)
        words = f"Invalid volume: Volume {volume['id']} status must be available, but current status is: in-use."
        self.denied(400, "badRequest", answer, words)
        self.take(volume, force=True)
        self.host_obeys()
        self.assertEqual(["available"], [item["status"] for item in self.get(f"{V3}/snapshots")["snapshots"]])

    def test_one_whose_first_container_is_being_made_waits(self) -> None:
        volume = self.make()
        self.attach(volume, new_id())
        answer = self.call("POST", f"{V3}/snapshots", {"snapshot": {"volume_id": volume["id"], "force": True}})
        self.denied(409, "conflictingRequest", answer, volume["id"], "try again")
        self.formatted(volume["id"])
        self.take(volume, force=True)

    def test_a_host_that_fails_leaves_an_error_that_can_be_deleted(self) -> None:
        volume = self.made_here()
        made = self.take(volume)
        path = f"{V3}/snapshots/{made['id']}"
        self.host_obeys("The pool is full.")
        self.assertEqual("error", self.get(path)["snapshot"]["status"])
        answer = self.call("POST", f"{V3}/volumes", {"volume": {"snapshot_id": made["id"]}})
        self.denied(400, "badRequest", answer, "Invalid snapshot: ", "available", "error")
        self.call("DELETE", path)
        self.host_obeys("The disk is read-only.")
        self.assertEqual("error_deleting", self.get(path)["snapshot"]["status"])
        self.host_obeys()
        self.assertEqual(404, self.call("GET", path).status_code)

    def test_lists_are_filtered_sorted_and_cut_into_pages(self) -> None:
        volume, other = self.make(name="v"), self.make(name="w")
        for name in ("a", "b", "c"):
            self.take(volume, name=name, metadata={"n": name})
        kept = self.take(other, name="d")
        for query, names in (
            ("", ["d", "c", "b", "a"]),
            (f"volume_id={volume['id']}", ["c", "b", "a"]),
            ("name=b", ["b"]),
            ("status=error", []),
            ("metadata=%7B%27n%27%3A%20%27c%27%7D", ["c"]),
            ("sort=name:asc&limit=2", ["a", "b"]),
            (f"sort=name:asc&limit=2&marker={kept['id']}", []),
            ("offset=1&limit=1", ["c"]),
            ("all_tenants=1", ["d", "c", "b", "a"]),
        ):
            self.assertEqual(names, self.names(query, "snapshots"), query)
        page = self.get(f"{V3}/snapshots?limit=2")
        self.assertIn("marker=", page["snapshots_links"][0]["href"])
        self.assertEqual([], self.names("", "snapshots", user="other"))
        self.assertEqual(4, len(self.names("all_tenants=1", "snapshots", user="admin")))
        self.denied(400, "badRequest", self.call("GET", f"{V3}/snapshots?sort=colour"), "colour")
        found = self.get(f"{V3}/snapshots?with_count=True&limit=1", at="3.45")
        self.assertEqual(4, found["count"])
        self.assertEqual(["b"], self.names("name~=b", "snapshots", at="3.34"))
        self.assertEqual(4, len(self.names("name~=b", "snapshots", at="3.33")))

    def test_metadata_is_kept_as_that_of_volumes(self) -> None:
        made = self.take(self.make(), metadata={"a": "1"})
        path = f"{V3}/snapshots/{made['id']}/metadata"
        self.assertEqual({"metadata": {"a": "1", "b": "2"}}, self.call("POST", path, {"metadata": {"b": "2"}}).json)
        self.assertEqual(200, self.call("DELETE", f"{path}/a").status_code)
        self.assertEqual({"metadata": {"b": "2"}}, self.get(path))
        self.denied(404, "itemNotFound", self.call("DELETE", f"{path}/a"), "Snapshot", "a")

    def test_fields_come_with_their_microversions(self) -> None:
        path = f"{V3}/snapshots/{self.take(self.make())['id']}"
        for version, more in (
            ("3.0", set()),
            ("3.14", {"group_snapshot_id"}),
            ("3.40", {"group_snapshot_id"}),
            ("3.41", {"group_snapshot_id", "user_id"}),
        ):
            keys = set(self.get(path, at=version)["snapshot"])
            self.assertEqual(more, keys & {"group_snapshot_id", "user_id"}, version)

    def test_administrators_set_a_status_and_delete_by_force(self) -> None:
        volume = self.made_here()
        path = f"{V3}/snapshots/{self.take(volume)['id']}"
        reset = {"os-reset_status": {"status": "error"}}
        self.denied(403, "forbidden", self.call("POST", f"{path}/action", reset), "reset_status")
        self.denied(403, "forbidden", self.call("POST", f"{path}/action", {"os-force_delete": None}))
        self.assertEqual(202, self.call("POST", f"{path}/action", reset, user="admin").status_code)
        self.assertEqual("error", self.get(path)["snapshot"]["status"])
        for status in ("new", "error_deleting"):
            wrong = {"os-reset_status": {"status": status}}
            self.denied(400, "badRequest", self.call("POST", f"{path}/action", wrong, user="admin"), "status")
        self.denied(400, "badRequest", self.call("POST", f"{path}/action", {"os-x": {}}, user="admin"), "os-x")
        self.call("POST", f"{path}/action", {"os-reset_status": {"status": "available"}}, user="admin")
        self.call("POST", f"{path}/action", {"os-force_delete": None}, user="admin")
        self.assertEqual("deleting", self.get(path)["snapshot"]["status"])

    def test_bad_bodies_are_refused_with_the_field(self) -> None:
        volume = self.make()
        for fields, word in (
            ({"volume_id": None}, "volume_id"),
            ({"volume_id": 5}, "volume_id"),
            ({"name": 5}, "name"),
            ({"name": "x" * 256}, "255"),
            ({"metadata": {"a": 1}}, "metadata.a"),
            ({"force": "perhaps"}, "force"),
            ({"colour": "red"}, "colour"),
        ):
            body = {"snapshot": {"volume_id": volume["id"], **fields}}
            self.denied(400, "badRequest", self.call("POST", f"{V3}/snapshots", body), word)
        for body in ({}, {"snapshot": None}, []):
            self.denied(400, "badRequest", self.call("POST", f"{V3}/snapshots", body))
        answer = self.call("POST", f"{V3}/snapshots", {"snapshot": {"volume_id": new_id()}})
        self.denied(404, "itemNotFound", answer, "Volume")


class CopiesTest(VolumeApiTestCase):
    def test_a_volume_is_made_out_of_a_snapshot_where_that_is(self) -> None:
        source = self.made_here(size=2, name="source")
        snapshot = self.take(source)
        self.host_obeys()
        made = self.make(size=None, snapshot_id=snapshot["id"], name="copy")
        self.assertEqual(("creating", 2, snapshot["id"]), (made["status"], made["size"], made["snapshot_id"]))
        (order,) = self.host_obeys()
        self.assertEqual(
            (made["id"], VOLUME, COPY, SNAPSHOT, snapshot["id"], 2),
            (order.uuid, order.kind, order.act, order.source_kind, order.source_id, order.size_gib),
        )
        self.assertEqual(("available", []), (self.status(made["id"]), self.orders()))
        shown = self.shown(made["id"], user="admin")
        self.assertEqual("host1@local#local", shown["os-vol-host-attr:host"])
        self.assertEqual(["copy"], self.names(f"snapshot_id={snapshot['id']}"))

    def test_a_volume_is_made_out_of_a_volume_larger_if_asked(self) -> None:
        source = self.made_here(size=2)
        for status in ("available", "in-use"):
            self.assertEqual(status, self.status(source["id"]))
            made = self.make(size=3, source_volid=source["id"])
            self.assertEqual(("creating", 3, source["id"]), (made["status"], made["size"], made["source_volid"]))
            (order,) = self.host_obeys()
            self.assertEqual(
                (COPY, VOLUME, source["id"], 3), (order.act, order.source_kind, order.source_id, order.size_gib)
            )
            self.assertEqual("available", self.status(made["id"]))
            if status == "available":
                self.attach(source, new_id())

    def test_a_copy_is_not_smaller_nor_of_another_file_system(self) -> None:
        source = self.made_here(size=3)
        snapshot = self.take(source)
        self.host_obeys()
        for origin in ({"source_volid": source["id"]}, {"snapshot_id": snapshot["id"]}):
            answer = self.call("POST", f"{V3}/volumes", {"volume": {"size": 2, **origin}})
            self.denied(400, "badRequest", answer, "Volume size '2'GB cannot be smaller than", "size 3GB")
        body = {"volume_type": {"name": "ext", "extra_specs": {"fs_type": "ext4"}}}
        self.assertEqual(200, self.call("POST", f"{V3}/types", body, user="admin").status_code)
        answer = self.call("POST", f"{V3}/volumes", {"volume": {"source_volid": source["id"], "volume_type": "ext"}})
        self.denied(400, "badRequest", answer, "Invalid volume_type provided: ext", "xfs")

    def test_what_is_copied_stays_until_it_is(self) -> None:
        source = self.made_here()
        snapshot = self.take(source)
        self.host_obeys()
        self.make(source_volid=source["id"])
        self.make(snapshot_id=snapshot["id"])
        self.denied(400, "badRequest", self.call("DELETE", f"{V3}/volumes/{source['id']}"), "being copied")
        self.denied(400, "badRequest", self.call("DELETE", f"{V3}/snapshots/{snapshot['id']}"), "being copied")
        self.host_obeys()
        self.assertEqual(202, self.call("DELETE", f"{V3}/snapshots/{snapshot['id']}").status_code)
        self.host_obeys()
        self.assertEqual(202, self.call("DELETE", f"{V3}/volumes/{source['id']}").status_code)

    def test_a_copy_that_fails_is_an_error_and_can_be_deleted(self) -> None:
        source = self.made_here()
        made = self.make(source_volid=source["id"])
        self.host_obeys("No room.")
        self.assertEqual("error", self.status(made["id"]))
        self.assertEqual([], self.orders())
        self.call("DELETE", f"{V3}/volumes/{made['id']}")
        self.host_obeys()
        self.assertEqual(404, self.call("GET", f"{V3}/volumes/{made['id']}").status_code)

    def test_a_volume_with_snapshots_goes_with_them_or_not_at_all(self) -> None:
        volume = self.made_here()
        self.take(volume)
        self.host_obeys()
        path = f"{V3}/volumes/{volume['id']}"
        self.denied(400, "badRequest", self.call("DELETE", path), "have snapshots")
        self.assertEqual(202, self.call("DELETE", f"{path}?cascade=True").status_code)
        self.assertEqual([DESTROY], [order.act for order in self.host_obeys()])
        self.assertEqual("deleting", self.status(volume["id"]), "its file goes after its snapshots")
        self.host_obeys()
        self.assertEqual(404, self.call("GET", path).status_code)
        self.assertEqual([], self.names("", "snapshots"))

    def test_nothing_is_made_out_of_what_another_project_has(self) -> None:
        foreign = self.made_here("other")
        snapshot = self.take(foreign, "other")
        self.host_obeys()
        for fields in ({"source_volid": foreign["id"]}, {"snapshot_id": snapshot["id"]}):
            self.assertEqual(202, self.call("POST", f"{V3}/volumes", {"volume": fields}, user="other").status_code)
            self.denied(404, "itemNotFound", self.call("POST", f"{V3}/volumes", {"volume": fields}))

    def test_news_of_an_older_order_or_of_another_host_change_nothing(self) -> None:
        stranger = a_host(self.means, "host2")
        source = self.made_here()
        made = self.make(source_volid=source["id"])
        (order,) = self.orders()
        self.tell(VolumeNews(made["id"], VOLUME, order.attempt), host=stranger)
        self.tell(VolumeNews(made["id"], VOLUME, order.attempt - 1))
        self.tell(VolumeNews(new_id(), VOLUME, 1), VolumeNews(new_id(), SNAPSHOT, 1, "no"))
        self.assertEqual("creating", self.status(made["id"]))
        self.tell(VolumeNews(made["id"], VOLUME, order.attempt))
        self.assertEqual("available", self.status(made["id"]))


class ExtendTest(VolumeApiTestCase):
    def test_one_without_a_file_is_larger_at_once(self) -> None:
        made = self.make()
        self.assertEqual(202, self.act(made["id"], "os-extend", {"new_size": 2}).status_code)
        self.assertEqual((2, "available"), ((shown := self.shown(made["id"]))["size"], shown["status"]))

    def test_one_with_a_file_is_larger_once_its_host_says_so(self) -> None:
        made = self.made_here()
        self.act(made["id"], "os-extend", {"new_size": "3"})
        self.assertEqual((1, "extending"), ((shown := self.shown(made["id"]))["size"], shown["status"]))
        (order,) = self.host_obeys()
        self.assertEqual((GROW, 3, True), (order.act, order.size_gib, order.made))
        self.assertEqual((3, "available"), ((shown := self.shown(made["id"]))["size"], shown["status"]))

    def test_one_in_use_grows_from_3_42_on(self) -> None:
        made = self.made_here()
        self.attach(made, new_id())
        answer = self.act(made["id"], "os-extend", {"new_size": 2}, at="3.41")
        self.denied(400, "badRequest", answer, "must be available", "in-use", "3.42")
        self.assertEqual(202, self.act(made["id"], "os-extend", {"new_size": 2}, at="3.42").status_code)
        self.assertEqual("extending", self.status(made["id"]))
        self.host_obeys()
        self.assertEqual((2, "in-use"), ((shown := self.shown(made["id"]))["size"], shown["status"]))

    def test_one_whose_container_goes_meanwhile_is_available_after_it(self) -> None:
        made, workload = self.made_here(), new_id()
        self.attach(made, workload)
        self.act(made["id"], "os-extend", {"new_size": 2}, at="3.42")
        EmbeddedVolumes(self.db).release(workload)
        self.assertEqual("extending", self.status(made["id"]))
        self.host_obeys()
        self.assertEqual("available", self.status(made["id"]))

    def test_one_that_cannot_is_told_and_keeps_its_size_and_quota(self) -> None:
        made = self.made_here()
        self.act(made["id"], "os-extend", {"new_size": 9})
        used = f"{V3}/limits"
        self.assertEqual(9, self.get(used)["limits"]["absolute"]["totalGigabytesUsed"])
        self.host_obeys("The pool is full.")
        self.assertEqual((1, "error_extending"), ((shown := self.shown(made["id"]))["size"], shown["status"]))
        self.assertEqual(1, self.get(used)["limits"]["absolute"]["totalGigabytesUsed"])
        answer = self.act(made["id"], "os-extend", {"new_size": 2})
        self.denied(400, "badRequest", answer, "error_extending")
        self.act(made["id"], "os-reset_status", {"status": "available"}, user="admin")
        self.act(made["id"], "os-extend", {"new_size": 2})
        self.host_obeys()
        self.assertEqual((2, "available"), ((shown := self.shown(made["id"]))["size"], shown["status"]))

    def test_no_volume_shrinks_or_takes_a_size_that_is_none(self) -> None:
        made = self.make(size=3)
        for size in (3, 2, 1):
            answer = self.act(made["id"], "os-extend", {"new_size": size})
            words = f"New size for extend must be greater than current size. (current: 3, extended: {size})"
            self.denied(400, "badRequest", answer, words)
        for values in (None, {}, {"new_size": 0}, {"new_size": "big"}, {"new_size": 10**9}, {"new_size": [4]}):
            self.denied(400, "badRequest", self.act(made["id"], "os-extend", values))
        self.assertEqual(3, self.shown(made["id"])["size"])


class MessagesTest(VolumeApiTestCase):
    def said(self, query: str = "", **more: Any) -> list[dict[str, Any]]:
        return self.get(f"{V3}/messages{query}", at="3.5", **more)["messages"]

    def test_why_an_order_failed_is_told_until_it_is_over(self) -> None:
        source = self.made_here()
        snapshot = self.take(source)
        self.host_obeys("The pool has no room for it.")
        made = self.make(source_volid=source["id"])
        self.host_obeys("volume file /srv/pool/x.img is held by another host")
        copy, taken = self.said()
        self.assertEqual(
            ("VOLUME_SNAPSHOT", snapshot["id"], "ERROR", "The pool has no room for it."),
            tuple(taken[key] for key in ("resource_type", "resource_uuid", "message_level", "user_message")),
        )
        self.assertEqual(made["id"], copy["resource_uuid"])
        self.assertEqual("The host could not do it; its administrator can see why.", copy["user_message"])
        self.assertEqual([taken], self.said("?resource_type=VOLUME_SNAPSHOT"))
        self.assertEqual([copy], self.said(f"?resource_uuid={made['id']}"))
        self.assertEqual([taken], self.said("?offset=1&limit=1"))
        path = f"{V3}/messages/{taken['id']}"
        self.assertEqual(taken, self.get(path, at="3.3")["message"])
        self.assertEqual([taken], self.said(f"?marker={copy['id']}"))
        self.assertEqual([], self.said(f"?limit=1&marker={taken['id']}"))
        self.denied(404, "itemNotFound", self.call("GET", f"{V3}/messages?marker=x", at="3.5"), "marker")
        project = source["os-vol-tenant-attr:tenant_id"]
        for user in ("other", "admin"):
            self.assertEqual([], self.said(user=user))
        self.assertEqual([], self.said(f"?project_id={project}", user="other"))
        self.denied(404, "itemNotFound", self.call("GET", path, at="3.3", user="other"), "Message")
        self.denied(404, "itemNotFound", self.call("DELETE", path, at="3.3", user="other"), "Message")
        told = [item["user_message"] for item in self.said(f"?project_id={project}", user="admin")]
        self.assertIn("volume file /srv/pool/x.img is held by another host", told)
        self.denied(404, "itemNotFound", self.call("GET", f"{V3}/messages", at="3.2"), "3.3")
        self.assertEqual(204, self.call("DELETE", path, at="3.3").status_code)
        self.assertEqual("error", self.get(f"{V3}/snapshots/{snapshot['id']}")["snapshot"]["status"])
        self.call("DELETE", f"{V3}/volumes/{made['id']}")
        self.assertEqual([], self.said())

    def test_the_owner_is_told_why_a_containers_own_volume_stayed(self) -> None:
        project = self.make()["os-vol-tenant-attr:tenant_id"]
        provider, workload = EmbeddedVolumes(self.db), new_id()
        request = MountRequest("/data", size_gib=1)
        volume = provider.provide(workload, project, self.host.uuid, 0, request).volume_id
        self.formatted(volume)
        self.take({"id": volume}, force=True)
        self.host_obeys()
        provider.release(workload)
        (message,) = self.said()
        self.assertEqual(("VOLUME", volume), (message["resource_type"], message["resource_uuid"]))
        self.assertRegex(message["user_message"], f"stays although container {workload}.*have snapshots")
        self.assertEqual("available", self.status(volume))

    def test_a_user_is_told_of_a_file_system_that_waits_for_the_next_mount(self) -> None:
        used, free, now = (self.made_here(), self.made_here(), self.made_here())
        for volume in (used, now):
            self.attach(volume, new_id())
        for volume in (used, free, now):
            self.act(volume["id"], "os-extend", {"new_size": 2}, at="3.42")
        for order in self.orders():
            self.tell(VolumeNews(order.uuid, order.kind, order.attempt, later=order.uuid != now["id"]))
        self.assertEqual([2, 2, 2], [self.shown(volume["id"])["size"] for volume in (used, free, now)])
        (message,) = self.said()
        self.assertEqual(used["id"], message["resource_uuid"])
        self.assertIn("Stop and start", message["user_message"])
        self.assertEqual("in-use", self.status(used["id"]))
