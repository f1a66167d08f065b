# SPDX-License-Identifier: Apache-2.0
"""An OpenAPI document of the embedded services, from what is known of them: their routes and the names of fields.

The product describes its container API only. Here a body is an object of the fields that any request of the
service knows, each of whatever kind, so that what is read together is also sent together.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.api import test_volume_junk
from zun_lite.api.media import JSON
from zun_lite.api.network import floating_ips, networks, ports, qos, routers, security_groups, subnet_pools, subnets
from zun_lite.network.quotas import RESOURCES

SUBSETS = Path(__file__).resolve().parents[2] / "api-ref" / "source" / "subsets.json"
PATCH = "application/openstack-images-v2.1-json-patch"
STATUSES = (400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 429)
Schema = dict[str, Any]

_ANY: Schema = {
    "anyOf": [
        {"type": "string", "maxLength": 300},
        {"type": ["integer", "boolean", "null", "number"]},
        {"type": "array", "maxItems": 3, "items": {"type": ["string", "integer", "null"]}},
        {"type": "object", "maxProperties": 3, "additionalProperties": {"type": ["string", "null", "array"]}},
    ]
}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 20}
_TRUTH: Schema = {"enum": [True, False, "true", "no", None]}
_ADDRESS: Schema = {"enum": ["10.9.0.7", "10.9.0.1", "10.9.1.300", "fd00:9::7", "0.0.0.0", "::", "", "198.51.100.9"]}
_PREFIX: Schema = {
    "enum": ["10.9.0.0/24", "10.9.1.0/28", "10.9.0.0/33", "fd00:9::/64", "0.0.0.0/0", "10.9.0.5", "", "224.0.0.0/4"]
}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "maxItems": 3}


def _object(**fields: Schema) -> Schema:
    return {"type": "object", "properties": fields}


_KNOWN: dict[str, Schema] = {
    "name": _NAME,
    "cidr": _PREFIX,
    "remote_ip_prefix": _PREFIX,
    "prefixes": _list(_PREFIX),
    "ip_version": {"enum": [4, 6, "4", 5]},
    "gateway_ip": _ADDRESS,
    "floating_ip_address": _ADDRESS,
    "fixed_ip_address": _ADDRESS,
    "dns_nameservers": _list(_ADDRESS),
    "allocation_pools": _list(_object(start=_ADDRESS, end=_ADDRESS)),
    "host_routes": _list(_object(destination=_PREFIX, nexthop=_ADDRESS)),
    "routes": _list(_object(destination=_PREFIX, nexthop=_ADDRESS)),
    "fixed_ips": _list(_object(subnet_id=_NAME, ip_address=_ADDRESS)),
    "allowed_address_pairs": _list(_object(ip_address=_PREFIX, mac_address={"enum": ["fa:16:3e:00:00:09", "x"]})),
    "mac_address": {"enum": ["fa:16:3e:00:00:07", "ff:ff:ff:ff:ff:ff", "FA163E000007", ""]},
    "external_gateway_info": _object(network_id=_NAME, enable_snat=_TRUTH, external_fixed_ips=_ANY),
    "direction": {"enum": ["ingress", "egress", "up", None]},
    "ethertype": {"enum": ["IPv4", "IPv6", "ipv4", 4]},
    "protocol": {"enum": ["tcp", "udp", "icmp", 6, "6", 256, None, "ipv6-icmp", "x"]},
    "port_range_min": {"type": ["integer", "null"], "minimum": -2, "maximum": 70000},
    "port_range_max": {"type": ["integer", "null"], "minimum": -2, "maximum": 70000},
    "size": {"type": "integer", "minimum": -1, "maximum": 3},
    "new_size": {"type": "integer", "minimum": -1, "maximum": 5},
    "metadata": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": ["string", "null", "integer"]}},
    "tags": _list(_NAME),
    "roles": _list(_object(id=_NAME, name=_NAME)),
    "access_rules": _list(
        _object(
            path={"enum": ["/v1/containers", "/v1/**", "x", ""]},
            method={"enum": ["GET", "POST", "FETCH"]},
            service={"enum": ["container", "network", "x"]},
        )
    ),
    "disk_format": {"enum": ["raw", "qcow2", "x", None]},
    "container_format": {"enum": ["docker", "bare", "x", None]},
    "visibility": {"enum": ["private", "public", "shared", "community", "x"]},
    "interface": {"enum": ["public", "internal", "admin", "x"]},
    "expires_at": {"enum": ["2030-01-01T00:00:00Z", "2001-01-01T00:00:00.000000", "x", "9999-12-31T23:59:59Z", None]},
}
_IDENTITY_FIELDS = (
    "id", "name", "description", "enabled", "domain_id", "parent_id", "is_domain", "tags", "options", "password",
    "original_password", "default_project_id", "email", "type", "url", "interface", "region", "region_id",
    "service_id", "parent_region_id", "roles", "secret", "expires_at", "unrestricted", "access_rules", "project_id",
)  # fmt: skip
_IDENTITY_BODIES = {"application_credentials": "application_credential", "password": "user"}
_IMAGE_FIELDS = (
    "id", "name", "disk_format", "container_format", "min_disk", "min_ram", "visibility", "protected", "owner",
    "os_hidden", "tags", "size", "status", "a property of mine",
)  # fmt: skip
_PAGING = ("limit", "marker", "sort_key", "sort_dir", "name")
_QUERY: dict[str, tuple[str, ...]] = {
    "identity": (
        "name", "domain_id", "enabled", "effective", "user.id", "role.id", "scope.project.id", "include_names",
        "parents_as_list", "nocatalog",
    ),
    "network": (*_PAGING, "fields", "page_reverse", "tags", "not-tags", "network_id", "fixed_ips", "shared"),
    "volume": (*_PAGING, "sort", "offset", "with_count", "metadata", "all_tenants", "status", "usage", "name~"),
    "image": (*_PAGING, "sort", "visibility", "owner", "size_min", "created_at", "tag", "member_status"),
}  # fmt: skip


def document(url: str) -> Schema:
    """Of every route of the embedded services."""
    paths: dict[str, Schema] = {}
    for service, rows in json.loads(SUBSETS.read_text()).items():
        for method, path in rows:
            paths.setdefault(path, {})[method.lower()] = _operation(service, method, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "The embedded services", "version": "1"},
        "servers": [{"url": url}],
        "paths": paths,
    }


def _operation(service: str, method: str, path: str) -> Schema:
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 80}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    asked = [
        {"name": name, "in": "query", "schema": {"type": ["string", "integer", "boolean"]}}
        for name in (_QUERY[service] if method == "GET" else ("cascade", "force"))
    ]
    described: Schema = {
        "parameters": named + asked,
        "responses": {
            # 300: versions to choose from
            **{str(status): {"description": "done"} for status in (200, 201, 202, 203, 204, 300)},
            **{str(status): {"description": "refused"} for status in STATUSES},
        },
    }
    if method in ("POST", "PUT", "PATCH"):
        described["requestBody"] = {"content": _content(service, method, path)}
    return described


def _content(service: str, method: str, path: str) -> Schema:
    if path.endswith("/file"):
        return {"application/octet-stream": {"schema": {"type": "string", "maxLength": 200}}}
    if service == "image" and method == "PATCH":
        return {PATCH: {"schema": _json_patch()}}
    return {
        JSON: {
            "schema": {"identity": _identity, "network": _network, "volume": _volume, "image": _image}[service](path)
        }
    }


def _fields(names: Any, required: tuple[str, ...] = ()) -> Schema:
    ids = {name for name in names if name.endswith(("_id", "_uuid"))}
    properties = {
        name: _KNOWN.get(name) or ({"type": ["string", "null"], "maxLength": 64} if name in ids else _ANY)
        for name in names
    }
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": True}


def _one(path: str) -> str:
    """The word for one of what a path leads to: users/{ident} and users are user."""
    word = [part for part in path.split("/") if not part.startswith("{")][-1]
    return word.replace("-", "_").removesuffix("s") if not word.endswith("ies") else f"{word[:-3]}y"


def _keyed(key: str, schema: Schema) -> Schema:
    return {"type": "object", "properties": {key: schema}, "required": [key]}


def _identity(path: str) -> Schema:
    if path.endswith("/auth/tokens"):
        return _keyed("auth", _auth())
    if path.endswith("/tags"):
        return _keyed("tags", _ANY)
    key = _IDENTITY_BODIES.get(path.rsplit("/", 1)[-1]) or _one(path)
    return _keyed(key, _fields(_IDENTITY_FIELDS, ("name",)))


def _auth() -> Schema:
    domain = _object(id={"enum": ["default", "x"]}, name={"enum": ["Default", "x"]})
    user = _object(
        id=_NAME, name={"enum": ["demo", "x", "\u4e16"]}, password={"enum": ["demo's", "x", ""]}, domain=domain
    )
    scope = _object(
        project=_object(id=_NAME, name={"enum": ["demo", "admin", "x"]}, domain=domain),
        domain=domain,
        system=_object(all=_TRUTH),
    )
    methods = _list({"enum": ["password", "token", "application_credential", "x"]})
    credential = _object(id=_NAME, name=_NAME, secret=_NAME, user=user)
    return _object(
        identity=_object(
            methods=methods,
            password=_object(user=user),
            token=_object(id=_NAME),
            application_credential=credential,
        ),
        scope={"anyOf": [scope, {"const": "unscoped"}]},
    )


def _network(path: str) -> Schema:
    if path.endswith("/tags"):
        return _keyed("tags", _list(_NAME))
    if "/quotas/" in path:
        return _keyed("quota", _object(**dict.fromkeys(RESOURCES, _ANY)))
    if path.endswith(("_interface", "_extraroutes")):
        return {"anyOf": [_fields(("subnet_id", "port_id")), _keyed("router", _fields(("routes",)))]}
    tables = {
        "networks": networks.attributes(9000),
        "subnets": subnets.ATTRIBUTES,
        "subnetpools": subnet_pools.ATTRIBUTES,
        "ports": ports.ATTRIBUTES,
        "security-groups": security_groups.ATTRIBUTES,
        "security-group-rules": security_groups.RULE_ATTRIBUTES,
        "routers": routers.ATTRIBUTES,
        "floatingips": floating_ips.ATTRIBUTES,
        "policies": qos.ATTRIBUTES,
        "bandwidth_limit_rules": qos.LIMIT_ATTRIBUTES,
    }
    collection = [part for part in path.split("/") if not part.startswith("{")][-1]
    attributes = tables.get(collection, {"name": None})
    required = tuple(name for name, one in attributes.items() if one is not None and one.required)
    return _keyed(_one(path), _fields(tuple(attributes), required))


def _volume(path: str) -> Schema:
    if path.endswith("/action"):
        keys = [key for key in test_volume_junk.KEYS if key.startswith("os-") or key.endswith("Access")]
        values = {"anyOf": [_fields(test_volume_junk.FIELDS), {"type": "null"}]}
        return {"type": "object", "properties": dict.fromkeys(keys, values), "minProperties": 1, "maxProperties": 1}
    if "metadata" in path:
        return {"type": "object", "properties": dict.fromkeys(("metadata", "meta"), _KNOWN["metadata"])}
    key = next((key for word, key in _VOLUME_BODIES.items() if word in path), _one(path))
    return _keyed(key, _fields(test_volume_junk.FIELDS, ("size",) if key == "volume" else ()))


_VOLUME_BODIES = {
    "extra_specs": "extra_specs",
    "quota-sets": "quota_set",
    "quota-class": "quota_class_set",
    "types": "volume_type",
}


def _image(path: str) -> Schema:
    return _fields(_IMAGE_FIELDS)


def _json_patch() -> Schema:
    step = {
        "type": "object",
        "properties": {
            "op": {"enum": ["add", "replace", "remove", "move"]},
            "path": {"enum": [*(f"/{name}" for name in _IMAGE_FIELDS), "/", "", "/a/b", "/tags/-", "/tags/9", "/~2"]},
            "value": _ANY,
        },
        "required": ["op", "path"],
    }
    return _list(step)
