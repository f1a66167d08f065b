# SPDX-License-Identifier: Apache-2.0
"""Volume types: who sees, makes and changes them, what their specs mean, and changing a volume's type."""

from __future__ import annotations

from typing import Any

from tests.api.volume_case import V3, VolumeApiTestCase
from zun_lite.domain.names import new_id
from zun_lite.volume.embedded import EmbeddedVolumes

SHARED = {"multiattach": "<is> True"}


class TypesTest(VolumeApiTestCase):
    def a_type(self, name: str, **fields: Any) -> dict[str, Any]:
        answer = self.call("POST", f"{V3}/types", {"volume_type": {"name": name, **fields}}, user="admin")
        self.assertEqual(200, answer.status_code, answer.text)
        return answer.json["volume_type"]

    def type_names(self, query: str = "", user: str = "demo") -> list[str]:
        return [item["name"] for item in self.get(f"{V3}/types{query}", user=user)["volume_types"]]

    def test_one_is_always_there_and_the_default(self) -> None:
        (kind,) = self.get(f"{V3}/types?is_public=none")["volume_types"]
        self.assertEqual(("local", True, {}), (kind["name"], kind["is_public"], kind["extra_specs"]))
        for ident in (kind["id"], "default"):
            self.assertEqual(kind, self.get(f"{V3}/types/{ident}")["volume_type"])
        self.denied(404, "itemNotFound", self.call("GET", f"{V3}/types/local"))
        answer = self.call("DELETE", f"{V3}/types/{kind['id']}", user="admin")
        self.denied(400, "badRequest", answer, "default volume type", "cannot be deleted")
        changed = self.call(
            "PUT", f"{V3}/types/{kind['id']}", {"volume_type": {"description": "files"}}, user="admin"
        ).json["volume_type"]
        self.assertEqual(("files", kind["id"]), (changed["description"], changed["id"]))
        self.assertEqual("files", self.get(f"{V3}/types/default")["volume_type"]["description"])

    def test_administrators_make_change_and_remove_types(self) -> None:
        made = self.a_type("fast", description="quick", extra_specs={"fs_type": "ext4", "colour": "red"})
        path = f"{V3}/types/{made['id']}"
        self.assertEqual(made, self.get(path, user="admin")["volume_type"])
        # what is the operator's business is not shown to users
        self.assertEqual({"fs_type": "ext4"}, self.get(path)["volume_type"]["extra_specs"])
        self.assertEqual(["fast", "local"], self.type_names())
        renamed = self.call("PUT", path, {"volume_type": {"name": "quick"}}, user="admin").json["volume_type"]
        self.assertEqual("quick", renamed["name"])
        self.assertEqual("quick", self.make(volume_type="quick")["volume_type"])
        self.denied(400, "badRequest", self.call("DELETE", path, user="admin"), "still in use")
        (volume,) = self.get(f"{V3}/volumes")["volumes"]
        self.call("PUT", path, {"volume_type": {"name": "quicker"}}, user="admin")
        self.assertEqual("quicker", self.shown(volume["id"])["volume_type"])
        self.call("DELETE", f"{V3}/volumes/{volume['id']}")
        self.assertEqual(202, self.call("DELETE", path, user="admin").status_code)
        self.denied(404, "itemNotFound", self.call("GET", path))

    def test_a_list_is_cut_into_pages_that_end(self) -> None:
        for name in ("one", "two"):
            self.a_type(name)
        found: list[str] = []
        query = "?limit=1"
        while page := self.get(f"{V3}/types{query}")["volume_types"]:
            found.append(page[0]["name"])
            self.assertEqual((1, True), (len(page), len(found) <= 3))
            query = f"?limit=1&marker={page[0]['id']}"
        self.assertEqual(self.type_names(), found)
        self.assertEqual(found[1:], self.type_names("?offset=1"))
        self.denied(404, "itemNotFound", self.call("GET", f"{V3}/types?marker=x"), "marker")
        self.denied(400, "badRequest", self.call("GET", f"{V3}/types?limit=x"), "limit")

    def test_users_change_nothing_of_types(self) -> None:
        path = f"{V3}/types/{self.a_type('fast')['id']}"
        for method, where, body in (
            ("POST", f"{V3}/types", {"volume_type": {"name": "mine"}}),
            ("PUT", path, {"volume_type": {"name": "mine"}}),
            ("DELETE", path, None),
            ("POST", f"{path}/extra_specs", {"extra_specs": {"a": "b"}}),
            ("PUT", f"{path}/extra_specs/a", {"a": "b"}),
            ("DELETE", f"{path}/extra_specs/a", None),
            ("GET", f"{path}/os-volume-type-access", None),
            ("POST", f"{path}/action", {"addProjectAccess": {"project": "x"}}),
        ):
            self.denied(403, "forbidden", self.call(method, where, body), "Policy doesn't allow")

    def test_specs_are_set_shown_and_dropped(self) -> None:
        path = f"{V3}/types/{self.a_type('fast')['id']}/extra_specs"
        answer = self.call("POST", path, {"extra_specs": {"fs_type": "ext4", "a": "b"}}, user="admin")
        self.assertEqual({"extra_specs": {"fs_type": "ext4", "a": "b"}}, answer.json)
        self.assertEqual({"a": "b"}, self.get(f"{path}/a", user="admin"))
        self.assertEqual({"a": "c"}, self.call("PUT", f"{path}/a", {"a": "c"}, user="admin").json)
        self.assertEqual(202, self.call("DELETE", f"{path}/a", user="admin").status_code)
        self.denied(404, "itemNotFound", self.call("DELETE", f"{path}/a", user="admin"), "a")
        self.assertEqual({"extra_specs": {"fs_type": "ext4"}}, self.get(path, user="admin"))
        for specs, word in (
            ({"fs_type": "ntfs"}, "fs_type"),
            ({"multiattach": "yes"}, "multiattach"),
            ({"a": 5}, "extra_specs.a"),
            ({"": "b"}, "blank"),
        ):
            answer = self.call("POST", path, {"extra_specs": specs}, user="admin")
            self.denied(400, "badRequest", answer, word)
        answer = self.call("PUT", f"{path}/b", {"c": "d"}, user="admin")
        self.denied(400, "badRequest", answer, "mismatch")

    def test_bad_types_are_refused(self) -> None:
        self.a_type("fast")
        for fields, status, key, word in (
            ({"name": "fast"}, 409, "conflictingRequest", "already exists"),
            ({"name": ""}, 400, "badRequest", "empty"),
            ({"name": None}, 400, "badRequest", "name"),
            ({"name": "x" * 256}, 400, "badRequest", "255"),
            ({"name": "x", "colour": "red"}, 400, "badRequest", "colour"),
            ({"name": "x", "os-volume-type-access:is_public": "perhaps"}, 400, "badRequest", "is_public"),
        ):
            answer = self.call("POST", f"{V3}/types", {"volume_type": fields}, user="admin")
            self.denied(status, key, answer, word)
        path = f"{V3}/types/{self.a_type('slow')['id']}"
        answer = self.call("PUT", path, {"volume_type": {"name": "fast"}}, user="admin")
        self.denied(409, "conflictingRequest", answer, "already exists")
        self.denied(400, "badRequest", self.call("PUT", path, {"volume_type": {}}, user="admin"), "Specify")

    def test_one_that_is_not_public_is_for_whom_it_was_opened(self) -> None:
        kind = self.a_type("secret", **{"os-volume-type-access:is_public": False})
        path = f"{V3}/types/{kind['id']}"
        project = self.make()["os-vol-tenant-attr:tenant_id"]
        self.denied(404, "itemNotFound", self.call("GET", path))
        answer = self.call("POST", f"{V3}/volumes", {"volume": {"size": 1, "volume_type": "secret"}})
        self.denied(404, "itemNotFound", answer, "secret")
        for verb, status in (("addProjectAccess", 202), ("addProjectAccess", 409)):
            answer = self.call("POST", f"{path}/action", {verb: {"project": project}}, user="admin")
            self.assertEqual(status, answer.status_code, answer.text)
        self.assertEqual(["secret", "local"], self.type_names())
        self.assertEqual("secret", self.make(volume_type="secret")["volume_type"])
        access = self.get(f"{path}/os-volume-type-access", user="admin")["volume_type_access"]
        self.assertEqual([{"volume_type_id": kind["id"], "project_id": project}], access)
        self.assertEqual(["local"], self.type_names(user="other"))
        self.assertEqual(["secret"], self.type_names("?is_public=False", user="admin"))
        for status in (202, 404):
            answer = self.call("POST", f"{path}/action", {"removeProjectAccess": {"project": project}}, user="admin")
            self.assertEqual(status, answer.status_code, answer.text)
        self.assertEqual(["local"], self.type_names())
        public = self.a_type("open")["id"]
        answer = self.call("POST", f"{V3}/types/{public}/action", {"addProjectAccess": {"project": "p"}}, user="admin")
        self.denied(409, "conflictingRequest", answer, "not applicable to public")
        answer = self.call("GET", f"{V3}/types/{public}/os-volume-type-access", user="admin")
        self.denied(404, "itemNotFound", answer, "public")

    def test_nothing_is_encrypted(self) -> None:
        path = f"{V3}/types/{self.a_type('fast')['id']}/encryption"
        self.assertEqual({}, self.get(path))
        self.denied(404, "itemNotFound", self.call("GET", f"{V3}/types/{new_id()}/encryption"))

    def test_a_volume_has_its_types_file_system_and_can_be_for_many(self) -> None:
        self.a_type("many", extra_specs={**SHARED, "fs_type": "ext4"})
        made = self.make(volume_type="many")
        self.assertTrue(made["multiattach"])
        workloads = [new_id(), new_id()]
        for workload in workloads:
            self.attach(made, workload)
        self.assertEqual(
            ("in-use", workloads),
            ((shown := self.shown(made["id"]))["status"], [item["server_id"] for item in shown["attachments"]]),
        )
        EmbeddedVolumes(self.db).release(workloads[0])
        self.assertEqual("in-use", self.status(made["id"]))
        EmbeddedVolumes(self.db).release(workloads[1])
        self.assertEqual("available", self.status(made["id"]))

    def test_a_volumes_type_is_changed_where_nothing_of_it_has_to_be(self) -> None:
        self.a_type("many", extra_specs=SHARED)
        self.a_type("ext", extra_specs={"fs_type": "ext4"})
        made = self.make()
        retype = {"new_type": "many", "migration_policy": "never"}
        self.assertEqual(202, self.act(made["id"], "os-retype", retype).status_code)
        self.assertEqual(("many", True), ((shown := self.shown(made["id"]))["volume_type"], shown["multiattach"]))
        self.denied(400, "badRequest", self.act(made["id"], "os-retype", retype), "same as original")
        self.act(made["id"], "os-retype", {"new_type": "ext"})
        self.attach(made, new_id())
        answer = self.act(made["id"], "os-retype", {"new_type": "local"})
        self.denied(400, "badRequest", answer, "in use")
        here = self.made_here()
        self.denied(400, "badRequest", self.act(here["id"], "os-retype", {"new_type": "ext"}), "xfs")
        self.denied(404, "itemNotFound", self.act(here["id"], "os-retype", {"new_type": "none"}), "none")
        self.denied(400, "badRequest", self.act(here["id"], "os-retype", {}), "new_type")
