# SPDX-License-Identifier: Apache-2.0
"""The embedded Glance, as stock clients speak to it; containers of images, commit; and bytes for hosts."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from typing import Any
from unittest import mock

from falcon import testing

from tests.api.case import ApiTestCase
from tests.builders import a_host
from zun_lite.api.image import bodies
from zun_lite.api.paths import Normaliser
from zun_lite.common import grants
from zun_lite.db import hosts
from zun_lite.domain import names

IMAGES = "/image/v2/images"
PATCH = "application/openstack-images-v2.1-json-patch"
BYTES = {"Content-Type": "application/octet-stream"}


class ImageTestCase(ApiTestCase):
    def make(self, name: str = "one", *, user: str = "demo", **fields: Any) -> dict[str, Any]:
        body = {"name": name, "container_format": "docker", "disk_format": "raw", **fields}
        answer = self.call("POST", IMAGES, body, user=user)
        self.assertEqual(201, answer.status_code, answer.text)
        return answer.json

    def send(self, image: dict[str, Any], content: bytes = b"bytes", *, user: str = "demo") -> testing.Result:
        return self.call("PUT", f"{IMAGES}/{image['id']}/file", raw=content, headers=BYTES, user=user)

    def patch(self, image: dict[str, Any], *changes: tuple[str, str, Any], user: str = "demo") -> testing.Result:
        body = [{"op": op, "path": path, "value": value} for op, path, value in changes]
        raw = json.dumps(body).encode()
        return self.call("PATCH", f"{IMAGES}/{image['id']}", raw=raw, headers={"Content-Type": PATCH}, user=user)

    def listed(self, query: str = "", *, user: str = "demo") -> list[str]:
        return [image["name"] for image in self.get(f"{IMAGES}?{query}", user=user)["images"]]


class DocumentsTest(ImageTestCase):
    def test_versions_are_a_choice_that_needs_no_token(self):
        for path in ("/image", "/image/", "/image/versions", "/image/v2", "/image/v2/"):
            answer = self.client.simulate_get(path)
            self.assertEqual(300, answer.status_code, path)
            self.assertLessEqual({found["status"] for found in answer.json["versions"]}, {"CURRENT", "SUPPORTED"})
            self.assertTrue(answer.json["versions"][0]["links"][0]["href"].endswith("/image/v2/"))

    def test_fields_that_may_be_null_say_so_in_the_schema(self):
        fields = self.get("/image/v2/schemas/image")["properties"]
        shown = self.get(f"{IMAGES}/{self.make()['id']}")
        for key, value in shown.items():
            kinds = fields[key]["type"]
            if value is None:
                self.assertIn("null", kinds, key)
        self.assertEqual([], self.get("/image/v2/info/import")["import-methods"]["value"])
        for path in ("/image/v2/info/stores", "/image/v2/tasks"):
            self.get(path, expect=404)

    def test_without_a_token_nothing_is_shown(self):
        self.assertEqual(401, self.client.simulate_get(IMAGES).status_code)


class RecordsTest(ImageTestCase):
    def test_a_new_image_waits_for_its_bytes(self):
        made = self.make(colour="blue", tags=["v1"], min_ram=5)
        self.assertEqual(
            ("queued", "shared", "blue", ["v1"], 5, None, None, None),
            tuple(
                made[key]
                for key in ("status", "visibility", "colour", "tags", "min_ram", "size", "checksum", "os_hash_value")
            ),
        )
        self.assertEqual(f"/v2/images/{made['id']}/file", made["file"])
        self.assertRegex(made["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        answer = self.call("GET", f"{IMAGES}/{made['id']}/file")
        self.assertEqual((204, b""), (answer.status_code, answer.content))

    def test_bytes_come_once_and_are_counted(self):
        made = self.make()
        self.assertEqual(204, self.send(made, b"content").status_code)
        record = self.get(f"{IMAGES}/{made['id']}")
        md5, sha512 = hashlib.md5(b"content").hexdigest(), hashlib.sha512(b"content").hexdigest()
        self.assertEqual(
            ("active", 7, md5, "sha512", sha512),
            tuple(record[key] for key in ("status", "size", "checksum", "os_hash_algo", "os_hash_value")),
        )
        answer = self.call("GET", f"{IMAGES}/{made['id']}/file")
        self.assertEqual((200, b"content", md5), (answer.status_code, answer.content, answer.headers["Content-MD5"]))
        self.assertEqual(409, self.send(made).status_code)

    def test_bytes_in_chunks_are_taken_as_they_come(self):
        seen = {}

        def application(environ, start_response):
            seen.update(environ)
            return []

        class Unread(io.BytesIO):
            def read(self, size=-1, /):
                raise AssertionError("nobody may gather this")

        environ = testing.create_environ(f"{IMAGES}/x/file", method="PUT", headers={"Transfer-Encoding": "chunked"})
        environ["wsgi.input"] = Unread()
        Normaliser(application, 10)(environ, None)
        self.assertNotIn("CONTENT_LENGTH", seen)
        self.assertFalse(seen["zun_lite.body_too_large"])

    def test_bytes_of_another_kind_or_too_many_are_refused(self):
        made = self.make()
        answer = self.call("PUT", f"{IMAGES}/{made['id']}/file", raw=b"{}", headers={"Content-Type": "text/plain"})
        self.assertEqual(415, answer.status_code)
        huge = {**BYTES, "Content-Length": str(2**40)}
        answer = self.call("PUT", f"{IMAGES}/{made['id']}/file", raw=b"x", headers=huge)
        self.assertEqual(413, answer.status_code, answer.text)
        self.assertEqual(204, self.send(made).status_code)

    def test_another_projects_image_is_not_found_unless_it_is_public(self):
        mine = self.make()
        self.send(mine)
        path = f"{IMAGES}/{mine['id']}"
        for method, where in (("GET", path), ("GET", f"{path}/file"), ("DELETE", path), ("PUT", f"{path}/tags/t")):
            self.assertEqual(404, self.call(method, where, user="other").status_code, where)
        self.assertEqual(403, self.patch(mine, ("replace", "/visibility", "public")).status_code)
        self.assertEqual(200, self.patch(mine, ("replace", "/visibility", "public"), user="admin").status_code)
        self.assertEqual(b"bytes", self.call("GET", f"{path}/file", user="other").content)
        for method, where in (("DELETE", path), ("PUT", f"{path}/tags/t")):
            self.assertEqual(403, self.call(method, where, user="other").status_code, where)
        self.assertEqual(403, self.patch(mine, ("replace", "/name", "x"), user="other").status_code)

    def test_any_text_may_stand_where_an_id_does(self):
        for ident in ("nobody", "a%20b", "a%2Fb", "%C3%A9"):
            self.assertEqual(404, self.call("GET", f"{IMAGES}/{ident}").status_code)

    def test_a_protected_image_is_not_deleted(self):
        made = self.make(protected=True)
        path = f"{IMAGES}/{made['id']}"
        answer = self.call("DELETE", path)
        self.assertEqual(403, answer.status_code)
        self.assertIn("protected", answer.json["error"]["message"])
        self.patch(made, ("replace", "/protected", False))
        self.assertEqual(204, self.call("DELETE", path).status_code)
        self.get(path, expect=404)

    def test_tags_come_and_go(self):
        path = f"{IMAGES}/{self.make()['id']}"
        for tag in ("v1", "v1", "a%20b"):
            self.assertEqual(204, self.call("PUT", f"{path}/tags/{tag}").status_code)
        self.assertEqual(["a b", "v1"], self.get(path)["tags"])
        self.assertEqual(204, self.call("DELETE", f"{path}/tags/v1").status_code)
        self.assertEqual(404, self.call("DELETE", f"{path}/tags/v1").status_code)
        self.assertEqual([], self.get(f"{path}/members")["members"])


class ChangesTest(ImageTestCase):
    def test_a_patch_changes_what_it_names(self):
        made = self.make(colour="blue", shape="round")
        answer = self.patch(
            made,
            ("add", "/name", "two"),
            ("replace", "/colour", "red"),
            ("add", "/a~1b", "c"),
            ("remove", "/shape", None),
            ("add", "/tags", ["v1"]),
            ("add", "/tags/-", "v2"),
            ("replace", "/os_hidden", True),
        )
        self.assertEqual(200, answer.status_code, answer.text)
        shown = self.get(f"{IMAGES}/{made['id']}")
        self.assertEqual(
            ("two", "red", "c", ["v1", "v2"], True),
            tuple(shown[key] for key in ("name", "colour", "a/b", "tags", "os_hidden")),
        )
        self.assertNotIn("shape", shown)

    def test_what_cannot_be_changed_is_refused(self):
        made = self.make()
        for status, *change in (
            (403, "replace", "/status", "active"),
            (403, "replace", "/size", 5),
            (403, "add", "/id", names.new_id()),
            (403, "remove", "/name", None),
            (403, "replace", "/visibility", "public"),
            (403, "replace", "/owner", "p2"),
            (409, "replace", "/unknown", "x"),
            (409, "remove", "/unknown", None),
            (400, "replace", "/disk_format", "floppy"),
            (400, "add", "/number", 5),
            (400, "move", "/name", "x"),
            (400, "add", "name", "x"),
            (400, "add", "/tags", "v1"),
            (400, "add", "/a/b/c", "x"),
            (400, "replace", "/min_ram", -1),
            (400, "replace", "/name", "x" * 256),
        ):
            answer = self.patch(made, tuple(change))
            self.assertEqual(status, answer.status_code, f"{change}: {answer.text}")
        self.assertEqual(made, self.get(f"{IMAGES}/{made['id']}"))
        answer = self.call("PATCH", f"{IMAGES}/{made['id']}", [])
        self.assertEqual(415, answer.status_code)
        answer = self.call("PATCH", f"{IMAGES}/{made['id']}", raw=b"{", headers={"Content-Type": PATCH})
        self.assertEqual(400, answer.status_code)

    def test_bad_new_images_are_refused(self):
        for status, body in (
            (400, []),
            (403, {"status": "active"}),
            (403, {"visibility": "public"}),
            (400, {"visibility": "community"}),
            (400, {"container_format": "tar"}),
            (400, {"protected": "perhaps"}),
            (400, {"tags": [5]}),
            (400, {"own": 5}),
            (403, {"owner": "p2"}),
        ):
            answer = self.call("POST", IMAGES, body)
            self.assertEqual(status, answer.status_code, f"{body}: {answer.text}")
        self.assertEqual("", self.call("POST", IMAGES, {"name": None}).json["name"])

    def test_ids_are_chosen_by_administrators_for_hosts_hold_images_by_their_id(self):
        theirs = self.make(user="other")["id"]
        self.call("DELETE", f"{IMAGES}/{theirs}", user="other")
        self.assertEqual(403, self.call("POST", IMAGES, {"id": theirs}).status_code)
        uuid = names.new_id()
        self.assertEqual(uuid, self.make(id=uuid, user="admin")["id"])
        for status, ident in ((409, uuid), (400, "x")):
            self.assertEqual(status, self.call("POST", IMAGES, {"id": ident}, user="admin").status_code)

    def test_what_changes_while_a_patch_is_on_its_way_is_kept(self):
        made = self.make(tags=["first"], colour="blue")
        real = bodies.read_changes

        def late(*arguments):
            operations = real(*arguments)
            self.call("PUT", f"{IMAGES}/{made['id']}/tags/second")
            return operations

        with mock.patch.object(bodies, "read_changes", late):
            self.assertEqual(200, self.patch(made, ("replace", "/colour", "red")).status_code)
        found = self.get(f"{IMAGES}/{made['id']}")
        self.assertEqual((["first", "second"], "red"), (found["tags"], found["colour"]))

    def test_tags_have_an_end_whichever_way_they_come(self):
        made = self.make(tags=[f"t{number}" for number in range(bodies.MOST_TAGS)])
        tags = f"{IMAGES}/{made['id']}/tags"
        self.assertEqual([204, 400], [self.call("PUT", f"{tags}/{tag}").status_code for tag in ("t0", "more")])


class ListsTest(ImageTestCase):
    def test_filters_narrow_a_list(self):
        one = self.make("one", colour="blue", tags=["t"])
        self.make("two", visibility="private", disk_format="qcow2")
        self.make("hidden", os_hidden=True)
        self.make("theirs", user="other")
        self.make("public", user="admin", visibility="public")
        self.send(one)
        for query, expected in (
            ("", {"one", "two", "public"}),
            ("name=one", {"one"}),
            ("name=in:one,two", {"one", "two"}),
            ("status=active", {"one"}),
            ("visibility=private", {"two"}),
            ("visibility=public", {"public"}),
            ("visibility=all", {"one", "two", "public"}),
            ("os_hidden=True", {"hidden"}),
            ("container_format=docker&disk_format=qcow2", {"two"}),
            ("tag=t", {"one"}),
            ("colour=blue", {"one"}),
            ("colour=red", set()),
            (f"id=in:{one['id']}", {"one"}),
            (f"id={one['id']}", {"one"}),
            ("name=theirs", set()),
        ):
            self.assertEqual(expected, set(self.listed(query)), query)
        self.assertIn("theirs", self.listed(user="admin"))

    def test_pages_follow_each_other_by_relative_links(self):
        for name in ("c", "a", "b"):
            self.make(name)
        page, seen = self.get(f"{IMAGES}?limit=2&sort=name:asc"), []
        while True:
            seen += [image["name"] for image in page["images"]]
            if "next" not in page:
                break
            self.assertTrue(page["next"].startswith("/v2/images?"))
            page = self.get(f"/image{page['next']}")
        self.assertEqual(["a", "b", "c"], seen)
        self.assertEqual(["c", "b", "a"], self.listed("sort_key=name&sort_dir=desc"))
        for query in ("limit=0", "limit=x", "sort_key=colour", "sort=name:up", "visibility=x", "marker=nobody"):
            self.assertEqual(400, self.call("GET", f"{IMAGES}?{query}").status_code, query)


class ContainersOfImagesTest(ImageTestCase):
    def test_a_container_is_made_of_an_image_that_its_user_may_see(self):
        image = self.make("app", tags=["v1"])
        self.refused(400, self.of("app"), "could not be found")
        self.send(image)
        for ident in ("app", "app:v1", image["id"]):
            answer = self.of(ident)
            self.assertEqual(
                (202, ident, "glance"), (answer.status_code, answer.json["image"], answer.json["image_driver"])
            )
        error = self.refused(400, self.of("app", user="other"), "could not be found")
        self.assertEqual("container.image-not-found", error["code"])
        self.send(plain := self.make("plain", container_format="bare"))
        self.refused(400, self.of(plain["id"]), "container_format")

    def of(self, image: str, *, user: str = "demo", **more: Any) -> testing.Result:
        return self.call("POST", "/v1/containers", {"image": image, "image_driver": "glance", **more}, user=user)

    def test_names_of_inner_registries_are_refused_in_every_spelling(self):
        """E1."""
        for host in (
            *("127.0.0.1", "127.0.0.1:5000", "localhost", "LOCALHOST:80", "127.1:80", "2130706433:80", "0x7f000001:80"),
            *("0177.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1:5000", "8.8.8.8", "[::1]:80", "user@host:80"),
            *(
                "[::ffff:127.0.0.1]:80",
                "localhost.:80",
                "127.0.0.1.",
                "a.localhost",
                "db:5432",
                "metadata.google.internal",
            ),
            "zun-lite.invalid",
        ):
            answer = self.call("POST", "/v1/containers", {"image": f"{host}/x:1"})
            self.refused(400, answer)
        self.assertEqual(202, self.call("POST", "/v1/containers", {"image": "quay.io/x:1"}).status_code)

    def test_commit_answers_with_the_image_that_will_be(self):
        made = self.running("web")
        answer = self.call("POST", f"/v1/containers/{made['uuid']}/commit", params={"repository": "snap", "tag": "v1"})
        self.assertEqual(202, answer.status_code, answer.text)
        image = self.get(f"{IMAGES}/{answer.json['uuid']}")
        self.assertEqual(
            ("snap", "queued", ["v1"], "docker", "qcow2"),
            tuple(image[key] for key in ("name", "status", "tags", "container_format", "disk_format")),
        )
        self.assertEqual(409, self.send(image).status_code)
        (action, *_) = self.get(f"/v1/containers/{made['uuid']}/container_actions")["containerActions"]
        self.assertEqual(
            ("commit", answer.headers["x-openstack-request-id"], None),
            (action["action"], action["request_id"], action["finish_time"]),
        )

    def test_commit_is_refused_without_a_name_or_in_the_wrong_state(self):
        made = self.running("web")
        path = f"/v1/containers/{made['uuid']}/commit"
        for body in ({}, {"repository": "Bad"}, {"repository": "a", "tag": " "}, {"repository": "a", "more": "b"}):
            self.refused(400, self.call("POST", path, body))
        waiting = self.create("waiting")
        self.refused(
            409, self.call("POST", f"/v1/containers/{waiting['uuid']}/commit", {"repository": "a"}), "Creating"
        )
        self.refused(404, self.call("POST", path, {"repository": "a"}, user="other"))
        self.observe(made, "exited", exit_code=0)
        answer = self.call("POST", path, {"repository": "a"})
        self.assertEqual((202, ["latest"]), (answer.status_code, self.get(f"{IMAGES}/{answer.json['uuid']}")["tags"]))


class HostsBytesTest(ImageTestCase):
    """What hosts may fetch: what their own workloads need, proved with their own keys."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.keys = {}
        for host in (self.host, a_host(self.means, "host2")):
            key = grants.make_key(f"{folder.name}/{host.name}.key")
            self.keys[host.name] = (host.uuid, key)
            where = hosts.hosts.c.uuid == host.uuid
            values = {"public_key": grants.public_text(key)}
            self.db.transact(
                lambda tx, where=where, values=values: tx.execute(hosts.hosts.update().where(where).values(values))
            )
        self.image = self.make("app")
        self.send(self.image)

    def ask(self, method: str, path: str, host: str = "host1", **more: Any) -> testing.Result:
        uuid, key = self.keys[host]
        token = grants.sign(key, grants.API_AUDIENCE, {"sub": uuid}, self.clock)
        headers = {"Authorization": f"Node {token}", **BYTES}
        return self.client.simulate_request(method, f"/node/v1/{path}", headers=headers, **more)

    def test_a_host_fetches_images_of_its_own_workloads_only(self):
        """C1."""
        path = f"images/{self.image['id']}/file"
        self.assertEqual(404, self.ask("GET", path).status_code)
        self.create(image="app", image_driver="glance")
        placed = self.get("/v1/containers", user="admin", params={"all_projects": "1"})["containers"][0]["host"]
        answer = self.ask("GET", path, placed)
        self.assertEqual((200, b"bytes"), (answer.status_code, answer.content))
        self.assertEqual(hashlib.sha512(b"bytes").hexdigest(), answer.headers["X-Image-Sha512"])
        other = {"host1": "host2", "host2": "host1"}[placed]
        self.assertEqual([200, 404], [self.ask("GET", path, host).status_code for host in (placed, other)])
        headers = {"X-Auth-Token": self.token("admin")}
        self.assertEqual(401, self.client.simulate_get(f"/node/v1/{path}", headers=headers).status_code)

    def test_a_host_sends_only_images_that_it_was_to_make(self):
        self.assertEqual(404, self.ask("PUT", f"images/{self.image['id']}/file", body=b"evil").status_code)
        self.assertEqual(b"bytes", self.call("GET", f"{IMAGES}/{self.image['id']}/file").content)

    def test_a_host_gets_the_login_of_its_own_workloads_registry_only(self):
        """C1, C6."""
        wanted = {"registry": {"domain": "registry.example", "username": "ann", "password": "secret"}}
        uuid = self.call("POST", "/v1/registries", wanted).json["registry"]["uuid"]
        made, without = self.create(image="app:1", registry=uuid), self.create("plain")
        path = f"workloads/{made['uuid']}/registry"
        placed = self.call("GET", f"/v1/containers/{made['uuid']}", user="admin").json["host"]
        other = {"host1": "host2", "host2": "host1"}[placed]
        self.assertEqual(
            {"domain": "registry.example", "username": "ann", "password": "secret"}, self.ask("GET", path, placed).json
        )
        self.assertEqual(404, self.ask("GET", path, other).status_code)
        self.assertEqual(404, self.ask("GET", f"workloads/{without['uuid']}/registry", placed).status_code)
