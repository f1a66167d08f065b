# SPDX-License-Identifier: Apache-2.0
"""What is wrong is refused, with a sentence that says what, and the service lives on."""

from __future__ import annotations

import json
import socket
from typing import Any

import requests

from tests.functional.case import PATIENT, CloudTestCase

MISSING = "00000000-0000-4000-8000-000000000000"


class BadInputTest(CloudTestCase):
    settings = {"quota": {"memory": "2048"}}

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.assert_alive)

    def assert_alive(self) -> None:
        self.assertEqual(200, self.cloud.call("GET", "/v1/containers").status_code)

    def refused(self, status: int, answer: requests.Response, *words: str) -> str:
        """The sentence of a refusal, which holds these words."""
        self.assertEqual(status, answer.status_code, answer.text)
        said = sentence_of(answer.json())
        for word in words:
            self.assertIn(word, said)
        return said

    def post(self, **changes: Any) -> requests.Response:
        body = {**self.cloud.container_body("bad", command=PATIENT), **changes}
        answer = self.cloud.call("POST", "/v1/containers?run=true", body)
        if answer.status_code == 202:
            self.addCleanup(self.delete, answer.json()["uuid"])
        return answer

    def raw(
        self, body: bytes, *, path: str = "/v1/containers", kind: str = "application/json", **headers: str
    ) -> requests.Response:
        told = {"X-Auth-Token": self.cloud.token(), "Content-Type": kind, "OpenStack-API-Version": "container 1.40"}
        return requests.post(f"{self.cloud.url}{path}", data=body, headers={**told, **headers}, timeout=60)

    # Who.

    def test_a_wrong_password_an_unknown_user_and_an_unknown_project_are_one_and_the_same_401(self):
        bodies = []
        for user, password, project in (
            ("demo", "wrong", "demo"),
            ("nobody", self.cloud.password("demo"), "demo"),
            ("demo", self.cloud.password("demo"), "nowhere"),
        ):
            domain = {"id": "default"}
            identity = {
                "methods": ["password"],
                "password": {"user": {"name": user, "domain": domain, "password": password}},
            }
            body = {"auth": {"identity": identity, "scope": {"project": {"name": project, "domain": domain}}}}
            answer = requests.post(f"{self.cloud.url}/identity/v3/auth/tokens", json=body, timeout=30)
            self.refused(401, answer)
            self.assertIn("Keystone uri=", answer.headers["WWW-Authenticate"])
            self.assertNotIn("X-Subject-Token", answer.headers)
            bodies.append(answer.json())
        self.assertEqual([bodies[0]] * 3, bodies)

    def test_without_a_token_or_with_a_made_up_one_nothing_is_told(self):
        for path in ("/v1/containers", "/network/v2.0/networks", "/volume/v3/volumes", "/identity/v3/projects"):
            for headers in ({}, {"X-Auth-Token": "made up"}):
                answer = requests.get(f"{self.cloud.url}{path}", headers=headers, timeout=30)
                self.assertEqual(401, answer.status_code, path)
                self.assertIn("Keystone uri=", answer.headers["WWW-Authenticate"])

    def test_another_projects_container_looks_as_if_it_did_not_exist(self):
        """A2."""
        network = self.cloud.make_network("10.80.0.0/24", name="theirs", cloud="admin")
        theirs = self.running("secret", cloud="admin", nets=[{"network": network}])["uuid"]
        for method, suffix in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/start"),
            ("POST", "/stop"),
            ("GET", "/logs"),
            ("GET", "/container_actions"),
            ("POST", "/execute?command=id"),
        ):
            said = self.refused(404, self.cloud.call(method, f"/v1/containers/{theirs}{suffix}"))
            missing = self.refused(404, self.cloud.call(method, f"/v1/containers/{MISSING}{suffix}"))
            self.assertEqual(missing.replace(MISSING, "it"), said.replace(theirs, "it"))
        self.refused(404, self.cloud.call("GET", "/v1/containers/secret"))
        self.assertNotIn(theirs, self.cloud.call("GET", "/v1/containers").text)
        self.assertEqual("Running", self.cloud.container(theirs, cloud="admin")["status"])

    def test_another_projects_network_and_volume_cannot_be_used(self):
        network = self.cloud.make_network("10.81.0.0/24", name="mine", cloud="admin")
        volume = self.cloud.make_volume(name="mine", cloud="admin")
        self.refused(404, self.post(nets=[{"network": network}]), network)
        self.refused(404, self.post(mounts=[{"source": volume, "destination": "/data"}]), volume)

    # What.

    def test_each_wrong_field_is_named(self):
        for field, value in (
            ("image", "Not An Image!"),
            ("image", "a//b"),
            ("image", ""),
            ("memory", "5"),
            ("memory", "lots"),
            ("memory", "-1"),
            ("cpu", "-1"),
            ("cpu", "many"),
            ("name", "!"),
            ("name", "x" * 300),
            ("command", "not a list"),
            ("environment", {"A": 1}),
            ("labels", "none"),
            ("restart_policy", {"Name": "sometimes"}),
            ("nets", [{}]),
            ("nets", [{"network": "n", "port": "p"}]),
            ("mounts", [{"source": "x"}]),
            ("hostname", "under score!"),
            ("unheard_of", 1),
        ):
            with self.subTest(field=field, value=value):
                said = self.refused(400, self.post(**{field: value}), field)
                self.assertGreater(len(said.split()), 3, said)
        self.assertEqual([], self.cloud.ask("GET", "/v1/containers")["containers"])

    def test_the_least_memory_that_docker_takes_is_taken(self):
        network = self.cloud.make_network("10.82.0.0/24", name="least")
        record = self.running("least", memory="6", nets=[{"network": network}])
        self.assertEqual(6 * 1024 * 1024, self.one_in_docker(record["uuid"])["HostConfig"]["Memory"])

    def test_a_field_that_a_microversion_does_not_know_is_refused_in_it(self):
        body = self.cloud.container_body("old", command="sh", entrypoint=["sh"])
        headers = {"X-Auth-Token": self.cloud.token(), "OpenStack-API-Version": "container 1.19"}
        answer = requests.post(f"{self.cloud.url}/v1/containers", json=body, headers=headers, timeout=30)
        self.refused(400, answer, "entrypoint")

    def test_a_bad_cidr_is_named(self):
        network = self.cloud.make_network("10.83.0.0/24", name="cidrs")
        for cidr in ("10.0.0.300/24", "10.0.0.0/33", "10.0.0.0", "all of it", "", None, 7):
            with self.subTest(cidr=cidr):
                body = {"subnet": {"network_id": network, "cidr": cidr, "ip_version": 4}}
                answer = self.cloud.call("POST", "/network/v2.0/subnets", body)
                self.assertEqual(400, answer.status_code, answer.text)
                self.assertRegex(sentence_of(answer.json()), r"(?i)cidr|10\.0\.0")
        overlapping = {"subnet": {"network_id": network, "cidr": "10.83.0.128/25", "ip_version": 4}}
        self.refused(400, self.cloud.call("POST", "/network/v2.0/subnets", overlapping), "overlaps with another subnet")

    def test_a_volume_without_a_sensible_size_is_refused(self):
        for size in (0, -1, "big", None, 1.5):
            with self.subTest(size=size):
                answer = self.cloud.call("POST", "/volume/v3/volumes", {"volume": {"size": size}})
                self.refused(400, answer, "size")

    def test_a_port_that_is_in_use_is_a_conflict(self):
        network = self.cloud.make_network("10.84.0.0/24", name="ports")
        port = self.cloud.ask("POST", "/network/v2.0/ports", {"port": {"network_id": network}})["port"]["id"]
        first = self.running("holder", nets=[{"port": port}])["uuid"]
        self.refused(409, self.post(nets=[{"port": port}]), port)
        self.delete(first)
        kept = self.cloud.ask("GET", f"/network/v2.0/ports/{port}")["port"]
        self.assertEqual("", kept["device_id"], "a user's own port is kept and free again")
        self.running("next", nets=[{"port": port}])

    def test_an_address_that_is_taken_is_a_conflict(self):
        network = self.cloud.make_network("10.85.0.0/24", name="addresses")
        body = {"port": {"network_id": network, "fixed_ips": [{"ip_address": "10.85.0.50"}]}}
        self.cloud.ask("POST", "/network/v2.0/ports", body)
        answer = self.cloud.call("POST", "/network/v2.0/ports", body)
        self.refused(409, answer, "10.85.0.50")

    def test_an_image_that_is_nowhere_ends_in_error_and_delete_releases_port_volume_and_claim(self):
        network = self.cloud.make_network("10.86.0.0/24", name="imageless")
        volume = self.cloud.make_volume(name="imageless")
        fields = {
            "image": "nowhere.invalid/nothing:1",
            "memory": "2000",
            "nets": [{"network": network}],
            "mounts": [{"source": volume, "destination": "/data"}],
        }
        uuid = self.post(**fields).json()["uuid"]
        record = self.cloud.wait_status(uuid, "Error")
        self.assertIn("nowhere.invalid/nothing", record["status_reason"])
        self.assertEqual(1, len(self.ports_of(uuid)))
        over = self.cloud.call("POST", "/v1/containers", self.cloud.container_body("over", memory="2000"))
        self.refused(403, over, "memory")

        self.assertEqual(204, self.cloud.call("DELETE", f"/v1/containers/{uuid}").status_code)
        self.cloud.wait_gone(uuid)
        self.assertEqual([], self.ports_of(uuid))
        self.assertEqual("available", self.volume(volume)["status"])
        self.assertEqual([], self.cloud.in_docker(uuid))
        self.running("fits", memory="2000", nets=[{"network": network}])

    def test_a_verb_in_the_wrong_state_is_a_conflict(self):
        network = self.cloud.make_network("10.87.0.0/24", name="states")
        uuid = self.running("state", nets=[{"network": network}])["uuid"]
        said = self.refused(409, self.cloud.call("POST", f"/v1/containers/{uuid}/start"), "Running")
        self.assertIn(uuid, said)
        self.refused(409, self.cloud.call("DELETE", f"/v1/containers/{uuid}"))
        self.assertTrue(self.one_in_docker(uuid)["State"]["Running"])

    # How.

    def test_microversions_that_do_not_exist_are_406(self):
        for version in ("container 1.41", "container 2.0", "container 1.0", "container x", "compute 2.1", "1.40"):
            with self.subTest(version=version):
                headers = {"X-Auth-Token": self.cloud.token(), "OpenStack-API-Version": version}
                answer = requests.get(f"{self.cloud.url}/v1/containers", headers=headers, timeout=30)
                self.assertEqual(406, answer.status_code, answer.text)
        headers = {"X-Auth-Token": self.cloud.token(), "OpenStack-API-Version": "container latest"}
        answer = requests.get(f"{self.cloud.url}/v1/containers", headers=headers, timeout=30)
        self.assertEqual((200, "container 1.40"), (answer.status_code, answer.headers["OpenStack-API-Version"]))

    def test_methods_that_a_path_does_not_have_are_405_and_paths_that_are_not_there_404(self):
        for method, path in (("PUT", "/v1/containers"), ("DELETE", "/v1/containers"), ("PATCH", "/network/v2.0/ports")):
            self.assertEqual(405, self.cloud.call(method, path).status_code, f"{method} {path}")
        for path in ("/v1/nothing", "/nothing", "/network/v2.0/nothing", "/volume/v3/nothing", "/identity/v3/nothing"):
            self.assertEqual(404, self.cloud.call("GET", path).status_code, path)

    def test_a_body_that_is_too_large_is_413(self):
        """D9."""
        answer = self.raw(b'{"image": "demo", "name": "' + b"x" * (2 << 20) + b'"}')
        self.assertEqual(413, answer.status_code, answer.text)

    def test_a_body_that_is_no_json_object_is_400(self):
        for body in (b"{", b"[1]", b'"x"', b"null", b"\xff\xfe", b"", b"{}", b'{"image": NaN}'):
            with self.subTest(body=body):
                self.refused(400, self.raw(body))
                for path in ("/network/v2.0/networks", "/volume/v3/volumes"):
                    self.assertEqual(400, self.raw(body, path=path).status_code, path)
                auth = requests.post(
                    f"{self.cloud.url}/identity/v3/auth/tokens",
                    data=body,
                    headers={"Content-Type": "application/json"},
                    timeout=30,
                )
                self.assertEqual(400, auth.status_code, auth.text)

    def test_a_body_that_is_nested_too_deeply_is_refused(self):
        depth = 100_000
        for body in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            for path in ("/v1/containers", "/network/v2.0/networks", "/identity/v3/auth/tokens"):
                answer = self.raw(body, path=path)
                self.assertIn(answer.status_code, (400, 413), answer.text[:200])

    def test_another_content_type_is_415(self):
        self.refused(415, self.raw(json.dumps(self.cloud.container_body("x")).encode(), kind="text/plain"))

    def test_half_a_request_does_not_hold_up_the_others(self):
        for _ in range(20):
            sock = socket.create_connection(("127.0.0.1", self.cloud.port), timeout=10)
            self.addCleanup(sock.close)
            sock.sendall(b"POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        self.assert_alive()


def sentence_of(body: dict[str, Any]) -> str:
    """What a refusal says, in whichever service's form."""
    if "errors" in body:
        return body["errors"][0]["detail"] or body["errors"][0]["title"]
    if "NeutronError" in body:
        return body["NeutronError"]["message"]
    return next(iter(body.values()))["message"]
