# SPDX-License-Identifier: Apache-2.0
"""An operator's image policy holds wherever an image can be named: create, rebuild, capsules, images of hosts."""

from __future__ import annotations

from dataclasses import replace

from tests.api.case import ApiTestCase
from tests.functional.capsules import container, template
from zun_lite.domain.image_policy import ImagePolicy

DIGEST = "sha256:" + "0" * 64


class ImagePolicyTest(ApiTestCase):
    def adopt(self, policy: ImagePolicy) -> None:
        self.means = replace(self.means, image_policy=policy)
        self.services = replace(self.services, means=self.means)
        self.client = self.make_client()

    def test_it_holds_for_all_ways_to_name_an_image(self):
        made = self.running("before", image="evil/app:1")["uuid"]
        self.adopt(ImagePolicy(allowed=("docker.io/library/*",), require_digest=True))
        good, bad = f"nginx@{DIGEST}", f"evil/app@{DIGEST}"
        for image, status in ((good, 202), (bad, 400), ("nginx:1", 400)):
            body = {"template": template("some", container(image=image))}
            pulled = {"repo": image.partition("@")[0], "host": self.host.name}
            for method, path, sent, user in (
                ("POST", "/v1/containers", {"image": image, "memory": 64}, "demo"),
                ("POST", "/v1/capsules", body, "demo"),
                ("POST", "/v1/images", pulled, "admin"),
            ):
                if path == "/v1/images":
                    status = 400
                answer = self.call(method, path, sent, user=user)
                self.assertEqual(status, answer.status_code, f"{path} {image}: {answer.text}")
        for query, status in (("", 400), (f"?image={bad}", 400), (f"?image={good}", 202)):
            answer = self.call("POST", f"/v1/containers/{made}/rebuild{query}")
            self.assertEqual(status, answer.status_code, f"{query}: {answer.text}")
        glance = self.call("POST", "/v1/containers", {"image": "x", "image_driver": "glance", "memory": 64})
        self.assertNotIn("not allowed in this cloud", glance.text)
        self.adopt(ImagePolicy(image_service=False))
        glance = self.call("POST", "/v1/containers", {"image": "x", "image_driver": "glance", "memory": 64})
        self.assertEqual(400, glance.status_code)
        self.assertIn("not allowed in this cloud", glance.text)
