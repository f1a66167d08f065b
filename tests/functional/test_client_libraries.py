# SPDX-License-Identifier: Apache-2.0
"""Programs written against openstacksdk, python-zunclient and keystonemiddleware find a cloud they know."""

from __future__ import annotations

import json
from typing import Any

import requests

from tests.functional.case import PATIENT, ClientsTestCase

SDK = """
import json, openstack
conn = openstack.connect(cloud="demo")
network = conn.network.create_network(name="sdk-net")
subnet = conn.network.create_subnet(network_id=network.id, name="sdk-sub", ip_version=4, cidr="10.60.0.0/24")
volume = conn.block_storage.create_volume(name="sdk-vol", size=1)
conn.block_storage.wait_for_status(volume, "available", interval=0.1, wait=30)
told = {
    "token": len(conn.authorize()) > 20,
    "project": conn.current_project.name,
    "user": conn.identity.get_user(conn.current_user_id).name,
    "networks": [found.name for found in conn.network.networks()],
    "found": conn.network.find_network("sdk-net").id == network.id,
    "subnets": [found.cidr for found in conn.network.subnets(network_id=network.id)],
    "volumes": [found.name for found in conn.block_storage.volumes()],
    "types": [found.name for found in conn.block_storage.types()],
}
conn.block_storage.delete_volume(volume)
conn.block_storage.wait_for_delete(volume, interval=0.1, wait=30)
conn.network.delete_network(network)
told["left"] = [found.name for service in (conn.network.networks, conn.block_storage.volumes) for found in service()]
print(json.dumps(told))
"""
ZUNCLIENT = """
import json, time, openstack
from zunclient import client
zun = client.Client("1", session=openstack.connect(cloud="demo").session)
made = zun.containers.run(name="zc", image="demo:latest", command=COMMAND, cpu="0.1", memory="16",
                          nets=[{"network": "zc-net"}])
while (found := zun.containers.get(made.uuid)).status == "Creating" or found.task_state:
    time.sleep(0.05)
told = {
    "uuid": made.uuid,
    "status": found.status,
    "listed": [each.name for each in zun.containers.list()],
    "executed": zun.containers.execute(made.uuid, command="echo from inside", run=True, interactive=False),
    "logs": zun.containers.logs(made.uuid, stdout=True, stderr=True),
    "actions": [each.action for each in zun.actions.list(made.uuid)],
}
zun.containers.delete(made.uuid, stop=True)
print(json.dumps(told))
"""
MIDDLEWARE = """
import json
from keystonemiddleware import auth_token
told = []
def app(environ, start_response):
    names = "IDENTITY_STATUS", "PROJECT_NAME", "USER_NAME", "ROLES"
    told.append({name: environ.get(f"HTTP_X_{name}") for name in names})
    start_response("200 OK", [])
    return [b""]
guarded = auth_token.AuthProtocol(app, CONF)
def ask(token, path="/", **headers):
    answers = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "1",
               "wsgi.url_scheme": "http", "HTTP_X_AUTH_TOKEN": token, "HTTP_X_PROJECT_NAME": "forged", **headers}
    list(guarded(environ, lambda status, headers, *_: answers.append((status, dict(headers)))))
    return answers[0]
good, bad = ask(TOKEN), ask("gAAAAAbogus")
bound = [ask(BOUND, path, **more)[0] for path, more in (
    ("/v1/containers", {}), ("/v1/services", {}), ("/v1/services", {"HTTP_X_SERVICE_TOKEN": SERVICE})
)]
print(json.dumps({"good": good, "seen": told[:1], "bad": bad, "bound": bound}))
"""


class ClientLibrariesTest(ClientsTestCase):
    def told(self, code: str, **values: Any) -> Any:
        """What a program, with these values as its globals, prints as JSON."""
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        return json.loads(self.clients.python(given + code).stdout)

    def test_openstacksdk_connects_by_the_clouds_name_and_works(self):
        told = self.told(SDK)
        self.assertEqual(
            (True, "demo", "demo", True, ["10.60.0.0/24"]),
            (told["token"], told["project"], told["user"], told["found"], told["subnets"]),
        )
        self.assertIn("sdk-net", told["networks"])
        self.assertIn("sdk-vol", told["volumes"])
        self.assertTrue(told["types"])
        self.assertNotIn("sdk-net", told["left"])
        self.assertNotIn("sdk-vol", told["left"])

    def test_zunclient_runs_a_container_by_its_python_api(self):
        self.cloud.make_network("10.61.0.0/24", name="zc-net")
        told = self.told(ZUNCLIENT, COMMAND=PATIENT)
        self.addCleanup(self.delete, told["uuid"])
        self.assertEqual("Running", told["status"])
        self.assertIn("zc", told["listed"])
        self.assertEqual((0, "from inside\n"), (told["executed"]["exit_code"], told["executed"]["output"]))
        self.assertIn("hello", told["logs"])
        self.assertEqual(["create"], told["actions"])
        self.cloud.wait_gone(told["uuid"])
        self.assertEqual([], self.cloud.in_docker(told["uuid"]))

    def bound_token(self) -> str:
        """A token of demo's that is good for the list of containers only."""
        user_id = self.cloud.ask("GET", "/identity/v3/users?name=demo")["users"][0]["id"]
        rules = [{"service": "container", "method": "GET", "path": "/v1/containers"}]
        body = {"application_credential": {"name": "bound", "access_rules": rules}}
        made = self.cloud.ask("POST", f"/identity/v3/users/{user_id}/application_credentials", body)
        proof = {key: made["application_credential"][key] for key in ("id", "secret")}
        auth = {"identity": {"methods": ["application_credential"], "application_credential": proof}}
        answer = requests.post(f"{self.cloud.url}/identity/v3/auth/tokens", json={"auth": auth}, timeout=30)
        return answer.headers["X-Subject-Token"]

    def service_token(self) -> str:
        """A token with the role service, which admin gets in its own project for it."""
        records = {
            noun: self.cloud.ask("GET", f"/identity/v3/{noun}s?name={name}", cloud="admin")[f"{noun}s"][0]["id"]
            for noun, name in (("user", "admin"), ("project", "admin"), ("role", "service"))
        }
        path = "/identity/v3/projects/{project}/users/{user}/roles/{role}".format(**records)
        self.cloud.ask("PUT", path, cloud="admin")
        return self.cloud.take_token("admin")

    def test_keystonemiddleware_validates_tokens_by_their_rules_too_and_refuses_a_made_up_one(self):
        conf = {
            "auth_type": "password",
            "auth_url": f"{self.cloud.url}/identity",
            "www_authenticate_uri": f"{self.cloud.url}/identity",
            "username": "admin",
            "password": self.cloud.password("admin"),
            "project_name": "admin",
            "user_domain_id": "default",
            "project_domain_id": "default",
            "service_type": "container",
            "service_token_roles_required": "true",
        }
        tokens = {"TOKEN": self.cloud.token("demo"), "BOUND": self.bound_token(), "SERVICE": self.service_token()}
        told = self.told(MIDDLEWARE, CONF=conf, **tokens)
        self.assertEqual("200 OK", told["good"][0])
        (seen,) = told["seen"]
        self.assertEqual(
            ("Confirmed", "demo", "demo"), (seen["IDENTITY_STATUS"], seen["PROJECT_NAME"], seen["USER_NAME"])
        )
        self.assertIn("member", seen["ROLES"].split(","))
        status, headers = told["bad"]
        self.assertTrue(status.startswith("401"), status)
        self.assertIn("/identity", headers["WWW-Authenticate"])
        self.assertEqual(["200 OK", "401 Unauthorized", "200 OK"], told["bound"])
