# SPDX-License-Identifier: Apache-2.0
"""Every request of the container API: what it is for, what it takes, what it is answered with.

One row a method of a route. Tests hold the rows against the routes, the policy's rules and the schemas, and the
OpenAPI document and the API reference are made of them. Nothing decides by what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zun_lite.api.container import capsule_schema, images, networks, registries, schema
from zun_lite.api.described import parameters
from zun_lite.api.described.answers import (
    ACTION,
    ACTIONS,
    ARCHIVE,
    ATTACH,
    CAPSULE,
    CAPSULES,
    COMMITTED,
    CONTAINER,
    CONTAINERS,
    EXECUTED,
    EXPLANATION,
    FOUND_IMAGES,
    HOST,
    HOST_IMAGE,
    HOST_IMAGES,
    HOSTS,
    LIMITS,
    NETWORK,
    NETWORKS,
    REGISTRIES,
    REGISTRY,
    SERVICE,
    SERVICES,
    STATS,
    TEXT,
    TOP,
    VERSION,
    VERSIONS,
    ZONES,
    Schema,
)
from zun_lite.api.versions import MAXIMUM_MINOR, MINIMUM_MINOR


@dataclass(frozen=True)
class Operation:
    """One request. path: with the names of parameters.PATH. query: names of parameters.QUERY; POST and PUT take
    them as keys of a JSON body as well. body: the JSON schema that it is checked by, if it has a body of its own.
    status: of success. answer: the JSON schema of what comes then, None for nothing. errors: statuses besides those
    that every request may be answered with. since, until: microversions 1.N. required: of the query.
    """

    method: str
    path: str
    title: str
    status: int
    query: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    body: Schema | None = None
    answer: Schema | None = None
    errors: tuple[int, ...] = ()
    since: int = MINIMUM_MINOR
    until: int = MAXIMUM_MINOR
    note: str = ""
    public: bool = False

    @property
    def name(self) -> str:
        """A name of its own, such as post_containers_start."""
        words = [word for word in self.path.split("/")[2:] if word and not word.startswith("{")]
        one = "one" if self.path.endswith("}") else ""
        if len(self.path) <= len("/v1"):
            words = [self.path.strip("/") or "root"]
        return "_".join(filter(None, [self.method.lower(), *words, one])).replace(".", "_")


def _fields(known: Any, required: tuple[str, ...] = (), **schemas: Schema) -> Schema:
    """An object of strings, as resources check them that have no schema."""
    usual = {"type": ["string", "null"], "maxLength": 255}
    return {
        "type": "object",
        "properties": {name: schemas.get(name, usual) for name in known},
        "required": list(required),
        "additionalProperties": False,
    }


_ONE = "/v1/containers/{container}"
_LIMITS = ("limit_of_containers", "limit_of_cpu", "limit_of_memory", "limit_of_disk")
_CHANGE = schema.change_definition()


def _registry(*required: str) -> Schema:
    fields = _fields(registries.FIELDS, required)
    return {"type": "object", "properties": {"registry": fields}, "required": ["registry"]}


_RUNS = (404, 409, 503)


def _verb(verb: str, title: str, **more: Any) -> Operation:
    return Operation("POST", f"{_ONE}/{verb}", title, 202, errors=(404, 409), **more)


DOCUMENTS = (
    Operation("GET", "/", "List the versions of the API", 200, answer=VERSIONS, public=True),
    Operation("GET", "/v1", "Show version 1 of the API", 200, answer=VERSION, public=True),
    Operation(
        "GET",
        "/v1/openapi.json",
        "Show this API as an OpenAPI document",
        200,
        answer={"type": "object"},
        public=True,
        note="The document is made of the schemas by which requests are checked.",
    ),
)
CONTAINERS_OF_PROJECTS = (
    Operation(
        "POST",
        "/v1/containers",
        "Create a container",
        202,
        query=("run",),
        body=schema.create_definition(MAXIMUM_MINOR),
        answer=CONTAINER,
        errors=(404, 409, 415),
        note="The answer comes once the request is recorded; the container's status tells how far it is. With the "
        "header Idempotency-Key the same request may be sent again without making a second container.",
    ),
    Operation(
        "GET", "/v1/containers", "List containers", 200, query=parameters.CONTAINER_LIST, answer=CONTAINERS,
        errors=(404,),
    ),
    Operation("GET", _ONE, "Show a container", 200, query=("all_projects",), answer=CONTAINER, errors=(404, 409)),
    Operation("PATCH", _ONE, "Change a container", 200, body=_CHANGE, answer=CONTAINER, errors=(404, 409)),
    Operation(
        "DELETE", _ONE, "Delete a container", 204, query=("force", "stop", "all_projects"), errors=(404, 409),
        note="`force` needs microversion 1.7, `stop` 1.12.",
    ),
    _verb("start", "Start a container"),
    _verb("stop", "Stop a container", query=("timeout",)),
    _verb("reboot", "Restart a container", query=("timeout",)),
    _verb("pause", "Pause a container"),
    _verb("unpause", "Let a paused container go on"),
    _verb("kill", "Send a container a signal", query=("signal",)),
    _verb("rebuild", "Make a container anew", query=("new_image", "image_driver")),
    Operation(
        "POST", f"{_ONE}/resize_container", "Change what a container may use", 202, body=_CHANGE, answer=CONTAINER,
        errors=(404, 409), since=19,
    ),
    Operation(
        "POST", f"{_ONE}/rename", "Rename a container", 200, query=("new_name",), required=("new_name",),
        answer=CONTAINER, errors=(404, 409), until=13,
    ),
    Operation(
        "POST", f"{_ONE}/execute", "Run a command in a container", 200, query=("command", "run", "interactive"),
        required=("command",), answer=EXECUTED, errors=_RUNS,
        note="With `run=false` the command waits until its terminal is dialled at proxy_url, a websocket that is good "
        "once and for 60 seconds.",
    ),
    Operation(
        "GET", f"{_ONE}/logs", "Read a container's output", 200,
        query=("stdout", "stderr", "timestamps", "tail", "since"), answer=TEXT, errors=_RUNS,
    ),
    Operation(
        "GET", f"{_ONE}/top", "List a container's processes", 200, query=("ps_args",), answer=TOP, errors=_RUNS
    ),
    Operation("GET", f"{_ONE}/stats", "Show what a container uses", 200, answer=STATS, errors=_RUNS),
    Operation(
        "GET", f"{_ONE}/explanation", "Tell why a container is as it is", 200, answer=EXPLANATION, errors=_RUNS,
        note="Not in the reference service. While something is under way the container's host is asked, so that an "
        "image's pull is told layer by layer. How many hosts each filter of the scheduler left is told to everybody "
        "whose container found none; which hosts were refused, and why, to administrators.",
    ),
    Operation(
        "GET", f"{_ONE}/get_archive", "Read files of a container", 200, query=("path",), required=("path",),
        answer=ARCHIVE, errors=(*_RUNS, 413), note="A tar of up to 16 MiB: in base64 from microversion 1.25 on.",
    ),
    Operation(
        "POST",
        f"{_ONE}/put_archive",
        "Write files into a container",
        200,
        body={
            "type": "object",
            "properties": {"path": parameters.QUERY["path"][0], "data": {"type": "string"}},
            "required": ["path", "data"],
        },
        errors=(*_RUNS, 413, 415),
        note="data is a plain tar of up to 16 MiB: in base64 from microversion 1.25 on.",
    ),
    Operation(
        "GET", f"{_ONE}/attach", "Attach to a container's main process", 200, answer=ATTACH, errors=_RUNS,
        note="The answer is the address of a websocket, good once and for 60 seconds.",
    ),
    Operation(
        "POST", f"{_ONE}/resize", "Resize a main process's terminal", 200, query=("w", "h"), required=("w", "h"),
        errors=_RUNS,
    ),
    Operation(
        "POST", f"{_ONE}/execute_resize", "Resize a command's terminal", 200, query=("exec_id", "w", "h"),
        required=("exec_id", "w", "h"), errors=_RUNS,
    ),
    Operation(
        "POST", f"{_ONE}/commit", "Make an image of a container", 202, query=("repository", "tag"),
        required=("repository",), answer=COMMITTED, errors=(404, 409),
    ),
    Operation(
        "GET", f"{_ONE}/network_list", "List a container's networks", 200, answer=NETWORKS, errors=(404, 409), since=13
    ),
    Operation(
        "POST", f"{_ONE}/network_attach", "Join a container to a network", 200, query=("network", "port", "fixed_ip"),
        errors=(404, 409), since=8,
    ),
    Operation(
        "POST", f"{_ONE}/network_detach", "Take a container off a network", 202, query=("network", "port"),
        errors=(404, 409), since=6,
    ),
    Operation(
        "POST", f"{_ONE}/add_security_group", "Give a container a security group", 202, query=("group",),
        required=("group",), errors=(404, 409), until=14,
    ),
    Operation(
        "POST", f"{_ONE}/remove_security_group", "Take a security group from a container", 202, query=("group",),
        required=("group",), errors=(404, 409), until=14,
    ),
    Operation(
        "GET", f"{_ONE}/container_actions", "List what was asked of a container", 200, answer=ACTIONS,
        errors=(404, 409),
    ),
    Operation(
        "GET", f"{_ONE}/container_actions/{{request}}", "Show one thing that was asked", 200, answer=ACTION,
        errors=(404, 409),
    ),
)  # fmt: skip
CAPSULES_OF_PROJECTS = (
    Operation(
        "POST",
        "/v1/capsules",
        "Create a capsule",
        202,
        body={
            "type": "object",
            "properties": {"template": capsule_schema.TEMPLATE},
            "required": ["template"],
        },
        answer=CAPSULE,
        errors=(404, 409, 415),
        note="template may be text in YAML as well.",
    ),
    Operation(
        "GET",
        "/v1/capsules",
        "List capsules",
        200,
        query=(*parameters.PAGING, "all_projects"),
        answer=CAPSULES,
        errors=(404,),
    ),
    Operation(
        "GET",
        "/v1/capsules/{capsule}",
        "Show a capsule",
        200,
        query=("all_projects",),
        answer=CAPSULE,
        errors=(404, 409),
    ),
    Operation("DELETE", "/v1/capsules/{capsule}", "Delete a capsule", 204, query=("all_projects",), errors=(404, 409)),
)
IMAGES_OF_HOSTS = (
    Operation(
        "POST",
        "/v1/images",
        "Have a host pull an image",
        202,
        body=_fields(
            (*images.FIELDS, "image_pull_policy"),
            ("repo", "host"),
            **{
                name: {"type": ["string", "null"], "minLength": least, "maxLength": most}
                for name, (least, most) in images.FIELDS.items()
            },
        ),
        answer=HOST_IMAGE,
        errors=(404, 409, 415),
    ),
    Operation(
        "GET", "/v1/images", "List the images of hosts", 200, query=parameters.PAGING, answer=HOST_IMAGES, errors=(404,)
    ),
    Operation("GET", "/v1/images/{image}", "Show an image of a host", 200, answer=HOST_IMAGE, errors=(404,)),
    Operation("DELETE", "/v1/images/{image}", "Remove an image from a host", 200, errors=(404, 409)),
    Operation(
        "GET",
        "/v1/images/{image}/search",
        "Search for an image",
        200,
        query=("image_driver", "exact_match"),
        answer=FOUND_IMAGES,
    ),
)
REGISTRIES_OF_PROJECTS = (
    Operation(
        "POST", "/v1/registries", "Make a registry known", 201, body=_registry("domain"), answer=REGISTRY,
        errors=(409, 415),
    ),
    Operation(
        "GET", "/v1/registries", "List registries", 200, query=parameters.REGISTRY_LIST, answer=REGISTRIES,
        errors=(404,),
    ),
    Operation("GET", "/v1/registries/{registry}", "Show a registry", 200, answer=REGISTRY, errors=(404, 409)),
    Operation(
        "PATCH", "/v1/registries/{registry}", "Change a registry", 200, body=_registry(), answer=REGISTRY,
        errors=(404, 409),
    ),
    Operation("DELETE", "/v1/registries/{registry}", "Forget a registry", 204, errors=(404, 409)),
)  # fmt: skip
CLOUD = (
    Operation("GET", "/v1/hosts", "List hosts", 200, query=parameters.PAGING, answer=HOSTS, errors=(404,), since=4),
    Operation("GET", "/v1/hosts/{host}", "Show a host", 200, answer=HOST, errors=(404,), since=4),
    Operation("GET", "/v1/services", "List services", 200, answer=SERVICES),
    Operation(
        "DELETE", "/v1/services", "Forget a service", 200, query=("service_host", "binary"),
        required=("service_host", "binary"), errors=(404, 409),
    ),
    Operation(
        "PUT", "/v1/services/enable", "Let a service get new containers", 200, query=("service_host", "binary"),
        required=("service_host", "binary"), answer=SERVICE, errors=(404,),
    ),
    Operation(
        "PUT", "/v1/services/disable", "Keep new containers from a service", 200,
        query=("service_host", "binary", "disabled_reason"), required=("service_host", "binary"), answer=SERVICE,
        errors=(404,),
    ),
    Operation(
        "PUT", "/v1/services/force_down", "Say that a service is down", 200,
        query=("service_host", "binary", "forced_down"), required=("service_host", "binary", "forced_down"),
        answer=SERVICE, errors=(404,),
    ),
    Operation(
        "GET", "/v1/availability_zones", "List availability zones", 200, query=parameters.PAGING, answer=ZONES,
        errors=(404,),
    ),
    Operation(
        "POST", "/v1/networks", "Make a network known", 200, body=_fields(networks.KEYS, networks.KEYS),
        answer=NETWORK, errors=(404, 409, 415),
    ),
    Operation("DELETE", "/v1/networks/{network}", "Forget a network", 204, errors=(404,), since=27),
)  # fmt: skip
QUOTAS = (
    Operation("GET", "/v1/quotas/{project}", "Show a project's quota", 200, query=("usages",), answer=LIMITS),
    Operation("GET", "/v1/quotas/{project}/defaults", "Show the default quota", 200, answer=LIMITS),
    Operation("PUT", "/v1/quotas/{project}", "Set a project's quota", 200, query=_LIMITS, answer=LIMITS),
    Operation("DELETE", "/v1/quotas/{project}", "Let a project have the default quota", 200),
    Operation("GET", "/v1/quota_classes/{class}", "Show a quota class", 200, answer=LIMITS),
    Operation("PUT", "/v1/quota_classes/{class}", "Set a quota class", 200, query=_LIMITS, answer=LIMITS),
)

SECTIONS: tuple[tuple[str, tuple[Operation, ...]], ...] = (
    ("Versions", DOCUMENTS),
    ("Containers", CONTAINERS_OF_PROJECTS),
    ("Capsules", CAPSULES_OF_PROJECTS),
    ("Images of hosts", IMAGES_OF_HOSTS),
    ("Registries", REGISTRIES_OF_PROJECTS),
    ("Hosts, services, zones and networks", CLOUD),
    ("Quotas", QUOTAS),
)
EVERY: tuple[Operation, ...] = tuple(operation for _, operations in SECTIONS for operation in operations)
USUAL_ERRORS = (400, 401, 403, 406, 408, 413, 429, 503)
REPEATABLE: tuple[Operation, ...] = (CONTAINERS_OF_PROJECTS[0], CAPSULES_OF_PROJECTS[0])
