# SPDX-License-Identifier: Apache-2.0
"""The embedded Cinder, as its clients see it."""

from __future__ import annotations

from tests.api.volume_case import V3, VolumeApiTestCase
from zun_lite.db import volumes
from zun_lite.domain.names import new_id
from zun_lite.volume.embedded import EmbeddedVolumes


class VolumesTest(VolumeApiTestCase):
    def test_a_volume_is_created_shown_listed_changed_and_deleted(self) -> None:
        made = self.make(name="data", description="mine", metadata={"a": "b"})
        self.assertEqual(
            ("data", "mine", "available", 1, "local", "nova", "false", [], {"a": "b"}, None),
            tuple(
                made[key]
                for key in (
                    "name", "description", "status", "size", "volume_type", "availability_zone", "bootable",
                    "attachments", "metadata", "snapshot_id",
                )
            ),
        )  # fmt: skip
        self.assertRegex(made["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$")
        self.assertNotIn("os-vol-host-attr:host", made)
        path = f"{V3}/volumes/{made['id']}"
        self.assertEqual(made, self.get(path)["volume"])
        self.assertEqual([made], self.get(f"{V3}/volumes/detail")["volumes"])
        (brief,) = self.get(f"{V3}/volumes")["volumes"]
        self.assertEqual({"id", "name", "links"}, set(brief))
        changed = self.call("PUT", path, {"volume": {"name": "new", "description": None}}).json["volume"]
        self.assertEqual(("new", "mine"), (changed["name"], changed["description"]))
        answer = self.call("DELETE", path, params={"cascade": "False", "force": "False"})
        self.assertEqual((202, ""), (answer.status_code, answer.text))
        self.denied(404, "itemNotFound", self.call("GET", path), f"Volume {made['id']} could not be found")

    def test_all_the_nulls_that_clients_send_mean_nothing(self) -> None:
        fields = (
            "description volume_type availability_zone metadata snapshot_id source_volid imageRef backup_id "
            "consistencygroup_id name"
        )
        made = self.make(**dict.fromkeys(fields.split()))
        self.assertEqual(("", None), (made["name"], made["description"]))

    def test_bad_input_is_refused_with_the_field(self) -> None:
        for fields, *words in (
            ({"size": 0}, "from 1 to"),
            ({"size": -1}, "from 1 to"),
            ({"size": 1.5}, "integer"),
            ({"size": True}, "integer"),
            ({"size": "big"}, "integer"),
            ({"size": 10**9}, "65536"),
            ({"size": None}, "size"),
            ({"name": 5}, "name"),
            ({"name": "x" * 256}, "name", "255"),
            ({"metadata": {"a": 1}}, "metadata.a"),
            ({"metadata": {"": "b"}}, "blank"),
            ({"metadata": []}, "metadata"),
            ({"snapshot_id": new_id(), "source_volid": new_id()}, "not from both"),
            ({"imageRef": new_id()}, "imageRef"),
            ({"availability_zone": "moon"}, "moon"),
            ({"multiattach": True}, "multiattach"),
            ({"colour": "red"}, "colour"),
        ):
            answer = self.call("POST", f"{V3}/volumes", {"volume": {"size": 1, **fields}})
            self.denied(400, "badRequest", answer, *words)
        for body in (None, [], {}, {"volume": []}, {"volume": {"size": 1}, "more": 1}):
            self.denied(400, "badRequest", self.call("POST", f"{V3}/volumes", body))
        self.denied(400, "badRequest", self.call("POST", f"{V3}/volumes", raw=b"{"), "JSON")
        answer = self.call("POST", f"{V3}/volumes", {"volume": {"size": 1, "volume_type": "fast"}})
        self.denied(404, "itemNotFound", answer, "fast")

    def test_a_size_may_be_text_and_a_type_an_id(self) -> None:
        self.assertEqual(7, self.make(size="7")["size"])
        (kind,) = self.get(f"{V3}/types")["volume_types"]
        self.assertEqual("local", self.make(volume_type=kind["id"])["volume_type"])

    def test_the_project_in_the_path_is_passed_over(self) -> None:
        made = self.make(name="data")
        project = made["os-vol-tenant-attr:tenant_id"]
        self.assertEqual(made, self.get(f"{V3}/{project}/volumes/{made['id']}")["volume"])
        self.assertEqual([made], self.get(f"{V3}/{project}/volumes/detail")["volumes"])

    def test_another_projects_volume_is_not_there(self) -> None:
        foreign = self.make("other")
        path = f"{V3}/volumes/{foreign['id']}"
        for method, body in (("GET", None), ("DELETE", None), ("PUT", {"volume": {"name": "x"}})):
            self.denied(404, "itemNotFound", self.call(method, path, body))
        self.denied(404, "itemNotFound", self.call("GET", f"{path}/metadata"))
        self.assertEqual(foreign["id"], self.get(path, user="admin")["volume"]["id"])

    def test_a_mounted_volume_names_its_container_and_stays(self) -> None:
        made, workload = self.make(name="data"), new_id()
        self.attach(made, workload)
        path = f"{V3}/volumes/{made['id']}"
        shown = self.get(path)["volume"]
        (attachment,) = shown["attachments"]
        self.assertEqual(
            ("in-use", workload, "/data", made["id"], None),
            (
                shown["status"],
                attachment["server_id"],
                attachment["device"],
                attachment["volume_id"],
                attachment["host_name"],
            ),
        )
        self.denied(400, "badRequest", self.call("DELETE", path), "Invalid volume: Volume status must be available")
        shown = self.get(path, user="admin")["volume"]
        self.assertEqual(
            ("host1@local#local", "host1"), (shown["os-vol-host-attr:host"], shown["attachments"][0]["host_name"])
        )
        EmbeddedVolumes(self.db).release(workload)
        self.assertEqual(202, self.call("DELETE", path).status_code)
        self.assertEqual("deleting", self.get(path)["volume"]["status"])
        self.db.transact(lambda tx: volumes.removed(tx, self.host.uuid, [made["id"]]))
        self.denied(404, "itemNotFound", self.call("GET", path))


class ListTest(VolumeApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.made = {name: self.make(name=name, metadata={"n": name}) for name in ("a", "b", "c", "d", "e")}

    def test_the_newest_comes_first_unless_said_otherwise(self) -> None:
        self.assertEqual(["e", "d", "c", "b", "a"], self.names())
        self.assertEqual(["a", "b", "c", "d", "e"], self.names("sort=name:asc"))
        self.assertEqual(["a", "b", "c", "d", "e"], self.names("sort_key=name&sort_dir=asc"))
        self.denied(400, "badRequest", self.call("GET", f"{V3}/volumes?sort=colour"))

    def test_filters_are_exact(self) -> None:
        self.assertEqual(["b"], self.names("name=b"))
        self.assertEqual([], self.names("name=B"))
        self.assertEqual([], self.names("status=in-use"))
        self.assertEqual(["c"], self.names(f"id={self.made['c']['id']}&status=available"))
        self.assertEqual([], self.names("bootable=True"))
        self.assertEqual(5, len(self.names("colour=red")))

    def test_metadata_is_filtered_as_clients_write_it(self) -> None:
        self.assertEqual(["d"], self.names("metadata=%7B%27n%27%3A%20%27d%27%7D"))
        self.assertEqual(["d"], self.names("metadata=%7B%22n%22%3A%20%22d%22%7D"))
        for wrong in (
            "x",
            "[1]",
            "{1:2}",
            "{[]: 'd'}",
            "__import__('os')",
            "(" * 4000,
            r"{'n': '\ud800'}",
            r"{'\0': 'd'}",
        ):
            answer = self.call("GET", f"{V3}/volumes/detail", params={"metadata": wrong})
            self.denied(400, "badRequest", answer, "metadata")

    def test_pages_end_with_an_empty_one(self) -> None:
        seen, path = [], f"{V3}/volumes/detail?limit=1"
        for _ in range(9):
            body = self.get(path)
            seen += [volume["name"] for volume in body["volumes"]]
            if not body.get("volumes_links"):
                break
            path = body["volumes_links"][0]["href"].removeprefix(self.conf.api.public_url)
        self.assertEqual((["e", "d", "c", "b", "a"], []), (seen, body["volumes"]))
        self.assertEqual(["c", "b"], self.names("offset=2&limit=2"))
        orders = ",".join(["name:asc", "size"] * 100)
        self.assertEqual(["d", "e"], self.names(f"sort={orders}&marker={self.made['c']['id']}"))
        for query in ("limit=x", "limit=-1", "offset=x", "marker=nope"):
            self.assertEqual(400, self.call("GET", f"{V3}/volumes?{query}").status_code)

    def test_all_projects_are_for_administrators_and_others_are_narrowed(self) -> None:
        self.make("other", name="foreign")
        self.assertEqual(5, len(self.names("all_tenants=1")))
        self.assertEqual([], self.names(user="admin"))
        self.assertEqual(6, len(self.names("all_tenants=True", user="admin")))
        project = self.made["a"]["os-vol-tenant-attr:tenant_id"]
        self.assertEqual(5, len(self.names(f"all_tenants=True&project_id={project}", user="admin")))


class MetadataTest(VolumeApiTestCase):
    def test_pairs_are_added_replaced_shown_and_dropped(self) -> None:
        path = f"{V3}/volumes/{self.make(metadata={'a': '1'})['id']}/metadata"
        answer = self.call("POST", path, {"metadata": {"b": "2"}})
        self.assertEqual({"metadata": {"a": "1", "b": "2"}}, answer.json)
        self.assertEqual({"meta": {"b": "2"}}, self.get(f"{path}/b"))
        self.assertEqual({"meta": {"b": "3"}}, self.call("PUT", f"{path}/b", {"meta": {"b": "3"}}).json)
        self.assertEqual({"metadata": {"c": "4"}}, self.call("PUT", path, {"metadata": {"c": "4"}}).json)
        self.assertEqual(200, self.call("DELETE", f"{path}/c").status_code)
        self.denied(404, "itemNotFound", self.call("DELETE", f"{path}/c"), "c")
        self.denied(404, "itemNotFound", self.call("GET", f"{path}/c"), "c")
        self.assertEqual({"metadata": {}}, self.get(path))

    def test_pairs_that_are_none_are_refused(self) -> None:
        path = f"{V3}/volumes/{self.make()['id']}/metadata"
        for body in ({}, {"metadata": None}, {"metadata": {"a": None}}, {"metadata": {"a": "x" * 256}}):
            self.denied(400, "badRequest", self.call("POST", path, body))
        self.denied(400, "badRequest", self.call("PUT", f"{path}/a", {"meta": {"b": "1"}}))

    def test_pairs_have_an_end_whichever_way_they_come(self) -> None:
        path = f"{V3}/volumes/{self.make()['id']}/metadata"
        pairs = {f"k{number}": "x" for number in range(100)}
        self.assertEqual([200, 200], [self.call("POST", path, {"metadata": pairs}).status_code for _ in range(2)])
        others = {f"m{number}": "x" for number in range(100)}
        self.denied(400, "badRequest", self.call("POST", path, {"metadata": others}), "128")
        self.assertEqual(pairs, self.get(path)["metadata"])
        self.call("POST", path, {"metadata": dict(list(others.items())[:28])})
        self.assertEqual(200, self.call("PUT", f"{path}/k1", {"meta": {"k1": "y"}}).status_code)
        self.denied(400, "badRequest", self.call("PUT", f"{path}/n", {"meta": {"n": "y"}}), "128")


class BesidesTest(VolumeApiTestCase):
    def test_the_version_documents(self) -> None:
        for path, status in (("/volume", 300), (f"{V3}/", 200), (V3, 200)):
            answer = self.client.simulate_get(path)
            self.assertEqual(status, answer.status_code)
            (version,) = answer.json["versions"]
            self.assertEqual(
                ("v3.0", "CURRENT", "3.50", "3.0"),
                tuple(version[key] for key in ("id", "status", "version", "min_version")),
            )
            self.assertEqual(f"{self.conf.api.public_url}{V3}/", version["links"][0]["href"])

    def test_the_microversion_is_answered_or_refused(self) -> None:
        path = f"{V3}/volumes"
        for asked, version in (
            ("volume 3.0", "3.0"),
            ("volume 3.27", "3.27"),
            ("volume latest", "3.50"),
            ("compute 2.1", "3.0"),
            ("compute 2.1, volume 3.44", "3.44"),
        ):
            answer = self.call("GET", path, headers={"OpenStack-API-Version": asked})
            self.assertEqual((200, f"volume {version}"), (answer.status_code, answer.headers["OpenStack-API-Version"]))
            self.assertIn("OpenStack-API-Version", answer.headers["Vary"])
        answer = self.call("GET", path, headers={"OpenStack-API-Version": "volume 3.71"})
        self.denied(406, "notAcceptable", answer, "maximum is 3.50")
        self.denied(400, "badRequest", self.call("GET", path, headers={"OpenStack-API-Version": "volume x"}))

    def test_zones_services_and_what_is_empty(self) -> None:
        (zone,) = self.get(f"{V3}/os-availability-zone")["availabilityZoneInfo"]
        self.assertEqual("nova", zone["zoneName"])
        (service,) = self.get(f"{V3}/os-services", user="admin")["services"]
        self.assertEqual(("host1@local", "up", "enabled"), (service["host"], service["state"], service["status"]))
        self.denied(403, "forbidden", self.call("GET", f"{V3}/os-services"))
        self.assertEqual({"snapshots": []}, self.get(f"{V3}/snapshots/detail"))

    def test_what_is_not_served_is_404_or_405_in_cinders_shape(self) -> None:
        self.denied(404, "itemNotFound", self.call("GET", f"{V3}/nothing"))
        self.denied(405, "badMethod", self.call("POST", f"{V3}/backups", {}))
