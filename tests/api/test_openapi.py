# SPDX-License-Identifier: Apache-2.0
"""The description of the container API against the API itself: routes, schemas, microversions and answers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import openapi_spec_validator

from tests.api.case import ApiTestCase
from tests.builders import a_host
from zun_lite.api import openapi, policy, routes
from zun_lite.api.described import parameters
from zun_lite.api.described.operations import EVERY, Operation
from zun_lite.api.token_cache import TokenCache

SAMPLES = Path(__file__).resolve().parents[2] / "api-ref" / "source" / "samples"
SUBSETS = SAMPLES.parent / "subsets.json"
IDS = {
    "container": "4b1f1d0e-7f2b-4d5f-9d3a-3f1d6a1f2b11",
    "capsule": "4b1f1d0e-7f2b-4d5f-9d3a-3f1d6a1f2b12",
    "image": "4b1f1d0e-7f2b-4d5f-9d3a-3f1d6a1f2b13",
    "registry": "4b1f1d0e-7f2b-4d5f-9d3a-3f1d6a1f2b14",
    "request": "req-4b1f1d0e-7f2b-4d5f-9d3a-3f1d6a1f2b15",
    "host": "nowhere",
    "network": "4b1f1d0e-7f2b-4d5f-9d3a-3f1d6a1f2b16",
    "project": "4b1f1d0e7f2b4d5f9d3a3f1d6a1f2b17",
    "class": "default",
}
TEMPLATE = {
    "kind": "capsule",
    "metadata": {"name": "pod", "labels": {"app": "shop"}},
    "spec": {"containers": [{"image": "demo", "command": ["sleep", "60"], "resources": {"requests": {"memory": 64}}}]},
}


class DescriptionTest(ApiTestCase):
    def path(self, operation: Operation, **ids: str) -> str:
        return re.sub(r"{(\w+)}", lambda name: {**IDS, **ids}[name[1]], operation.path)

    def test_the_document_is_served_to_everybody_and_valid(self) -> None:
        answer = self.client.simulate_get("/v1/openapi.json")
        self.assertEqual(200, answer.status_code)
        openapi_spec_validator.validate(answer.json)
        self.assertEqual("3.1.0", answer.json["openapi"])

    def test_every_route_is_described_and_nothing_else_is(self) -> None:
        table = routes.routes(self.services, TokenCache(self.identity, self.clock), policy.Policy())
        self.assertEqual([], openapi.check(table))
        self.assertIn(
            "GET /v1/teapots is served and not described", openapi.check([*table, ("/v1/teapots", self.A(), None)])
        )

    def test_the_subsets_pages_name_what_is_served(self) -> None:
        served: dict[str, list[list[str]]] = {name: [] for name in ("identity", "network", "volume", "image")}
        for path, resource, suffix in routes.routes(
            self.services, TokenCache(self.identity, self.clock), policy.Policy()
        ):
            rows = served.get(path.split("/")[1])
            for method in ("get", "post", "put", "patch", "delete") if rows is not None else ():
                if hasattr(resource, f"on_{method}_{suffix}" if suffix else f"on_{method}"):
                    rows.append([method.upper(), path])
        if os.environ.get("ZUN_LITE_WRITE_DOCS"):
            lines = [
                f'"{name}": [\n' + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n]"
                for name, rows in served.items()
            ]
            SUBSETS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        self.assertEqual(json.loads(SUBSETS.read_text()), served)

    class A:
        def on_get(self, req, resp) -> None:
            """A route that nobody described."""

    def test_parameters_are_those_that_are_read(self) -> None:
        told = 0
        for operation in EVERY:
            if operation.public:
                continue
            answer = self.call(
                operation.method, self.path(operation), user="admin", params={"teapot": "1"}, **self.spoken(operation)
            )
            known = re.search(
                r"Known here are: (.*)\.$",
                answer.text and answer.json["errors"][0]["detail"] if answer.status_code >= 400 else "",
            )
            if known is None:
                continue
            told += 1
            names = set() if known[1] == "none" else set(known[1].split(", "))
            described = {parameters.WIRE.get(name, name) for name in operation.query}
            if operation.body:
                described |= set(operation.body["properties"])
            if operation.path == "/v1/containers" and operation.method == "POST":
                described = {"run"}
            self.assertEqual(names, described, operation.name)
        self.assertGreater(told, 10)

    def spoken(self, operation: Operation, minor: int | None = None) -> dict[str, Any]:
        minor = minor or operation.until
        body = {} if operation.method in ("POST", "PUT", "PATCH") else None
        return {"version": f"1.{minor}", "body": body}

    def test_microversions_are_those_at_which_it_is_served(self) -> None:
        bounded = 0
        for operation in EVERY:
            for minor in {operation.since - 1, operation.until + 1} - {0, 41}:
                answer = self.call(
                    operation.method, self.path(operation), user="admin", **self.spoken(operation, minor)
                )
                self.assertEqual(406, answer.status_code, (operation.name, minor, answer.text))
                bounded += 1
            for minor in (operation.since, operation.until):
                answer = self.call(
                    operation.method, self.path(operation), user="admin", **self.spoken(operation, minor)
                )
                self.assertNotEqual(406, answer.status_code, (operation.name, minor, answer.text))
        self.assertGreater(bounded, 8)

    def test_what_must_be_there_must(self) -> None:
        container = self.create()["uuid"]
        self.observe({"uuid": container})
        for operation in EVERY:
            if operation.required:
                answer = self.call(
                    operation.method,
                    self.path(operation, container=container),
                    user="demo" if "{container}" in operation.path else "admin",
                    **self.spoken(operation),
                )
                self.assertEqual(400, answer.status_code, (operation.name, answer.text))

    def test_errors_have_the_shape_that_is_described(self) -> None:
        for path, version in (
            ("/v1/containers/nowhere", "1.40"),
            ("/v1/containers?teapot=1", "1.40"),
            ("/v1/containers", "1.99"),
        ):
            answer = self.call(
                "GET", path.partition("?")[0], version=version, params={"teapot": "1"} if "?" in path else None
            )
            jsonschema.validate(answer.json, {**openapi.document("http://x")["components"]["schemas"]["Error"]})

    def test_a_request_without_a_good_token_is_answered_as_described(self) -> None:
        described = openapi.document("http://x")["components"]
        name = described["responses"]["401"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        for headers in ({}, {"X-Auth-Token": "gAAAAA"}):
            answer = self.client.simulate_get("/v1/containers", headers=headers)
            self.assertEqual(401, answer.status_code)
            jsonschema.validate(answer.json, described["schemas"][name])

    def test_a_list_says_that_its_marker_may_be_gone(self) -> None:
        for operation in EVERY:
            if "marker" in operation.query:
                answer = self.call("GET", operation.path, user="admin", params={"marker": IDS["container"]})
                self.assertIn(answer.status_code, openapi.errors_of(operation), (operation.name, answer.text))

    def test_whoever_is_asked_by_a_name_says_that_several_may_bear_it(self) -> None:
        self.create("twin")
        self.create("twin")
        for operation in EVERY:
            if operation.method == "GET" and operation.path.startswith("/v1/containers/{container}"):
                answer = self.call("GET", self.path(operation, container="twin"), **self.spoken(operation))
                self.assertIn(answer.status_code, openapi.errors_of(operation), (operation.name, answer.text))

    def test_what_a_new_registry_must_have_is_described(self) -> None:
        (operation,) = (item for item in EVERY if item.name == "post_registries")
        described = jsonschema.Draft202012Validator(operation.body)
        for fields in ({"domain": "registry.example.org"}, {"name": "ours"}):
            answer = self.call("POST", operation.path, {"registry": fields})
            self.assertEqual(answer.status_code == 201, described.is_valid({"registry": fields}), answer.text)

    def test_what_is_described_as_a_key_for_repeating_is_taken_and_nothing_else(self) -> None:
        described = openapi.document("http://x")["components"]["parameters"]["idempotency"]["schema"]
        for key in ("a", "!~", "k" * 255, "a b", "\u00e9", "k" * 256):
            answer = self.call("POST", "/v1/capsules", {}, headers={"Idempotency-Key": key.encode().decode("latin-1")})
            refused = "Idempotency-Key" in answer.json["errors"][0]["title"]
            self.assertNotEqual(refused, jsonschema.Draft202012Validator(described).is_valid(key), (key, answer.text))


class AnswersTest(ApiTestCase):
    """Each request once, as it should be; what is answered is held against its schema and kept as a sample."""

    def setUp(self) -> None:
        super().setUp()
        self.seen: dict[str, Any] = {}
        self.by_name = {operation.name: operation for operation in EVERY}

    def do(self, name: str, body: Any = None, *, user: str = "demo", **ids: Any) -> Any:
        """Perform one operation; ids: of the path; query: as query."""
        operation = self.by_name[name]
        query = ids.pop("query", {})
        self.assertLessEqual(set(query), {parameters.WIRE.get(key, key) for key in operation.query}, name)
        path = re.sub(r"{(\w+)}", lambda key: ids[key[1]], operation.path)
        if operation.body is not None:
            jsonschema.validate(body, operation.body)
        answer = self.call(operation.method, path, body, user=user, version=f"1.{operation.until}", params=query)
        self.assertEqual(operation.status, answer.status_code, (name, answer.text))
        if operation.answer is None:
            self.assertIn(answer.text, ("", "null"), name)
        else:
            jsonschema.validate(answer.json, operation.answer)
        self.seen[name] = (body, answer.json if answer.text else None)
        return answer.json if answer.text else None

    def test_every_request_is_answered_as_described(self) -> None:
        self.do("get_root")
        self.do("get_v1")
        self.do("get_openapi_json")
        self.seen.pop("get_openapi_json")
        self.containers()
        self.capsules()
        self.registries()
        self.cloud()
        left = {operation.name for operation in EVERY} - set(self.seen) - {"get_openapi_json"}
        self.assertEqual(self.NOT_HERE, left)
        self.keep_samples()

    # What needs a host's agent; functional tests see their answers.
    NOT_HERE = {
        "get_containers_top",
        "get_containers_stats",
        "get_containers_get_archive",
        "post_containers_put_archive",
        "get_containers_attach",
        "post_containers_resize",
        "post_containers_execute_resize",
    }

    def containers(self) -> None:
        made = self.do(
            "post_containers",
            {
                "name": "web",
                "image": "demo",
                "command": ["sleep", "60"],
                "memory": 64,
                "cpu": 0.5,
                "environment": {"LANG": "C.UTF-8"},
                "restart_policy": {"Name": "on-failure", "MaximumRetryCount": "2"},
                "healthcheck": {"cmd": "true", "interval": 30},
            },
            query={"run": "true"},
        )
        one = {"container": made["uuid"]}
        self.observe(made)
        self.do("get_containers", query={"limit": "2", "sort_key": "created_at", "sort_dir": "desc"})
        self.do("get_containers_one", **one)
        self.do("patch_containers_one", {"memory": "128"}, **one)
        self.do("post_containers_execute", query={"command": "hostname"}, **one)
        self.do("get_containers_logs", query={"tail": "10"}, **one)
        self.do("post_containers_commit", query={"repository": "mine", "tag": "v1"}, **one)
        self.do("get_containers_explanation", **one)
        self.do("get_containers_network_list", **one)
        self.do("post_containers_rename", query={"name": "shop"}, **one)
        for verb in ("network_attach", "network_detach"):
            self.do(f"post_containers_{verb}", query={"network": "back"}, **one)
        for verb in ("add_security_group", "remove_security_group"):
            self.do(f"post_containers_{verb}", query={"name": "default"}, **one)
        self.observe(made)
        self.do("post_containers_resize_container", {"cpu": 0.7}, **one)
        for verb, state, query in (
            ("pause", "paused", {}),
            ("unpause", "running", {}),
            ("kill", "running", {"signal": "TERM"}),
            ("reboot", "running", {"timeout": "1"}),
            ("stop", "exited", {"timeout": "1"}),
            ("start", "running", {}),
            ("rebuild", "running", {"image": "demo"}),
        ):
            self.do(f"post_containers_{verb}", query=query, **one)
            self.observe(made, state)
        actions = self.do("get_containers_container_actions", **one)["containerActions"]
        self.do("get_containers_container_actions_one", request=actions[-1]["request_id"], **one)
        self.do("delete_containers_one", query={"stop": "true"}, **one)

    def capsules(self) -> None:
        made = self.do("post_capsules", {"template": TEMPLATE})
        self.do("get_capsules", query={"limit": "1"})
        self.do("get_capsules_one", capsule=made["uuid"])
        self.do("delete_capsules_one", capsule=made["uuid"])

    def registries(self) -> None:
        fields = {"name": "ours", "domain": "registry.example.org", "username": "robot", "password": "secret"}
        made = self.do("post_registries", {"registry": fields})["registry"]["uuid"]
        self.do("get_registries")
        self.do("get_registries_one", registry=made)
        self.do("patch_registries_one", {"registry": {"username": "other"}}, registry=made)
        self.do("delete_registries_one", registry=made)

    def cloud(self) -> None:
        admin, host = {"user": "admin"}, self.host.name
        image = self.do("post_images", {"repo": "demo", "tag": "v2", "host": host}, **admin)["uuid"]
        self.do("get_images", **admin)
        self.do("get_images_one", image=image, **admin)
        self.do("delete_images_one", image=image, **admin)
        self.do("get_images_search", image="demo", query={"exact_match": "true"})
        self.do("get_hosts", **admin)
        self.do("get_hosts_one", host=host, **admin)
        self.do("get_services", **admin)
        service = {"host": host, "binary": "zun-compute"}
        self.do("put_services_disable", query={**service, "disabled_reason": "new disks"}, **admin)
        self.do("put_services_enable", query=service, **admin)
        self.do("put_services_force_down", query={**service, "forced_down": "true"}, **admin)
        self.do("put_services_force_down", query={**service, "forced_down": "false"}, **admin)
        self.do("get_availability_zones")
        net = self.do("post_networks", {"name": "known", "neutron_net_id": IDS["network"]}, **admin)
        self.do("delete_networks_one", network=net["neutron_net_id"], **admin)
        project = {"project": self.log_in("demo").json["token"]["project"]["id"]}
        self.do("get_quotas_defaults", **project, **admin)
        self.do("put_quotas_one", query={"containers": "5", "memory": "2048"}, **project, **admin)
        self.do("get_quotas_one", query={"usages": "true"}, **project)
        self.do("delete_quotas_one", **project, **admin)
        self.do("put_quota_classes_one", query={"containers": "50"}, **{"class": "default"}, **admin)
        self.do("get_quota_classes_one", **{"class": "default"}, **admin)
        empty = a_host(self.means, "host2").name
        self.do("delete_services", query={"host": empty, "binary": "zun-compute"}, **admin)

    def keep_samples(self) -> None:
        """The samples of the reference: written when asked to, else held against what was seen by their fields."""
        write = os.environ.get("ZUN_LITE_WRITE_DOCS")
        for name, (body, answered) in self.seen.items():
            for kind, value in (("request", body), ("response", answered)):
                path = SAMPLES / f"{name}_{kind}.json"
                if value is None:
                    self.assertFalse(path.exists(), path)
                elif write:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps(value, indent=2) + "\n")
                else:
                    self.assertEqual(_shape(json.loads(path.read_text())), _shape(value), path)


def _shape(value: Any) -> Any:
    """The names of fields, all the way down."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return [_shape(item) for item in value[:1]] if isinstance(value, list) else None
