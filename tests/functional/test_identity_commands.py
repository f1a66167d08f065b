# SPDX-License-Identifier: Apache-2.0
"""Each identity command of the unmodified `openstack` client does what it says, by the record that is read back."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from typing import Any

import requests

from tests.functional.case import ClientsTestCase

V3 = "/identity/v3"
NEW_PASSWORD = "a-password-of-the-tests"


class IdentityRecordsCommandsTest(ClientsTestCase):
    def say(self, *words: str, check: bool = True) -> Any:
        """A command of the administrator's."""
        return self.clients.openstack(*words, cloud="admin", check=check)

    def seen(self, *words: str) -> Any:
        return self.shown(*words, cloud="admin")

    def record(self, path: str) -> Any:
        return self.cloud.ask("GET", f"{V3}/{path}", cloud="admin")

    def status(self, path: str) -> int:
        return self.status_of(f"{V3}/{path}", cloud="admin")

    def name(self, noun: str) -> str:
        return f"{noun}-{uuid.uuid4().hex[:6]}"

    def made(self, noun: str, *words: str) -> dict[str, Any]:
        """A new record by `openstack NOUN create`; deleted at the end of the test."""
        made: dict[str, Any] = self.seen(*noun.split(), "create", *words)
        self.addCleanup(self.say, *noun.split(), "delete", made["id"], check=False)
        return made

    def sign_in(self, name: str, password: str, scope: Any = None) -> requests.Response:
        user = {"name": name, "password": password, "domain": {"id": "default"}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        return requests.post(f"{self.cloud.url}{V3}/auth/tokens", json={"auth": auth}, timeout=30)

    def test_a_domain(self):
        name = self.name("domain")
        made = self.made("domain", "--description", "of the tests", name)
        self.assertEqual((name, True), (made["name"], made["enabled"]))
        self.assertIn(name, [each["Name"] for each in self.seen("domain", "list")])
        self.assertEqual(made["id"], self.seen("domain", "show", name)["id"])
        self.assertNotEqual(0, self.say("domain", "delete", name, check=False).code)
        self.say("domain", "set", "--disable", "--description", "no more", name)
        record = self.record(f"domains/{made['id']}")["domain"]
        self.assertEqual((False, "no more"), (record["enabled"], record["description"]))
        self.say("domain", "delete", name)
        self.assertEqual(404, self.status(f"domains/{made['id']}"))

    def test_a_project(self):
        name = self.name("project")
        made = self.made("project", "--property", "colour=blue", "--tag", "one", name)
        self.assertEqual(
            ("default", "default", False, True),
            (made["domain_id"], made["parent_id"], made["is_domain"], made["enabled"]),
        )
        child = self.made("project", "--parent", name, self.name("child"))
        self.assertEqual(made["id"], child["parent_id"])
        self.assertIn(name, [each["Name"] for each in self.seen("project", "list", "--domain", "default")])
        listed = self.seen("project", "list", "--parent", name)
        self.assertEqual([child["id"]], [each["ID"] for each in listed])
        self.assertEqual([name], [each["Name"] for each in self.seen("project", "list", "--tags", "one")])
        shown = self.seen("project", "show", "--children", name)
        self.assertEqual((made["id"], ["one"]), (shown["id"], shown["tags"]))
        self.assertIn(child["id"], json.dumps(shown["subtree"]))
        self.say("project", "set", "--name", f"{name}-2", "--property", "colour=red", "--tag", "two", name)
        record = self.record(f"projects/{made['id']}")["project"]
        self.assertEqual((f"{name}-2", "red", ["one", "two"]), (record["name"], record["colour"], record["tags"]))
        self.assertNotEqual(0, self.say("project", "delete", made["id"], check=False).code)
        self.say("project", "delete", child["id"])
        self.say("project", "delete", made["id"])
        self.assertEqual(404, self.status(f"projects/{made['id']}"))

    def test_a_user(self):
        name = self.name("user")
        words = ("--email", "u@example.org", "--project", "demo", "--password", NEW_PASSWORD, "--description", "one")
        made = self.made("user", *words, name)
        self.assertEqual(("u@example.org", "one"), (made["email"], made["description"]))
        self.assertNotIn("password", made)
        self.assertEqual(201, self.sign_in(name, NEW_PASSWORD).status_code)
        self.assertIn(name, [each["Name"] for each in self.seen("user", "list", "--domain", "default")])
        self.assertEqual(made["id"], self.seen("user", "show", name)["id"])
        self.say("user", "set", "--email", "v@example.org", "--password", "another-one", name)
        self.assertEqual(401, self.sign_in(name, NEW_PASSWORD).status_code)
        subject = self.sign_in(name, "another-one").headers["X-Subject-Token"]
        self.assertEqual("v@example.org", self.record(f"users/{made['id']}")["user"]["email"])
        self.say("user", "set", "--disable", name)
        self.assertEqual(401, self.sign_in(name, "another-one").status_code)
        self.say("user", "set", "--enable", name)
        self.assertEqual(201, self.sign_in(name, "another-one").status_code)
        headers = {"X-Auth-Token": self.cloud.token("admin"), "X-Subject-Token": subject}
        revived = requests.get(f"{self.cloud.url}{V3}/auth/tokens", headers=headers, timeout=10)
        self.assertEqual(404, revived.status_code)
        self.say("user", "delete", name)
        self.assertEqual(404, self.status(f"users/{made['id']}"))

    def test_a_user_changes_its_own_password(self):
        name = self.name("user")
        self.made("user", "--password", NEW_PASSWORD, "--project", "demo", name)
        self.say("role", "add", "--user", name, "--project", "demo", "member")
        options = {"--os-username": name, "--os-password": NEW_PASSWORD, "--os-project-name": "demo"}
        words = [word for pair in options.items() for word in pair]
        change = ("user", "password", "set", "--original-password", NEW_PASSWORD, "--password", "a-new-one")
        self.say(*words, *change)
        self.assertEqual(401, self.sign_in(name, NEW_PASSWORD).status_code)
        self.assertEqual(201, self.sign_in(name, "a-new-one").status_code)

    def test_a_group_its_members_and_what_they_may_by_it(self):
        group, user = self.name("group"), self.name("user")
        made = self.made("group", "--description", "all", group)
        self.made("user", "--password", NEW_PASSWORD, user)
        self.assertIn(group, [each["Name"] for each in self.seen("group", "list")])
        self.assertEqual(made["id"], self.seen("group", "show", group)["id"])
        self.say("group", "set", "--description", "some", group)
        self.assertEqual("some", self.record(f"groups/{made['id']}")["group"]["description"])
        self.say("role", "add", "--group", group, "--project", "demo", "reader")
        scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        self.assertEqual(401, self.sign_in(user, NEW_PASSWORD, scope).status_code)
        self.say("group", "add", "user", group, user)
        self.assertIn("in group", self.say("group", "contains", "user", group, user).stdout)
        self.assertEqual([user], [each["Name"] for each in self.seen("user", "list", "--group", group)])
        self.assertEqual([group], [each["Name"] for each in self.seen("group", "list", "--user", user)])
        token = self.sign_in(user, NEW_PASSWORD, scope).json()["token"]
        self.assertEqual(["reader"], [role["name"] for role in token["roles"]])
        effective = self.seen("role", "assignment", "list", "--user", user, "--effective", "--names")
        self.assertEqual([("reader", "demo@Default")], [(each["Role"], each["Project"]) for each in effective])
        self.say("group", "remove", "user", group, user)
        self.assertEqual(401, self.sign_in(user, NEW_PASSWORD, scope).status_code)
        self.say("role", "remove", "--group", group, "--project", "demo", "reader")
        self.say("group", "delete", group)
        self.assertEqual(404, self.status(f"groups/{made['id']}"))

    def test_a_role_and_what_it_implies(self):
        name = self.name("role")
        made = self.made("role", "--description", "watches", name)
        self.assertIn(name, [each["Name"] for each in self.seen("role", "list")])
        self.assertEqual("watches", self.seen("role", "show", name)["description"])
        self.say("implied", "role", "create", name, "--implied-role", "reader")
        implied = self.seen("implied", "role", "list")
        self.assertIn((name, "reader"), [(each["Prior Role Name"], each["Implied Role Name"]) for each in implied])
        self.say("implied", "role", "delete", name, "--implied-role", "reader")
        self.say("role", "set", "--name", f"{name}-2", name)
        self.assertEqual(f"{name}-2", self.record(f"roles/{made['id']}")["role"]["name"])
        self.say("role", "delete", f"{name}-2")
        self.assertEqual(404, self.status(f"roles/{made['id']}"))
        self.assertNotEqual(0, self.say("role", "delete", "member", check=False).code)

    def test_role_assignments_in_a_project_a_domain_and_the_system(self):
        name = self.name("user")
        user = self.made("user", "--password", NEW_PASSWORD, name)
        for where in (("--project", "demo"), ("--domain", "default"), ("--system", "all")):
            self.say("role", "add", "--user", name, *where, "manager")
            listed = self.seen("role", "assignment", "list", "--user", name, *where, "--names")
            self.assertEqual(["manager"], [each["Role"] for each in listed], where)
            self.assertEqual([f"{name}@Default"], [each["User"] for each in listed], where)
        token = self.sign_in(name, NEW_PASSWORD, {"domain": {"id": "default"}}).json()["token"]
        self.assertEqual(["manager", "member", "reader"], sorted(role["name"] for role in token["roles"]))
        self.say("role", "add", "--user", name, "--domain", "default", "--inherited", "reader")
        self.assertEqual(5, len(self.record(f"role_assignments?user.id={user['id']}")["role_assignments"]) + 1)
        inherited = self.seen("role", "assignment", "list", "--user", name, "--inherited", "--names")
        self.assertEqual([("reader", True)], [(each["Role"], each["Inherited"]) for each in inherited])
        own = self.seen("user", "list", "--project", "demo")
        self.assertIn(name, [each["Name"] for each in own])
        for where in (("--project", "demo"), ("--domain", "default"), ("--system", "all")):
            self.say("role", "remove", "--user", name, *where, "manager")
        self.say("role", "remove", "--user", name, "--domain", "default", "--inherited", "reader")
        self.assertEqual([], self.record(f"role_assignments?user.id={user['id']}")["role_assignments"])

    def test_a_service_and_its_endpoints_are_in_the_catalogue(self):
        kind, region = self.name("kind"), self.name("region")
        service = self.made("service", "--name", "svc", "--description", "none", kind)
        self.assertIn(service["id"], [each["ID"] for each in self.seen("service", "list")])
        self.assertEqual(kind, self.seen("service", "show", service["id"])["type"])
        self.say("service", "set", "--name", "renamed", service["id"])
        self.assertEqual("renamed", self.record(f"services/{service['id']}")["service"]["name"])
        self.seen("region", "create", "--description", "far", region)
        self.assertIn(region, [each["Region"] for each in self.seen("region", "list")])
        self.say("region", "set", "--description", "near", region)
        self.assertEqual("near", self.seen("region", "show", region)["description"])
        url = "http://192.0.2.1:1/v1/%(project_id)s"
        endpoint = self.made("endpoint", "--region", region, service["id"], "public", url)
        listed = self.seen("endpoint", "list", "--service", service["id"])
        self.assertEqual([endpoint["id"]], [each["ID"] for each in listed])
        self.assertEqual(url, self.seen("endpoint", "show", endpoint["id"])["url"])
        token = self.sign_in("demo", self.cloud.password("demo")).json()["token"]
        (shown,) = [each for each in token["catalog"] if each["type"] == kind]
        expected = url.replace("%(project_id)s", token["project"]["id"])
        self.assertEqual([(expected, region)], [(each["url"], each["region"]) for each in shown["endpoints"]])
        self.say("endpoint", "set", "--disable", endpoint["id"])
        token = self.sign_in("demo", self.cloud.password("demo")).json()["token"]
        self.assertEqual([[]], [each["endpoints"] for each in token["catalog"] if each["type"] == kind])
        self.say("endpoint", "delete", endpoint["id"])
        self.say("region", "delete", region)
        self.say("service", "delete", service["id"])
        self.assertEqual(404, self.status(f"services/{service['id']}"))

    def test_the_first_catalogue_is_listed_by_service_and_endpoint(self):
        kinds = {each["Type"] for each in self.seen("service", "list")}
        self.assertLessEqual({"identity", "network", "block-storage", "volumev3", "image", "container"}, kinds)
        listed = self.seen("endpoint", "list")
        self.assertEqual(18, len([each for each in listed if each["Region"] == "RegionOne"]))
        self.assertEqual(["RegionOne"], [each["Region"] for each in self.seen("region", "list")])

    def test_keys_are_rotated_under_a_running_api_and_no_token_ends(self):
        tokens = [self.cloud.take_token("demo")]
        for _ in range(3):
            said = self.cloud.program("manage", "identity", "rotate")
            self.assertIn("encrypts from now on", said)
            tokens.append(self.cloud.take_token("demo"))
        for token in tokens:
            answer = requests.get(f"{self.cloud.url}/v1/containers", headers={"X-Auth-Token": token}, timeout=10)
            self.assertEqual(200, answer.status_code)

    def test_a_lost_password_is_set_by_the_operator(self):
        made = self.cloud.program("manage", "identity", "bootstrap")
        self.assertEqual("", made)
        environment = {**self.cloud.environment, "ZUN_LITE_DEMO_PASSWORD": NEW_PASSWORD}
        command = [sys.executable, "-m", "zun_lite.cmd.manage", "identity", "bootstrap"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual("password of user demo\n", done.stdout)
        self.assertEqual(201, self.sign_in("demo", NEW_PASSWORD).status_code)
        environment["ZUN_LITE_DEMO_PASSWORD"] = self.cloud.password("demo")
        subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
        self.assertEqual(201, self.sign_in("demo", self.cloud.password("demo")).status_code)

    def test_application_credentials_and_access_rules(self):
        name = self.name("credential")
        rule = [{"service": "container", "method": "GET", "path": "/v1/containers/**"}]
        words = ("--role", "reader", "--expiration", "2100-01-01T00:00:00", "--access-rules", json.dumps(rule))
        made = self.shown("application", "credential", "create", *words, name)
        self.assertTrue(made["Secret"])
        listed = self.shown("application", "credential", "list")
        self.assertIn(name, [each["Name"] for each in listed])
        shown = self.shown("application", "credential", "show", name)
        self.assertEqual(("2100-01-01T00:00:00.000000", False), (shown["Expires At"], shown["Unrestricted"]))
        self.assertNotIn("Secret", shown)
        rules = self.shown("access", "rule", "list")
        self.assertEqual([("container", "GET")], [(each["Service"], each["Method"]) for each in rules])
        refused = self.clients.openstack("access", "rule", "delete", rules[0]["ID"], check=False)
        self.assertNotEqual(0, refused.code)
        auth = {
            "--os-auth-type": "v3applicationcredential",
            "--os-application-credential-id": made["ID"],
            "--os-application-credential-secret": made["Secret"],
            "--os-auth-url": f"{self.cloud.url}/identity",
        }
        by = [word for pair in auth.items() for word in pair]
        issued = self.clients.openstack(*by, "token", "issue", "-f", "json", cloud="").json()
        headers = {"X-Auth-Token": issued["id"]}
        for path, status in (("/v1/containers", 403), ("/v1/containers/none", 404), (f"{V3}/users", 403)):
            answer = requests.get(f"{self.cloud.url}{path}", headers=headers, timeout=10)
            self.assertEqual(status, answer.status_code, path)
        self.clients.openstack("application", "credential", "delete", name)
        path = f"{self.cloud.url}{V3}/auth/projects"
        # Another worker of the API may believe the token for some seconds more.
        self.cloud.wait(lambda: requests.get(path, headers=headers, timeout=10).status_code == 401, "refused", 10)
        self.clients.openstack("access", "rule", "delete", rules[0]["ID"])
        self.assertEqual([], self.shown("access", "rule", "list"))
