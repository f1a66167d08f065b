# SPDX-License-Identifier: Apache-2.0
"""Images from real registries and from the image service: who gets which, and what a host keeps of it.

A refusal is shown beside the same request that gets through.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
from pathlib import Path
from typing import Any

import requests

from tests.functional.case import PATIENT, CloudTestCase
from tests.registry import PASSWORD, USER, PrivateRegistry

PUBLIC_PORT, PRIVATE_PORT, HIDDEN_PORT = 5000, 5001, 5002
PUBLIC, PRIVATE = f"127.0.0.1:{PUBLIC_PORT}", f"127.0.0.1:{PRIVATE_PORT}"
MIB = 1024 * 1024


class ImageCase(CloudTestCase):
    settings = {"image": {"allowed_registries": f"{PUBLIC},{PRIVATE}", "max_size_gib": "1"}}

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for cloud, cidr in (("demo", "10.61.0.0/24"), ("admin", "10.62.0.0/24")):
            cls.cloud.make_network(cidr, cloud=cloud)

    @classmethod
    def marked(cls, mark: str) -> str:
        """The demo image with something more in it; untagged again once it was pushed."""
        made = cls.cloud.engine.api.create_container("demo:latest", ["true"])["Id"]
        answer = cls.cloud.engine.api.commit(made, changes=[f"ENV MARK={mark}"])
        cls.cloud.engine.api.remove_container(made)
        return answer["Id"]

    def ended(self, name: str, *, cloud: str = "demo", **fields: Any) -> dict[str, Any]:
        """A container's record once it runs or failed."""
        uuid = self.cloud.run_container(name, cloud=cloud, command=PATIENT, **fields)
        self.addCleanup(self.delete, uuid)
        return self.cloud.wait_status(uuid, "Running", "Error", cloud=cloud)

    def runs(self, name: str, **fields: Any) -> dict[str, Any]:
        record = self.ended(name, **fields)
        self.assertEqual("Running", record["status"], record["status_reason"])
        return record

    def names(self) -> list[str]:
        return [name for image in self.cloud.engine.api.images() for name in image["RepoTags"] or ()]

    def image_of(self, uuid: str) -> str:
        return self.one_in_docker(uuid)["Image"]

    def settled(self, image_id: str, *, cloud: str = "demo") -> dict[str, Any]:
        """An image's record once its bytes are there or given up."""

        def look() -> dict[str, Any] | None:
            found = self.cloud.ask("GET", f"/image/v2/images/{image_id}", cloud=cloud)
            return found if found["status"] in ("active", "killed") else None

        return self.cloud.wait(look, f"image {image_id} is active or killed")

    def drop_image(self, image_id: str, *, cloud: str = "demo") -> None:
        self.cloud.call("DELETE", f"/image/v2/images/{image_id}", cloud=cloud)

    def commit(self, uuid: str, name: str) -> str:
        answer = self.cloud.call("POST", f"/v1/containers/{uuid}/commit?repository={name}&tag=v1")
        self.assertEqual(202, answer.status_code, answer.text)
        image_id = answer.json()["uuid"]
        self.addCleanup(self.drop_image, image_id)
        return image_id

    def bytes_of(self, image_id: str) -> bytes:
        answer = self.cloud.call("GET", f"/image/v2/images/{image_id}/file")
        self.assertEqual(200, answer.status_code, answer.text)
        return answer.content

    def upload(self, blocks: Any, *, cloud: str = "demo", **fields: Any) -> str:
        """A new image of these bytes."""
        body = {"name": "uploaded", "container_format": "docker", "disk_format": "raw", **fields}
        image_id = self.cloud.ask("POST", "/image/v2/images", body, cloud=cloud)["id"]
        self.addCleanup(self.drop_image, image_id, cloud=cloud)
        headers = {"X-Auth-Token": self.cloud.token(cloud), "Content-Type": "application/octet-stream"}
        url = f"{self.cloud.url}/image/v2/images/{image_id}/file"
        answer = requests.put(url, data=blocks, headers=headers, timeout=300)
        self.assertEqual(204, answer.status_code, answer.text)
        return image_id


class RegistryTest(ImageCase):
    registry: PrivateRegistry
    private: PrivateRegistry
    digest: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.registry = PrivateRegistry(cls.cloud.engine, PUBLIC_PORT)
        cls.private = PrivateRegistry(cls.cloud.engine, PRIVATE_PORT, login=True)
        for registry in (cls.registry, cls.private):
            cls.addClassCleanup(registry.stop)
            registry.start()
        # images of their own, so that none is on the engine already
        cls.digest = cls.registry.push(cls.marked("public"), "team/app:1")
        for name in ("one", "two", "three"):
            cls.private.push(cls.marked(name), f"team/{name}:1")

    def make_registry(self, *, cloud: str = "demo", password: str = PASSWORD, domain: str = PRIVATE) -> str:
        body = {"registry": {"domain": domain, "username": USER, "password": password}}
        uuid = self.cloud.ask("POST", "/v1/registries", body, cloud=cloud)["registry"]["uuid"]
        self.addCleanup(self.cloud.call, "DELETE", f"/v1/registries/{uuid}", cloud=cloud)
        return uuid

    def test_an_image_is_pulled_by_its_tag_and_by_its_digest(self):
        self.assertTrue(self.digest)
        for number, name in enumerate((f"{PUBLIC}/team/app:1", f"{PUBLIC}/team/app@{self.digest}")):
            record = self.runs(f"pulled-{number}", image=name)
            self.assertEqual(name, record["image"])
            self.assertIn("MARK=public", self.one_in_docker(record["uuid"])["Config"]["Env"])

    def test_a_tag_that_is_not_there_ends_in_error(self):
        record = self.ended("no-tag", image=f"{PUBLIC}/team/app:nothing")
        self.assertEqual("Error", record["status"])
        self.assertIn("was not found", record["status_reason"])

    def test_a_private_image_comes_with_a_login_and_is_not_others_for_lying_here(self):
        """A13."""
        name, registry = f"{PRIVATE}/team/one:1", self.make_registry()
        self.assertEqual("Error", self.ended("without", image=name)["status"])
        record = self.runs("with", image=name, registry=registry)
        self.assertEqual(registry, record["registry_id"])
        image = self.image_of(record["uuid"])
        self.assertIn(image, [found["Id"] for found in self.cloud.engine.api.images()])
        self.assertEqual(image, self.image_of(self.runs("again", image=name)["uuid"]))

        for number, policy in enumerate(("ifnotpresent", "never", "always")):
            refused = self.ended(f"theirs-{number}", cloud="admin", image=name, image_pull_policy=policy)
            self.assertEqual("Error", refused["status"])
            self.assertIn("not ", refused["status_reason"])
        identifier = image.removeprefix("sha256:")
        for number, text in enumerate((identifier[:12], identifier)):
            self.assertEqual("Error", self.ended(f"by-id-{number}", cloud="admin", image=text)["status"])
        theirs = self.make_registry(cloud="admin")
        self.runs("theirs-with", cloud="admin", image=name, registry=theirs)

    def test_an_image_without_a_host_is_looked_for_in_the_registry_named(self):
        registry = self.make_registry()
        record = self.runs("short", image="team/two:1", registry=registry)
        self.assertEqual("team/two:1", record["image"])
        self.assertIn("MARK=two", self.one_in_docker(record["uuid"])["Config"]["Env"])

    def test_a_wrong_password_is_final_and_nowhere_told(self):
        """E4."""
        registry = self.make_registry(password="wrong-canary-7")
        record = self.ended("wrong", image=f"{PRIVATE}/team/three:1", registry=registry)
        self.assertEqual("Error", record["status"])
        self.assertIn("login", record["status_reason"])
        self.runs("right", image=f"{PRIVATE}/team/three:1", registry=self.make_registry())
        self.assert_told_nowhere("canary-7")

    def assert_told_nowhere(self, secret: str) -> None:
        for path in self.cloud.state_dir.rglob("*"):
            if path.is_file() and path.stat().st_size < 64 * MIB:
                self.assertNotIn(secret.encode(), path.read_bytes(), path)
        self.assertFalse((Path.home() / ".docker" / "config.json").exists())
        self.assertNotIn(secret, json.dumps(self.cloud.engine.api.info()))
        for cloud in ("demo", "admin"):
            self.assertNotIn(secret, self.cloud.call("GET", "/v1/registries?all_projects=0", cloud=cloud).text)
            self.assertNotIn(secret, self.cloud.call("GET", "/v1/containers", cloud=cloud).text)

    def test_a_login_is_for_no_other_registry(self):
        """E4."""
        registry = self.make_registry()
        body = self.cloud.container_body("other", image=f"{PUBLIC}/team/app:1", registry=registry)
        answer = self.cloud.call("POST", "/v1/containers", body)
        self.assertEqual(400, answer.status_code, answer.text)

    def test_a_registry_in_use_stays(self):
        registry = self.make_registry()
        uuid = self.runs("user", image="team/two:1", registry=registry)["uuid"]
        answer = self.cloud.call("DELETE", f"/v1/registries/{registry}")
        self.assertEqual(409, answer.status_code, answer.text)
        self.delete(uuid)
        self.assertEqual(204, self.cloud.call("DELETE", f"/v1/registries/{registry}").status_code)

    def test_a_registry_on_loopback_that_is_not_allowed_is_not_spoken_to(self):
        """E1."""
        with PrivateRegistry(self.cloud.engine, HIDDEN_PORT) as hidden:
            hidden.push("demo:latest", "x:1")
            for host in ("127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1", "0177.0.0.1"):
                body = self.cloud.container_body("hidden", image=f"{host}:{HIDDEN_PORT}/x:1")
                answer = self.cloud.call("POST", "/v1/containers", body)
                self.assertEqual(400, answer.status_code, f"{host}: {answer.text}")
            self.cloud.engine.docker("pull", f"{hidden.address}/x:1")
            self.cloud.engine.docker("rmi", f"{hidden.address}/x:1")


class ImageServiceTest(ImageCase):
    def saved(self) -> bytes:
        """An archive as docker save writes it, of an image that is called demo:latest."""
        return b"".join(self.cloud.engine.api.get_image("demo:latest"))

    def test_a_saved_image_becomes_a_container_and_takes_nobodys_name(self):
        before = self.cloud.engine.api.inspect_image("demo:latest")["Id"]
        made = self.cloud.engine.api.create_container("demo:latest", ["true"])["Id"]
        self.cloud.engine.api.commit(made, "demo", "latest", changes=["ENV EVIL=yes"])
        self.cloud.engine.api.remove_container(made)
        evil = self.saved()
        self.cloud.engine.api.tag(before, "demo", "latest", force=True)

        image_id = self.upload(evil, name="mine")
        record = self.runs("of-mine", image="mine", image_driver="glance")
        self.assertEqual(("mine", "glance"), (record["image"], record["image_driver"]))
        self.assertIn("EVIL=yes", self.one_in_docker(record["uuid"])["Config"]["Env"])
        self.assertEqual(before, self.cloud.engine.api.inspect_image("demo:latest")["Id"])
        self.assertEqual(before, self.image_of(self.runs("of-demo", image="demo")["uuid"]))
        found = self.cloud.engine.api.inspect_image(f"zun-lite.invalid/image:{image_id}")
        self.assertEqual(self.image_of(record["uuid"]), found["Id"])

    def test_a_root_file_system_becomes_a_container(self):
        made = self.cloud.engine.api.create_container("demo:latest", ["true"])["Id"]
        layer = b"".join(self.cloud.engine.api.export(made))
        self.cloud.engine.api.remove_container(made)
        image_id = self.upload(layer, name="plain")
        self.assertEqual(
            0, self.execute(self.runs("of-plain", image=image_id, image_driver="glance")["uuid"], "ls /")[0]
        )

    def test_an_image_of_another_project_cannot_be_used_unless_it_is_public(self):
        image_id = self.upload(self.saved(), name="private")
        for text in (image_id, "private", f"zun-lite.invalid/image:{image_id}"):
            for driver in ("glance", "docker"):
                body = self.cloud.container_body("theirs", image=text, image_driver=driver)
                if driver == "docker" and text in (image_id, "private"):
                    continue
                answer = self.cloud.call("POST", "/v1/containers", body, cloud="admin")
                self.assertEqual(400, answer.status_code, answer.text)
        public = self.upload(self.saved(), cloud="admin", name="public", visibility="public")
        self.runs("of-public", image=public, image_driver="glance")

    def test_bytes_that_are_no_image_end_in_error(self):
        for number, junk in enumerate((b"", b"junk" * 1000)):
            image_id = self.upload(iter([junk] if junk else []), name=f"junk-{number}")
            record = self.ended(f"of-junk-{number}", image=image_id, image_driver="glance")
            self.assertEqual("Error", record["status"])
            self.assertIn("image", record["status_reason"].lower())

    def test_a_large_image_passes_in_constant_memory(self):
        size, before = 300 * MIB, self.memory_of("api")
        block = b"\0" * MIB
        image_id = self.upload((block for _ in range(size // MIB)), name="large")
        record = self.cloud.ask("GET", f"/image/v2/images/{image_id}")
        digest = hashlib.sha512()
        for _ in range(size // MIB):
            digest.update(block)
        self.assertEqual((size, digest.hexdigest()), (record["size"], record["os_hash_value"]))
        with self.cloud.call("GET", f"/image/v2/images/{image_id}/file", stream=True) as answer:
            self.assertEqual(size, sum(len(part) for part in answer.iter_content(MIB)))
        agent = self.memory_of("agent")
        self.assertEqual("Error", self.ended("of-large", image=image_id, image_driver="glance")["status"])
        self.assertLess(self.memory_of("api") - before, 60)
        self.assertLess(self.memory_of("agent") - agent, 60)

    def memory_of(self, program: str) -> int:
        """MiB that a program and its children hold for themselves."""
        total, waiting = 0, [self.cloud.pid(program)]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    waiting += [int(child) for child in (task / "children").read_text().split()]
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
        return total // 1024

    def test_too_large_an_image_is_refused_and_leaves_nothing(self):
        """E3."""
        image_id = self.cloud.ask("POST", "/image/v2/images", {"name": "huge"})["id"]
        self.addCleanup(self.drop_image, image_id)

        path = f"/image/v2/images/{image_id}/file"
        headers = {"X-Auth-Token": self.cloud.token(), "Content-Type": "application/octet-stream"}
        line = http.client.HTTPConnection("127.0.0.1", self.cloud.port, timeout=60)
        self.addCleanup(line.close)
        # says how much will come, and sends nothing of it
        line.request("PUT", path, headers={**headers, "Content-Length": str(2 * 1024 * MIB)})
        self.assertEqual(413, line.getresponse().status)
        self.assertEqual("queued", self.cloud.ask("GET", f"/image/v2/images/{image_id}")["status"])
        url = f"{self.cloud.url}{path}"
        self.assertEqual(204, requests.put(url, data=b"small", headers=headers, timeout=60).status_code)
        self.assertEqual(409, requests.put(url, data=b"again", headers=headers, timeout=60).status_code)


class CommitTest(ImageCase):
    def test_a_container_becomes_an_image_of_its_project(self):
        uuid = self.runs("original")["uuid"]
        pid = self.one_in_docker(uuid)["State"]["Pid"]
        self.execute(uuid, "sh -c 'echo kept > /kept'")
        image_id = self.commit(uuid, "snap")
        image = self.settled(image_id)
        self.assertEqual(
            ("snap", "active", ["v1"], "docker", "qcow2"),
            (image["name"], image["status"], image["tags"], image["container_format"], image["disk_format"]),
        )
        self.assertEqual(hashlib.sha512(self.bytes_of(image_id)).hexdigest(), image["os_hash_value"])
        copy = self.runs("copy", image="snap:v1", image_driver="glance")["uuid"]
        self.assertEqual((0, "kept\n"), self.execute(copy, "cat /kept"))
        self.assertEqual(("Running", pid), (self.cloud.container(uuid)["status"], self.pid_of(uuid)))
        action = self.cloud.ask("GET", f"/v1/containers/{uuid}/container_actions")["containerActions"][0]
        self.assertEqual(("commit", None), (action["action"], action["message"]))
        self.assertTrue(action["finish_time"])
        answer = self.cloud.call("GET", f"/image/v2/images/{image_id}", cloud="admin")
        self.assertEqual(200, answer.status_code)
        refused = self.cloud.call(
            "POST",
            "/v1/containers",
            self.cloud.container_body("theirs", image="snap", image_driver="glance"),
            cloud="admin",
        )
        self.assertEqual(400, refused.status_code, refused.text)

    def pid_of(self, uuid: str) -> int:
        return self.one_in_docker(uuid)["State"]["Pid"]

    def test_a_stopped_container_can_be_committed_and_a_created_one_not(self):
        uuid = self.cloud.ask("POST", "/v1/containers", self.cloud.container_body("created"))["uuid"]
        self.addCleanup(self.delete, uuid)
        self.cloud.wait_status(uuid, "Created")
        answer = self.cloud.call("POST", f"/v1/containers/{uuid}/commit?repository=early")
        self.assertEqual(409, answer.status_code, answer.text)
        self.cloud.ask("POST", f"/v1/containers/{uuid}/start")
        self.cloud.wait_status(uuid, "Running")
        self.cloud.ask("POST", f"/v1/containers/{uuid}/stop")
        self.cloud.wait_status(uuid, "Stopped")
        self.assertEqual("active", self.settled(self.commit(uuid, "late"))["status"])
        self.assertEqual("Stopped", self.cloud.wait_status(uuid, "Stopped")["status"])

    def test_what_is_deleted_meanwhile_ends_the_action_with_its_reason(self):
        uuid = self.runs("doomed")["uuid"]
        self.cloud.engine.api.remove_container(self.one_in_docker(uuid)["Id"], force=True)
        answer = self.cloud.call("POST", f"/v1/containers/{uuid}/commit?repository=lost")
        if answer.status_code == 409:
            return
        image_id = answer.json()["uuid"]
        self.addCleanup(self.drop_image, image_id)
        self.assertEqual("killed", self.settled(image_id)["status"])
        (action, *_) = self.cloud.ask("GET", f"/v1/containers/{uuid}/container_actions")["containerActions"]
        self.assertEqual(("commit", "Error"), (action["action"], action["message"]))
        path = f"/v1/containers/{uuid}/container_actions/{action['request_id']}"
        self.assertIn("gone", self.cloud.ask("GET", path, cloud="admin")["events"][0]["traceback"])


class CommitFaultTest(ImageCase):
    """The agent dies while an image is made."""

    crash_points = True

    def test_an_agent_that_dies_makes_the_image_after_its_return_and_the_container_runs_on(self):
        for point in ("agent.commit.before", "agent.commit.made", "agent.commit.sent"):
            with self.subTest(point=point):
                uuid = self.runs(point.replace(".", "-"))["uuid"]
                self.cloud.arm_point(point)
                image_id = self.commit(uuid, point.replace(".", "-"))
                self.cloud.wait(lambda point=point: self.cloud.was_hit(point), f"{point} was reached")
                self.assertEqual("active", self.settled(image_id)["status"])
                self.cloud.wait_status(uuid, "Running")
                self.assertTrue(self.one_in_docker(uuid)["State"]["Running"])
                self.assertFalse(self.one_in_docker(uuid)["State"]["Paused"])


class CacheTest(ImageCase):
    settings = {
        **ImageCase.settings,
        "agent": {"image_cache_max_gib": "0", "resync_seconds": "1"},
    }

    def test_a_host_keeps_what_it_uses_and_no_more(self):
        images = []
        for name in ("stays", "goes"):
            made = self.marked(name)
            images.append(self.upload(b"".join(self.cloud.engine.api.get_image(made)), name=name))
            self.cloud.engine.api.remove_image(made)
        stays, goes = (f"zun-lite.invalid/image:{image}" for image in images)
        keeper, user = (self.runs(f"of-{image}", image=image, image_driver="glance")["uuid"] for image in images)
        self.delete(user)
        self.cloud.wait(lambda: goes not in self.names(), "what nobody uses is removed")
        self.assertIn(stays, self.names())
        self.delete(keeper)
        self.cloud.wait(lambda: stays not in self.names(), "what nobody uses is removed")
        self.assertIn("demo:latest", self.names())


class CleanTest(ImageCase):
    def test_clean_takes_back_what_was_brought_and_leaves_what_was_there(self):
        # without the label that images of this installation's own making bear
        self.cloud.engine.import_busybox("theirs:1")
        image_id = self.upload(b"".join(self.cloud.engine.api.get_image("theirs:1")), name="ours")
        name = f"zun-lite.invalid/image:{image_id}"
        self.runs("of-ours", image=image_id, image_driver="glance")
        self.assertIn(name, self.names())
        said = self.cloud.command("clean", "--yes")
        self.assertIn("images that were brought here removed: 1", said)
        self.assertNotIn(name, self.names())
        self.assertIn("theirs:1", self.names())

    @classmethod
    def tearDownClass(cls) -> None:
        """There is nothing left to audit."""

    def delete(self, uuid: str) -> None:
        """Clean did it."""

    def drop_image(self, image_id: str, *, cloud: str = "demo") -> None:
        """Clean did it."""
