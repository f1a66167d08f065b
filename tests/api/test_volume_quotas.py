# SPDX-License-Identifier: Apache-2.0
"""What a project may have of volumes and snapshots: set, shown, held, and what else clients ask about a cloud."""

from __future__ import annotations

from typing import Any

from tests.api.volume_case import V3, VolumeApiTestCase


class QuotasTest(VolumeApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.project = self.identity_of("demo")
        self.path = f"{V3}/os-quota-sets/{self.project}"

    def identity_of(self, user: str) -> str:
        return self.log_in(user).json["token"]["project"]["id"]

    def allow(self, **limits: Any) -> None:
        answer = self.call("PUT", self.path, {"quota_set": limits}, user="admin")
        self.assertEqual(200, answer.status_code, answer.text)

    def post(self, **fields: Any):
        return self.call("POST", f"{V3}/volumes", {"volume": {"size": 1, **fields}})

    def test_limits_and_quotas_say_what_is_used(self) -> None:
        self.take(self.make(size=3))
        absolute = self.get(f"{V3}/limits")["limits"]["absolute"]
        self.assertEqual(
            (-1, 1, 6, 1),
            tuple(
                absolute[key]
                for key in ("maxTotalVolumes", "totalVolumesUsed", "totalGigabytesUsed", "totalSnapshotsUsed")
            ),
        )
        for path in (self.path, f"{self.path}/defaults"):
            quota = self.get(path)["quota_set"]
            self.assertEqual((self.project, -1, -1), (quota["id"], quota["volumes"], quota["volumes_local"]))
        usage = self.get(f"{self.path}?usage=True")["quota_set"]
        self.assertEqual({"limit": -1, "in_use": 6, "reserved": 0}, usage["gigabytes"])
        self.assertEqual({"limit": -1, "in_use": 1, "reserved": 0}, usage["snapshots_local"])
        quota = self.get(f"{V3}/os-quota-class-sets/default", user="admin")["quota_class_set"]
        self.assertEqual(("default", -1), (quota["id"], quota["volumes"]))

    def test_every_limit_holds_and_says_which_it_is(self) -> None:
        self.allow(volumes=2, gigabytes=6, snapshots=1, per_volume_gigabytes=4)
        self.denied(413, "overLimit", self.post(size=5), "Requested volume size 5G is larger than", "limit 4G")
        first = self.make(size=4)
        answer = self.post(size=3)
        self.denied(413, "overLimit", answer, "allowed gigabytes quota. Requested 3G, quota is 6G and 4G has been")
        second = self.make()
        answer = self.post()
        self.denied(413, "overLimit", answer, "Maximum number of volumes allowed (2) exceeded for quota 'volumes'")
        self.take(second)
        answer = self.call("POST", f"{V3}/snapshots", {"snapshot": {"volume_id": second["id"]}})
        self.denied(413, "overLimit", answer, "Maximum number of snapshots allowed (1) exceeded")
        self.denied(413, "overLimit", self.act(second["id"], "os-extend", {"new_size": 2}), "gigabytes quota")
        self.call("DELETE", f"{V3}/volumes/{first['id']}")
        self.assertEqual(202, self.act(second["id"], "os-extend", {"new_size": 2}).status_code)
        self.denied(413, "overLimit", self.act(second["id"], "os-extend", {"new_size": 5}), "limit 4G")

    def test_a_volume_that_is_being_removed_counts_until_it_is(self) -> None:
        self.allow(volumes=1)
        made = self.made_here()
        self.call("DELETE", f"{V3}/volumes/{made['id']}")
        self.denied(413, "overLimit", self.post())
        self.host_obeys()
        self.assertEqual(202, self.post().status_code)

    def test_a_type_has_limits_of_its_own(self) -> None:
        self.call("POST", f"{V3}/types", {"volume_type": {"name": "fast"}}, user="admin")
        self.allow(volumes_fast=1)
        self.make(volume_type="fast")
        self.denied(413, "overLimit", self.post(volume_type="fast"), "volumes_fast")
        ident = self.get(f"{V3}/types")["volume_types"][0]["id"]
        self.call("PUT", f"{V3}/types/{ident}", {"volume_type": {"name": "quick"}}, user="admin")
        self.denied(413, "overLimit", self.post(volume_type="quick"), "volumes_quick")
        self.make()

    def test_a_volume_of_another_type_counts_with_its_snapshots_as_if_it_were_new_there(self) -> None:
        self.call("POST", f"{V3}/types", {"volume_type": {"name": "fast"}}, user="admin")
        self.make(volume_type="fast")
        moved = self.make(size=2)
        self.take(moved)
        # as a whole there is no room for more, and nothing more is wanted
        whole = {"volumes": 2, "gigabytes": 5, "snapshots": 1}
        enough = {"volumes_fast": 2, "gigabytes_fast": 5, "snapshots_fast": 1}
        for resource, most in enough.items():
            self.allow(**{**whole, **enough, resource: most - 1})
            self.denied(413, "overLimit", self.act(moved["id"], "os-retype", {"new_type": "fast"}), resource)
        self.assertNotEqual("fast", self.shown(moved["id"])["volume_type"])
        self.allow(**whole, **enough)
        answer = self.act(moved["id"], "os-retype", {"new_type": "fast"})
        self.assertEqual((202, "fast"), (answer.status_code, self.shown(moved["id"])["volume_type"]))

    def test_administrators_set_them_and_take_them_back(self) -> None:
        self.allow(volumes="3", gigabytes=None)
        self.assertEqual(3, self.get(self.path)["quota_set"]["volumes"])
        self.denied(403, "forbidden", self.call("PUT", self.path, {"quota_set": {"volumes": 9}}))
        self.denied(403, "forbidden", self.call("DELETE", self.path))
        body = {"quota_class_set": {"volumes": 5, "snapshots": 4}}
        answer = self.call("PUT", f"{V3}/os-quota-class-sets/default", body, user="admin")
        self.assertEqual(200, answer.status_code, answer.text)
        quota = self.get(self.path)["quota_set"]
        self.assertEqual((3, 4), (quota["volumes"], quota["snapshots"]))
        self.assertEqual(200, self.call("DELETE", self.path, user="admin").status_code)
        self.assertEqual(5, self.get(self.path)["quota_set"]["volumes"])
        self.denied(403, "forbidden", self.call("GET", f"{V3}/os-quota-class-sets/default"))

    def test_what_is_no_limit_is_refused(self) -> None:
        for limits, word in (
            ({"colour": 1}, "colour"),
            ({"volumes": -2}, "volumes"),
            ({"volumes": "many"}, "volumes"),
            ({"volumes": True}, "volumes"),
            ({"volumes": 2**31}, "volumes"),
            ({"volumes_none": 1}, "volumes_none"),
        ):
            answer = self.call("PUT", self.path, {"quota_set": limits}, user="admin")
            self.denied(400, "badRequest", answer, word)
        self.denied(400, "badRequest", self.call("PUT", self.path, {}, user="admin"), "quota_set")
        answer = self.call("PUT", f"{V3}/os-quota-sets/{'x' * 65}", {"quota_set": {"volumes": 1}}, user="admin")
        self.denied(400, "badRequest", answer, "64")

    def test_another_projects_are_not_shown(self) -> None:
        other = self.identity_of("other")
        for end in ("", "?usage=True", "/defaults"):
            path = f"{V3}/os-quota-sets/{other}{end}"
            self.denied(403, "forbidden", self.call("GET", path), "quotas:show")
            self.assertEqual(200, self.call("GET", path, user="other").status_code)
        self.make("other")
        self.assertEqual(0, self.get(f"{V3}/limits?project_id={other}")["limits"]["absolute"]["totalVolumesUsed"])
        absolute = self.get(f"{V3}/limits?project_id={other}", user="admin")["limits"]["absolute"]
        self.assertEqual(1, absolute["totalVolumesUsed"])


class BesidesTest(VolumeApiTestCase):
    def test_services_have_the_fields_of_their_microversion_and_filters(self) -> None:
        path = f"{V3}/os-services"
        for version, more in (("3.0", set()), ("3.7", {"cluster"}), ("3.49", {"cluster", "backend_state"})):
            (service,) = self.get(path, user="admin", at=version)["services"]
            self.assertEqual(more, set(service) & {"cluster", "backend_state"}, version)
        for query, count in (
            ("host=host1@local", 1),
            ("host=host1", 1),
            ("host=host2", 0),
            ("binary=cinder-volume", 1),
            ("binary=cinder-scheduler", 0),
        ):
            self.assertEqual(count, len(self.get(f"{path}?{query}", user="admin")["services"]), query)

    def test_pools_are_hosts_for_administrators(self) -> None:
        path = f"{V3}/scheduler-stats/get_pools"
        self.denied(403, "forbidden", self.call("GET", path), "get_pools")
        self.assertEqual([{"name": "host1@local#local"}], self.get(path, user="admin")["pools"])
        (pool,) = self.get(f"{path}?detail=True", user="admin")["pools"]
        self.assertEqual(
            ("local", True), (pool["capabilities"]["storage_protocol"], pool["capabilities"]["multiattach"])
        )

    def test_extensions_are_found_by_alias_and_by_name(self) -> None:
        every = self.get(f"{V3}/extensions")["extensions"]
        self.assertIn("os-quota-sets", [item["alias"] for item in every])
        for ident in ("os-availability-zone", "AvailabilityZones"):
            self.assertEqual("os-availability-zone", self.get(f"{V3}/extensions/{ident}")["extension"]["alias"])
        self.denied(404, "itemNotFound", self.call("GET", f"{V3}/extensions/os-none"))

    def test_filters_are_told(self) -> None:
        (found,) = self.get(f"{V3}/resource_filters?resource=snapshot", at="3.33")["resource_filters"]
        self.assertIn("volume_id", found["filters"])
        self.assertEqual(3, len(self.get(f"{V3}/resource_filters", at="3.33")["resource_filters"]))

    def test_a_summary_comes_from_3_12_on(self) -> None:
        self.make(size=2, metadata={"a": "b"})
        self.make(size=3, metadata={"a": "c"})
        path = f"{V3}/volumes/summary"
        self.denied(404, "itemNotFound", self.call("GET", path, at="3.11"))
        self.assertEqual({"total_count": 2, "total_size": 5}, self.get(path, at="3.12")["volume-summary"])
        self.assertEqual({"a": ["b", "c"]}, self.get(path, at="3.36")["volume-summary"]["metadata"])

    def test_what_is_not_kept_here_lists_as_empty(self) -> None:
        for path, key in (
            ("backups/detail", "backups"),
            ("qos-specs", "qos_specs"),
            ("os-volume-transfer/detail", "transfers"),
            ("groups/detail", "groups"),
            ("consistencygroups/detail", "consistencygroups"),
        ):
            self.assertEqual({key: []}, self.get(f"{V3}/{path}", at="3.50"))
