# SPDX-License-Identifier: Apache-2.0
"""Who gets what answer on every route: asked of the API itself, with objects of the project demo in the paths.

`python -m tests.api.policy_matrix` writes policy_matrix.txt anew; read what changed in it before it is kept.
A body is one that would do, where the table below has one, so that a refusal is by the rule and not by
the body. After whatever succeeded the database is put back.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import unittest
import uuid
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.api.case import ApiTestCase
from tests.api.routing import methods_of, table_of
from tests.functional.capsules import container, template
from zun_lite.common import grants
from zun_lite.db import hosts, roles
from zun_lite.db import identity as rows
from zun_lite.domain import errors
from zun_lite.identity import passwords

FILE = Path(__file__).with_name("policy_matrix.txt")
IDENTITIES = (
    "anonymous",
    "no-role",
    "reader",
    "member",
    "manager",
    "admin",
    "system",
    "other",
    "host",
    "service",
)
PASSWORD = "the matrix' own"
HEAD = """\
# Which answer each identity gets on each route: 'python -m tests.api.policy_matrix' writes this anew.
# Objects in paths are the project demo's. no-role: a user without any; reader, member, manager, admin: in demo;
# system: an administrator everywhere; other: a member of another project; service: of the service project.
"""


class Matrix:
    """case: a test in its setUp's state, on SQLite."""

    def __init__(self, case: ApiTestCase) -> None:
        self._case = case
        for verb in ("top", "stats", "get_archive", "put_archive", "resize", "create_exec", "resize_exec"):
            setattr(case.agents, verb, _silent)
        self._headers = self._identities()
        self._objects = self._some_objects()
        self._path = case.db.engine.url.database
        self._keep()

    def rows(self) -> list[str]:
        found = []
        for route, resource, suffix in table_of(self._case.services):
            for method in methods_of(resource, suffix):
                answers = [self._answer(method, route, identity) for identity in IDENTITIES]
                found.append(f"{method:6} {route:100} {' '.join(map(str, answers))}".rstrip())
        return sorted(found, key=lambda row: row.split()[1::-1])

    def _answer(self, method: str, route: str, identity: str) -> int:
        path, query = self._place(route)
        body = self._body(method, route)
        headers = {"OpenStack-API-Version": "container 1.40", **self._headers[identity]}
        if route == "/identity/v3/auth/tokens" and method in ("GET", "HEAD", "DELETE"):
            headers["X-Subject-Token"] = self._case.token("demo")
        sent = b"" if method in ("GET", "HEAD", "DELETE") else json.dumps(body).encode()
        headers["Content-Type"] = _content_type(method, route)
        answer = self._case.client.simulate_request(
            method, path, headers=headers, body=sent, query_string=query, remote_addr="127.0.0.1"
        )
        if method not in ("GET", "HEAD") and answer.status_code < 400:
            self._put_back()
        return answer.status_code

    def _place(self, route: str) -> tuple[str, str]:
        """(path, query) with ids that exist, where there can be any."""
        path = route
        for beginning, values in self._objects.items():
            if route == beginning or route.startswith(beginning + "/"):
                for name, value in values.items():
                    path = path.replace("{" + name + "}", value)
        for name in ("{tag}", "{key}", "{alias}", "{name}"):
            path = path.replace(name, "some")
        while "{" in path:
            path = path[: path.index("{")] + str(uuid.UUID(int=0)) + path[path.index("}") + 1 :]
        return path, QUERIES.get(route.rpartition("/")[2], "")

    def _body(self, method: str, route: str) -> Any:
        body = BODIES.get((method, route), {})
        return body(self._objects) if callable(body) else body

    def _identities(self) -> dict[str, dict[str, str]]:
        case = self._case
        with case.db.read() as tx:
            demo = rows.find_projects(tx, name="demo")[0].id
            service = (rows.find_projects(tx, name="service") or rows.find_projects(tx, name="admin"))[0].id
        places = {"reader": demo, "member": demo, "manager": demo, "admin": demo, "service": service, "no-role": None}

        def add(tx) -> None:
            for role, project in places.items():
                user_id = uuid.uuid4().hex
                rows.add_user(tx, user_id, "default", f"the-{role}", passwords.hashed(PASSWORD))
                if project is not None:
                    roles.assign(tx, user_id, roles.PROJECT, project, roles.named(tx, [role])[0].id)

        case.db.transact(add)
        found: dict[str, dict[str, str]] = {"anonymous": {}}
        for role, project in places.items():
            scope = {"project": {"id": project}} if project else "unscoped"
            found[role] = self._token(f"the-{role}", PASSWORD, scope)
        found["other"] = {"X-Auth-Token": case.token("other")}
        found["system"] = self._token("admin", None, {"system": {"all": True}})
        found["host"] = {"Authorization": f"Node {self._host_token()}"}
        return found

    def _token(self, user: str, password: str | None, scope: Any) -> dict[str, str]:
        answer = self._case.log_in(user, password, scope)
        self._case.assertEqual(201, answer.status_code, answer.text)
        return {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    def _host_token(self) -> str:
        key, host = Ed25519PrivateKey.generate(), self._case.host.uuid
        values = hosts.hosts.update().where(hosts.hosts.c.uuid == host).values(public_key=grants.public_text(key))
        self._case.db.transact(lambda tx: tx.execute(values))
        return grants.sign(key, grants.API_AUDIENCE, {"sub": host}, self._case.clock)

    def _some_objects(self) -> dict[str, dict[str, str]]:
        """What a route's parameters stand for, by the beginning of the route; longer beginnings first."""
        case = self._case
        made = functools.partial(self._make, "demo")
        record = case.running("one", interactive=True)
        demo, user = record["project_id"], record["user_id"]
        network = made("/network/v2.0/networks", {"network": {"name": "n"}})
        subnet = made(
            "/network/v2.0/subnets", {"subnet": {"network_id": network, "cidr": "10.9.0.0/24", "ip_version": 4}}
        )
        volume = made("/volume/v3/volumes", {"volume": {"size": 1}})
        with case.db.read() as tx:
            role = roles.named(tx, ["reader"])[0].id
        admin = functools.partial(self._make, "admin")
        policy = admin("/network/v2.0/qos/policies", {"policy": {"name": "p"}})
        v3 = "/identity/v3"
        found = {
            "/v1/containers/{ident}": record["uuid"],
            "/v1/capsules/{ident}": made("/v1/capsules", {"template": template("cap", container())}),
            "/v1/registries/{ident}": made("/v1/registries", {"registry": {"domain": "r.example.org", "name": "rr"}}),
            "/v1/hosts/{ident}": case.host.uuid,
            "/network/v2.0/networks/{ident}": network,
            "/network/v2.0/subnets/{ident}": subnet,
            "/network/v2.0/subnetpools/{ident}": made(
                "/network/v2.0/subnetpools", {"subnetpool": {"name": "s", "prefixes": ["10.99.0.0/16"]}}
            ),
            "/network/v2.0/ports/{ident}": made("/network/v2.0/ports", {"port": {"network_id": network}}),
            "/network/v2.0/security-groups/{ident}": made(
                "/network/v2.0/security-groups", {"security_group": {"name": "g"}}
            ),
            "/network/v2.0/routers/{ident}": made("/network/v2.0/routers", {"router": {"name": "rr"}}),
            "/network/v2.0/qos/policies/{ident}": policy,
            "/network/v2.0/policies/{ident}": policy,
            "/volume/v3/volumes/{ident}": volume,
            "/image/v2/images/{ident}": made(
                "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "docker"}
            ),
            f"{v3}/projects/{{ident}}": demo,
            f"{v3}/OS-INHERIT/projects/{{ident}}": demo,
            f"{v3}/users/{{ident}}": user,
            f"{v3}/groups/{{ident}}": admin(f"{v3}/groups", {"group": {"name": "g"}}),
            f"{v3}/roles/{{ident}}": role,
            f"{v3}/services/{{ident}}": admin(f"{v3}/services", {"service": {"type": "t", "name": "t"}}),
            f"{v3}/domains/{{ident}}": admin(f"{v3}/domains", {"domain": {"name": "d"}}),
        }
        objects = {beginning: {"ident": value} for beginning, value in found.items()}
        rule = {"security_group_id": found["/network/v2.0/security-groups/{ident}"], "direction": "ingress"}
        objects["/network/v2.0/security-group-rules/{ident}"] = {
            "ident": made("/network/v2.0/security-group-rules", {"security_group_rule": rule})
        }
        for beginning in ("/v1/quotas", "/network/v2.0/quotas", "/volume/v3/os-quota-sets"):
            objects[beginning] = {"project_id": demo}
        objects["/node/v1/workloads/{uuid}"] = {"uuid": record["uuid"]}
        objects[v3] = {"actor_id": user, "user_id": user, "role_id": role, "implied_id": role}
        return objects

    def _make(self, user: str, path: str, body: dict[str, Any]) -> str:
        answer = self._case.call("POST", path, body, user=user)
        self._case.assertLess(answer.status_code, 300, f"{path}: {answer.text}")
        inner = answer.json if "id" in answer.json or "uuid" in answer.json else next(iter(answer.json.values()))
        return inner.get("uuid") or inner["id"]

    def _keep(self) -> None:
        self._copy(self._path, f"{self._path}.kept")

    def _put_back(self) -> None:
        self._copy(f"{self._path}.kept", self._path)

    def _copy(self, source: str, target: str) -> None:
        self._case.db.engine.dispose()
        with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target)) as other:
            one.backup(other)


def _content_type(method: str, route: str) -> str:
    if route.endswith("/file"):
        return "application/octet-stream"
    if method == "PATCH" and route.startswith("/image/"):
        return "application/openstack-images-v2.1-json-patch"
    return "application/json"


def _silent(*_: Any, **__: Any) -> None:
    raise errors.Unavailable("The host does not answer.")


def _of(beginning: str):
    return lambda objects: objects[beginning]["ident"]


# what stands behind the last part of a route, without which it is no question
QUERIES = {
    "rename": "name=another",
    "execute": "command=ls",
    "network_attach": "network=private",
    "network_detach": "network=private",
    "add_security_group": "name=default",
    "remove_security_group": "name=default",
    "commit": "repository=a&tag=b",
    "resize": "h=1&w=1",
    "execute_resize": "exec_id=" + "0" * 64 + "&h=1&w=1",
    "get_archive": "path=/tmp",
    "put_archive": "path=/tmp",
    "services": "host=host1&binary=zun-compute",
}
_SERVICE = {"host": "host1", "binary": "zun-compute"}
_V3, _V2, _VOLUME = "/identity/v3", "/network/v2.0", "/volume/v3"
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/containers"): {"image": "demo", "memory": 64},
    ("PATCH", "/v1/containers/{ident}"): {"memory": "64"},
    ("POST", "/v1/containers/{ident}/put_archive"): {"data": ""},
    ("POST", "/v1/capsules"): {"template": template("made", container())},
    ("POST", "/v1/registries"): {"registry": {"domain": "q.example.org", "name": "qq"}},
    ("PATCH", "/v1/registries/{ident}"): {"registry": {"name": "qq"}},
    ("POST", "/v1/images"): {"repo": "nginx", "host": "host1"},
    ("POST", "/v1/networks"): lambda objects: {"neutron_net_id": _of(f"{_V2}/networks/{{ident}}")(objects)},
    ("PUT", "/v1/services/enable"): _SERVICE,
    ("PUT", "/v1/services/disable"): _SERVICE,
    ("PUT", "/v1/services/force_down"): {**_SERVICE, "forced_down": False},
    ("PUT", "/v1/quotas/{project_id}"): {"containers": 3},
    ("PUT", "/v1/quota_classes/{name}"): {"containers": 3},
    ("POST", f"{_V3}/domains"): {"domain": {"name": "made"}},
    ("POST", f"{_V3}/projects"): {"project": {"name": "made"}},
    ("POST", f"{_V3}/users"): {"user": {"name": "made", "password": "a long one"}},
    ("POST", f"{_V3}/groups"): {"group": {"name": "made"}},
    ("POST", f"{_V3}/roles"): {"role": {"name": "made"}},
    ("POST", f"{_V3}/services"): {"service": {"type": "made", "name": "made"}},
    ("POST", f"{_V3}/regions"): {"region": {"id": "made"}},
    ("POST", f"{_V3}/endpoints"): lambda objects: {
        "endpoint": {
            "interface": "public",
            "url": "http://made.example",
            "service_id": _of(f"{_V3}/services/{{ident}}")(objects),
        }
    },
    ("POST", f"{_V3}/users/{{ident}}/application_credentials"): {"application_credential": {"name": "made"}},
    ("POST", f"{_V3}/users/{{ident}}/password"): {"user": {"password": "new one", "original_password": "wrong"}},
    ("PUT", f"{_V3}/projects/{{ident}}/tags"): {"tags": ["a"]},
    **{
        ("PATCH", f"{_V3}/{kind}s/{{ident}}"): {kind: {"description": "made"}}
        for kind in ("domain", "project", "user", "group", "role", "service", "region", "endpoint")
    },
    ("POST", f"{_V2}/networks"): {"network": {"name": "made"}},
    ("POST", f"{_V2}/subnets"): lambda objects: {
        "subnet": {
            "network_id": _of(f"{_V2}/networks/{{ident}}")(objects),
            "cidr": "10.8.0.0/24",
            "ip_version": 4,
        }
    },
    ("POST", f"{_V2}/subnetpools"): {"subnetpool": {"name": "made", "prefixes": ["10.7.0.0/16"]}},
    ("POST", f"{_V2}/ports"): lambda objects: {"port": {"network_id": _of(f"{_V2}/networks/{{ident}}")(objects)}},
    ("POST", f"{_V2}/security-groups"): {"security_group": {"name": "made"}},
    ("POST", f"{_V2}/security-group-rules"): lambda objects: {
        "security_group_rule": {
            "security_group_id": _of(f"{_V2}/security-groups/{{ident}}")(objects),
            "direction": "egress",
            "protocol": "tcp",
        }
    },
    ("POST", f"{_V2}/routers"): {"router": {"name": "made"}},
    ("PUT", f"{_V2}/routers/{{ident}}/add_router_interface"): lambda objects: {
        "subnet_id": _of(f"{_V2}/subnets/{{ident}}")(objects)
    },
    ("PUT", f"{_V2}/routers/{{ident}}/remove_router_interface"): lambda objects: {
        "subnet_id": _of(f"{_V2}/subnets/{{ident}}")(objects)
    },
    ("PUT", f"{_V2}/routers/{{ident}}/add_extraroutes"): {"router": {"routes": []}},
    ("PUT", f"{_V2}/routers/{{ident}}/remove_extraroutes"): {"router": {"routes": []}},
    ("POST", f"{_V2}/qos/policies"): {"policy": {"name": "made"}},
    ("POST", f"{_V2}/qos/policies/{{ident}}/bandwidth_limit_rules"): {"bandwidth_limit_rule": {"max_kbps": 1000}},
    ("PUT", f"{_V2}/quotas/{{project_id}}"): {"quota": {"network": 3}},
    **{
        ("PUT", f"{_V2}/{kind}/{{ident}}"): {name: {"name": "made"}}
        for kind, name in (
            ("networks", "network"),
            ("subnets", "subnet"),
            ("subnetpools", "subnetpool"),
            ("ports", "port"),
            ("security-groups", "security_group"),
            ("routers", "router"),
            ("qos/policies", "policy"),
        )
    },
    **{
        ("PUT", f"{_V2}/{kind}/{{ident}}/tags"): {"tags": ["a"]}
        for kind in ("networks", "subnets", "subnetpools", "ports", "security-groups", "routers", "policies")
    },
    ("POST", f"{_VOLUME}/volumes"): {"volume": {"size": 1}},
    ("PUT", f"{_VOLUME}/volumes/{{ident}}"): {"volume": {"name": "made"}},
    ("POST", f"{_VOLUME}/volumes/{{ident}}/action"): {"os-set_bootable": {"bootable": True}},
    ("POST", f"{_VOLUME}/volumes/{{ident}}/metadata"): {"metadata": {"a": "b"}},
    ("PUT", f"{_VOLUME}/volumes/{{ident}}/metadata"): {"metadata": {"a": "b"}},
    ("POST", f"{_VOLUME}/snapshots"): lambda objects: {
        "snapshot": {"volume_id": _of(f"{_VOLUME}/volumes/{{ident}}")(objects)}
    },
    ("POST", f"{_VOLUME}/types"): {"volume_type": {"name": "made"}},
    ("PUT", f"{_VOLUME}/os-quota-sets/{{project_id}}"): {"quota_set": {"volumes": 3}},
    ("PUT", f"{_VOLUME}/os-quota-class-sets/{{name}}"): {"quota_class_set": {"volumes": 3}},
    ("POST", "/image/v2/images"): {"name": "made", "disk_format": "raw", "container_format": "docker"},
    ("PATCH", "/image/v2/images/{ident}"): [{"op": "replace", "path": "/name", "value": "made"}],
}


class _Writing(ApiTestCase):
    def test_write(self) -> None:
        columns = " ".join(IDENTITIES)
        FILE.write_text(f"{HEAD}# {columns}\n" + "\n".join(Matrix(self).rows()) + "\n")


if __name__ == "__main__":
    result = unittest.TextTestRunner().run(_Writing("test_write"))
    os._exit(0 if result.wasSuccessful() else 1)
