# SPDX-License-Identifier: Apache-2.0
"""The stock client's commands for images, registries and commit, and those of OpenStack's image service."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.functional.case import PATIENT
from tests.functional.commands import about
from tests.functional.commands_case import CommandsTestCase

SECRET = "secret-canary-8"


class ImageCommandsTest(CommandsTestCase):
    host: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = cls.cloud.ask("GET", "/v1/hosts", cloud="admin")["hosts"][0]["hostname"]

    def pulled(self, tag: str) -> dict[str, Any]:
        """The record of a host's image once it is there."""
        self.cloud.engine.api.tag("demo:latest", "pulled", tag)
        made = self.shown("appcontainer", "image", "pull", f"pulled:{tag}", self.host, cloud="admin")
        path = f"/v1/images/{made['uuid']}"
        self.addCleanup(self.cloud.call, "DELETE", path, cloud="admin")

        def look() -> dict[str, Any] | None:
            record = self.cloud.ask("GET", path, cloud="admin")
            return record if record["image_id"] else None

        return self.cloud.wait(look, f"pulled:{tag} is on its host")

    @about("appcontainer image pull", "appcontainer image show")
    def test_an_administrator_has_a_host_pull_an_image(self):
        record = self.pulled("1")
        found = self.cloud.engine.api.inspect_image("pulled:1")
        self.assertEqual(
            (found["Id"], "pulled", "1", self.host, str(found["Size"])),
            tuple(record[key] for key in ("image_id", "repo", "tag", "host", "size")),
        )
        self.assertEqual(
            found["Id"], self.shown("appcontainer", "image", "show", record["uuid"], cloud="admin")["image_id"]
        )
        again = self.say("appcontainer", "image", "pull", "pulled:1", self.host, cloud="admin", check=False)
        self.assertIn("already", again)
        self.assertIn("image:pull", self.say("appcontainer", "image", "pull", "pulled:1", self.host, check=False))

    @about("appcontainer image list")
    def test_images_of_hosts_are_listed_in_pages(self):
        uuids = [self.pulled(tag)["uuid"] for tag in ("2", "3")]
        words = ("appcontainer", "image", "list", "--sort-key", "tag", "--sort-dir", "desc")
        listed = [image["uuid"] for image in self.shown(*words, cloud="admin")]
        self.assertLess(listed.index(uuids[1]), listed.index(uuids[0]))
        paged = self.shown("appcontainer", "image", "list", "--limit", "1", "--marker", uuids[0], cloud="admin")
        self.assertEqual([uuids[1]], [image["uuid"] for image in paged])

    @about("appcontainer image delete")
    def test_an_image_is_let_go_by_its_host(self):
        record = self.pulled("4")
        self.accepted("appcontainer", "image", "delete", record["uuid"], cloud="admin")
        path = f"/v1/images/{record['uuid']}"
        answer = self.cloud.wait(
            lambda: self.cloud.call("GET", path, cloud="admin").status_code == 400, "the image is not known any more"
        )
        self.assertTrue(answer)
        # it was here before, and is not for the host to remove
        self.assertTrue(self.cloud.engine.api.inspect_image("pulled:4"))

    @about("appcontainer image search")
    def test_images_are_searched_by_name(self):
        self.pulled("5")
        found = self.shown("appcontainer", "image", "search", "ulle")
        self.assertEqual(["pulled"], [image["Name"] for image in found])
        self.assertEqual([], self.shown("appcontainer", "image", "search", "ulle", "--exact-match"))
        made = self.cloud.ask("POST", "/image/v2/images", {"name": "sought", "container_format": "docker"})["id"]
        self.addCleanup(self.cloud.call, "DELETE", f"/image/v2/images/{made}")
        found = self.shown("appcontainer", "image", "search", "sough", "--image-driver", "glance")
        self.assertEqual([made], [image["ID"] for image in found])

    @about("appcontainer commit")
    def test_a_container_is_committed_and_run_again(self):
        uuid = self.running("original")["uuid"]
        self.execute(uuid, "sh -c 'echo kept > /kept'")
        said = self.say("appcontainer", "commit", "original", "snapshot:v1")
        image_id = self.shown("image", "show", "snapshot")["id"]
        self.assertIn(image_id, said)
        self.addCleanup(self.cloud.call, "DELETE", f"/image/v2/images/{image_id}")
        self.cloud.wait(
            lambda: self.cloud.ask("GET", f"/image/v2/images/{image_id}")["status"] == "active", "the image is active"
        )
        listed = self.shown("image", "show", "snapshot")
        self.assertEqual((image_id, ["v1"]), (listed["id"], listed["tags"]))
        copy = self.made("run", "--image-driver", "glance", "--name", "copy", "--memory", "16", "snapshot:v1", *PATIENT)
        self.cloud.wait_status(copy["uuid"], "Running")
        self.assertEqual((0, "kept\n"), self.execute(copy["uuid"], "cat /kept"))
        self.assertIn("commit", self.actions(uuid))
        self.assertEqual("running", self.docker_state(uuid)["Status"])


class RegistryCommandsTest(CommandsTestCase):
    def made_registry(self, name: str, **more: str) -> dict[str, Any]:
        options = [word for key, value in more.items() for word in (f"--{key}", value)]
        words = ("appcontainer", "registry", "create", "--name", name, "--domain", "registry.example:5000")
        made: dict[str, Any] = self.shown(*words, *options)
        self.addCleanup(self.cloud.call, "DELETE", f"/v1/registries/{made['uuid']}")
        return made

    @about("appcontainer registry create", "appcontainer registry show")
    def test_a_registry_is_made_and_its_password_never_shown(self):
        made = self.made_registry("with-login", username="ann", password=SECRET)
        shown = self.shown("appcontainer", "registry", "show", "with-login")
        for found in (made, shown):
            self.assertEqual(
                ("with-login", "registry.example:5000", "ann", "***"),
                tuple(found[key] for key in ("name", "domain", "username", "password")),
            )
        self.assertNotIn(SECRET.encode(), (self.cloud.state_dir / "zun_lite.sqlite").read_bytes())
        refused = self.say("appcontainer", "registry", "show", "with-login", cloud="admin", check=False)
        self.assertIn("with-login", refused)

    @about("appcontainer registry list")
    def test_registries_are_listed_with_filters_and_in_order(self):
        for name in ("list-b", "list-a"):
            self.made_registry(name, username="list")
        words = ("appcontainer", "registry", "list", "--username", "list", "--sort-key", "name")
        listed = self.shown(*words)
        self.assertEqual(["list-a", "list-b"], [registry["name"] for registry in listed])
        self.assertEqual({"***"}, {registry["password"] for registry in listed})
        self.assertEqual([], self.shown(*words, cloud="admin"))
        self.assertEqual(2, len(self.shown(*words, "--all-projects", cloud="admin")))
        self.assertIn("all_projects", self.say(*words, "--all-projects", check=False))

    @about("appcontainer registry update")
    def test_a_registry_is_changed(self):
        made = self.made_registry("old")
        self.shown("appcontainer", "registry", "update", "old", "--name", "new", "--username", "bob", "--password", "x")
        record = self.cloud.ask("GET", f"/v1/registries/{made['uuid']}")["registry"]
        self.assertEqual(("new", "bob", "***"), (record["name"], record["username"], record["password"]))

    @about("appcontainer registry delete")
    def test_a_registry_is_forgotten(self):
        made = self.made_registry("gone")
        self.accepted("appcontainer", "registry", "delete", "gone")
        self.assertEqual(404, self.status_of(f"/v1/registries/{made['uuid']}"))


class GlanceCommandsTest(CommandsTestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="zl-glance-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "image.tar"
        self.content = b"".join(self.cloud.engine.api.get_image("demo:latest"))
        self.file.write_bytes(self.content)

    def made_image(self, name: str, *options: str, cloud: str = "demo") -> dict[str, Any]:
        made: dict[str, Any] = self.shown(
            *("image", "create", "--container-format", "docker", "--disk-format", "raw", "--file", str(self.file)),
            *(*options, name),
            cloud=cloud,
        )
        self.addCleanup(self.cloud.call, "DELETE", f"/image/v2/images/{made['id']}", cloud="admin")
        return made

    def image(self, image_id: str) -> dict[str, Any]:
        return self.cloud.ask("GET", f"/image/v2/images/{image_id}", cloud="admin")

    @about("image create", "image show", "image save")
    def test_an_image_is_sent_shown_and_fetched_unchanged(self):
        made = self.made_image("sent", "--property", "colour=blue", "--tag", "v1")
        record = self.image(made["id"])
        self.assertEqual(
            ("active", len(self.content), hashlib.sha512(self.content).hexdigest(), "blue", ["v1"], "shared"),
            tuple(record[key] for key in ("status", "size", "os_hash_value", "colour", "tags", "visibility")),
        )
        self.assertEqual(made["id"], self.shown("image", "show", "sent")["id"])
        saved = self.folder / "saved.tar"
        self.clients.openstack("image", "save", "--file", str(saved), "sent")
        self.assertEqual(self.content, saved.read_bytes())
        container = self.made("run", "--image-driver", "glance", "--memory", "16", "sent", *PATIENT)
        self.cloud.wait_status(container["uuid"], "Running")

    @about("image list")
    def test_images_are_listed_by_who_may_see_them(self):
        mine, public = self.made_image("listed-mine"), self.made_image("listed-public", "--public", cloud="admin")
        theirs = self.made_image("listed-theirs", cloud="admin")
        listed = {image["ID"]: image for image in self.shown("image", "list")}
        self.assertLessEqual({mine["id"], public["id"]}, set(listed))
        self.assertNotIn(theirs["id"], listed)
        self.assertEqual("active", listed[mine["id"]]["Status"])
        named = self.shown("image", "list", "--name", "listed-mine", "--sort", "name:asc", "--limit", "5")
        self.assertEqual([mine["id"]], [image["ID"] for image in named])
        self.assertEqual([public["id"]], [image["ID"] for image in self.shown("image", "list", "--public")])
        self.assertIn("No Image found", self.say("image", "show", theirs["id"], check=False))

    @about("image set", "image unset")
    def test_an_image_is_changed_and_changed_back(self):
        made = self.made_image("changed")
        self.clients.openstack(
            *("image", "set", "--name", "renamed", "--tag", "v2", "--property", "a=1", "--private", "--protected"),
            made["id"],
        )
        record = self.image(made["id"])
        self.assertEqual(
            ("renamed", ["v2"], "1", "private", True),
            tuple(record[key] for key in ("name", "tags", "a", "visibility", "protected")),
        )
        self.assertIn("protected", self.say("image", "delete", "renamed", check=False))
        self.clients.openstack("image", "unset", "--tag", "v2", "--property", "a", "renamed")
        self.clients.openstack("image", "set", "--unprotected", "renamed")
        record = self.image(made["id"])
        self.assertEqual(([], None, False), (record["tags"], record.get("a"), record["protected"]))
        self.assertIn("public", self.say("image", "set", "--public", "renamed", check=False))

    @about("image delete")
    def test_an_image_is_deleted_with_its_bytes(self):
        made = self.made_image("deleted")
        before = set((self.cloud.state_dir / "images").iterdir())
        self.clients.openstack("image", "delete", "deleted")
        self.assertEqual(404, self.status_of(f"/image/v2/images/{made['id']}"))
        self.assertEqual(1, len(before - set((self.cloud.state_dir / "images").iterdir())))

    @about("image member list")
    def test_an_image_is_shared_with_nobody(self):
        self.made_image("alone")
        self.assertEqual([], self.shown("image", "member", "list", "alone"))

    def test_the_library_of_the_image_service_sends_and_fetches(self):
        program = f"""
import json, openstack
from glanceclient import Client
cloud = openstack.connect()
glance = Client("2", session=cloud.session)
made = glance.images.create(name="by-library", container_format="docker", disk_format="raw", colour="red")
with open({str(self.file)!r}, "rb") as stream:
    glance.images.upload(made.id, stream)
glance.images.update(made.id, name="by-library-2")
glance.image_tags.update(made.id, "t")
found = [image for image in glance.images.list(filters={{"name": "by-library-2"}})]
content = b"".join(glance.images.data(made.id))
shown = glance.images.get(made.id)
glance.images.delete(made.id)
print(json.dumps([len(found), len(content), shown.status, shown.colour, shown.tags]))
"""
        done = self.clients.python(program)
        self.assertEqual([1, len(self.content), "active", "red", ["t"]], json.loads(done.stdout.splitlines()[-1]))
