# SPDX-License-Identifier: Apache-2.0
"""What the container API answers with, as JSON schemas; tests hold real answers against them.

A field that is not always there is not required; one that may be null says so.
"""

from __future__ import annotations

from typing import Any

from zun_lite.api.container.views import GUARDED

Schema = dict[str, Any]


def _of(kind: str, meaning: str, *, null: bool = False) -> Schema:
    return {"type": [kind, "null"] if null else kind, "description": meaning}


def _object(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _page(name: str, items: Schema) -> Schema:
    return _object({name: _list(items), "next": _of("string", "The URL of the next page.", null=True)})


_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_LINKS = _list(_object({"rel": {"type": "string"}, "href": {"type": "string"}, "type": {"type": "string"}}, ("type",)))
_MOMENT = "UTC, to the microsecond at most."
_ADDRESSES: Schema = {
    "type": "object",
    "additionalProperties": _list(
        _object(
            {
                "addr": _of("string", "The address."),
                "version": {"enum": [4, 6]},
                "port": _of("string", "The port's UUID."),
                "subnet_id": _of("string", "The subnet's UUID.", null=True),
                "preserve_on_delete": _of("boolean", "Whether the port outlives the container."),
            }
        )
    ),
    "description": "By network, the addresses that the container has on it.",
}
_RESTART_POLICY: Schema = {
    "type": "object",
    "properties": {"Name": {"type": "string"}, "MaximumRetryCount": {"type": "string"}},
    "description": "When Docker starts it again; empty: never.",
}
CONTAINER_FIELDS: dict[str, Schema] = {
    "uuid": _of("string", "The container's UUID."),
    "name": _of("string", "Its name."),
    "image": _of("string", "Its image, as the user wrote it."),
    "image_driver": _of("string", "docker, or glance for the image service."),
    "command": {**_list({"type": "string"}), "description": "What it runs; empty until known where the image says it."},
    "entrypoint": {**_list({"type": "string"}), "description": "What the command is given to."},
    "status": _of("string", "Creating, Created, Running, Stopped, Paused, Restarting, Rebuilding, Error, ..."),
    "status_reason": _of("string", "Why it is so, for people.", null=True),
    "status_detail": _of("string", "Like `Up 3 mins` or `Exited(0) 8 mins ago`.", null=True),
    "task_state": _of("string", "What is under way.", null=True),
    "cpu": _of("number", "CPUs."),
    "cpu_policy": _of("string", "shared or dedicated."),
    "memory": _of("string", "MiB of memory."),
    "disk": _of("integer", "GiB of disk; 0 is no limit."),
    "environment": {**_STRINGS, "description": "Its environment variables."},
    "labels": {**_STRINGS, "description": "Its labels."},
    "workdir": _of("string", "The folder in which it begins.", null=True),
    "hostname": _of("string", "Its host name.", null=True),
    "ports": {**_list({"type": "integer"}), "description": "The ports that its image or its user exposed."},
    "addresses": _ADDRESSES,
    "security_groups": {**_list({"type": "string"}), "description": "The UUIDs of its security groups."},
    "restart_policy": _RESTART_POLICY,
    "interactive": _of("boolean", "Whether its standard input stays open."),
    "tty": _of("boolean", "Whether it has a terminal."),
    "auto_remove": _of("boolean", "Whether it goes when its process ends."),
    "auto_heal": _of("boolean", "Whether it is made again when it or its host is lost."),
    "healthcheck": {
        "type": "object",
        "description": "The command that tells whether it is well, and how often it is run.",
    },
    "registry_id": _of("string", "The registry whose login its image came by.", null=True),
    "project_id": _of("string", "Its project."),
    "user_id": _of("string", "Who made it."),
    "created_at": _of("string", f"When it was asked for. {_MOMENT}"),
    "updated_at": _of("string", f"When its record last changed. {_MOMENT}", null=True),
    "host": _of("string", "Its host's name; for administrators.", null=True),
    "image_pull_policy": _of("string", "never, always or ifnotpresent; for administrators."),
    "privileged": _of("boolean", "Whether it has every right on its host; for administrators."),
    "runtime": _of("string", "Its OCI runtime; for administrators.", null=True),
    "links": _LINKS,
}
CONTAINER = _object(CONTAINER_FIELDS, GUARDED)
CONTAINERS = _page("containers", _object({**CONTAINER_FIELDS}, (*GUARDED, "links")))
_MEMBER = _object({name: field for name, field in CONTAINER_FIELDS.items() if name != "links"}, GUARDED)
_CAPSULE_FIELDS: dict[str, Schema] = {
    "uuid": _of("string", "The capsule's UUID."),
    "links": _LINKS,
    "name": _of("string", "Its name."),
    "labels": {**_STRINGS, "description": "Its labels."},
    "annotations": {**_STRINGS, "description": "Its annotations."},
    "containers": _list(_MEMBER),
    "init_containers": _list(_MEMBER),
    **{name: CONTAINER_FIELDS[name] for name in ("project_id", "user_id", "status", "status_reason")},
    "restart_policy": _RESTART_POLICY,
    "memory": _of("string", "MiB of memory of all its containers."),
    "cpu": _of("number", "CPUs of all its containers."),
    "addresses": _ADDRESSES,
    "created_at": CONTAINER_FIELDS["created_at"],
    "updated_at": CONTAINER_FIELDS["updated_at"],
    "host": CONTAINER_FIELDS["host"],
}
CAPSULE = _object(_CAPSULE_FIELDS, ("host",))
CAPSULES = _page("capsules", CAPSULE)
_ACTION_FIELDS: dict[str, Schema] = {
    "action": _of("string", "What was asked for, like create."),
    "container_uuid": _of("string", "Of which container."),
    "request_id": _of("string", "By which request."),
    "project_id": _of("string", "In which project."),
    "user_id": _of("string", "By whom."),
    "start_time": _of("string", _MOMENT),
    "finish_time": _of("string", f"Null while it is under way. {_MOMENT}", null=True),
    "message": _of("string", "Error where it failed.", null=True),
}
_EVENT = _object(
    {
        "event": _of("string", "The event's name."),
        "start_time": _of("string", _MOMENT),
        "finish_time": _of("string", _MOMENT, null=True),
        "result": _of("string", "Success, Error, or null while it is under way.", null=True),
        "traceback": _of("string", "Why it failed; for administrators.", null=True),
    }
)
ACTIONS = _object({"containerActions": _list(_object(_ACTION_FIELDS))})
ACTION = _object({**_ACTION_FIELDS, "events": _list(_EVENT)})
EXECUTED = _object(
    {
        "output": _of("string", "What the command printed.", null=True),
        "exit_code": _of("integer", "How it ended.", null=True),
        "exec_id": _of("string", "Its id, where it waits for its terminal.", null=True),
        "proxy_url": _of("string", "Where its terminal is dialled.", null=True),
    }
)
TEXT: Schema = {"type": "string"}
ATTACH = TEXT
TOP = _object({"Titles": _list({"type": "string"}), "Processes": _list(_list({"type": "string"}))})
STATS = _object(
    {
        "CONTAINER": {"type": "string"},
        **{name: {"type": "number"} for name in ("CPU %", "MEM USAGE(MiB)", "MEM LIMIT(MiB)", "MEM %")},
        "BLOCK I/O(B)": _of("string", "Bytes read and written, like 4096/0."),
        "NET I/O(B)": _of("string", "Bytes received and sent, like 1024/512."),
    }
)
EXPLANATION = _object(
    {
        **{name: CONTAINER_FIELDS[name] for name in ("uuid", "name", "status", "task_state", "status_reason")},
        "sentence": _of("string", "What is so, why, and what would help."),
        "stages": _list(
            _object(
                {
                    "name": _of("string", "host, network, volume, image, mount, create, connect, start, or another."),
                    "state": _of("string", "done, under way, waits, failed or ahead."),
                    "detail": _of("string", "What came of it, what it waits for, or why it failed."),
                }
            )
        ),
        "layers": _list(
            _object(
                {
                    "id": _of("string", "A layer of the image that is pulled."),
                    "state": _of("string", "queued, downloading, downloaded, unpacking or done."),
                    "done_bytes": _of("integer", "Of what is under way; 0 where that is not known."),
                    "total_bytes": _of("integer", "As many are to come; 0 where that is not known."),
                }
            )
        ),
        "filters": _list(
            _object(
                {
                    "name": _of("string", "What a host had to be, like `is ready`."),
                    "left": _of("integer", "How many hosts were left."),
                    "refused": _list(_object({"host": {"type": "string"}, "reason": {"type": "string"}})),
                },
                ("refused",),
            )
        ),
        "host_problem": _of("string", "What its host says is wrong with it; for administrators.", null=True),
    },
    ("host_problem",),
)
ARCHIVE = _object({"data": _of("string", "The tar."), "stat": {"type": "object"}})
COMMITTED = _object({"uuid": _of("string", "The new image's UUID.")})
NETWORKS = _object(
    {
        "networks": _list(
            _object(
                {
                    "net_id": _of("string", "The network's UUID."),
                    "port_id": _of("string", "The port's UUID."),
                    "fixed_ips": _list(
                        _object(
                            {
                                "ip_address": {"type": "string"},
                                "subnet_id": {"type": ["string", "null"]},
                                "version": {"enum": [4, 6]},
                                "port": {"type": "string"},
                            },
                            ("version", "port"),
                        )
                    ),
                }
            )
        )
    }
)
HOST_IMAGE = _object(
    {
        "uuid": {"type": "string"},
        "links": _LINKS,
        "image_id": _of("string", "Docker's id, once it is there.", null=True),
        "repo": {"type": "string"},
        "tag": {"type": ["string", "null"]},
        "size": _of("string", "Bytes.", null=True),
        "project_id": {"type": ["string", "null"]},
        "host": _of("string", "The host's name.", null=True),
    }
)
HOST_IMAGES = _page("images", HOST_IMAGE)
FOUND_IMAGES = _list({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
_REGISTRY_FIELDS: dict[str, Schema] = {
    "uuid": {"type": "string"},
    "user_id": {"type": "string"},
    "project_id": {"type": "string"},
    "name": {"type": ["string", "null"]},
    "domain": _of("string", "HOST or HOST:PORT."),
    "username": {"type": ["string", "null"]},
    "password": _of("string", "Never shown: always `***`."),
    "created_at": {"type": "string"},
    "updated_at": {"type": ["string", "null"]},
}
REGISTRY = _object({"registry": _object({**_REGISTRY_FIELDS, "links": _LINKS})})
REGISTRIES = _page("registries", _object(_REGISTRY_FIELDS))
HOST = {"type": "object", "properties": {"uuid": {"type": "string"}, "hostname": {"type": "string"}, "links": _LINKS}}
HOSTS = _page("hosts", HOST)
SERVICE = _object({"service": {"type": "object", "required": ["host", "binary"]}})
SERVICES = _object(
    {
        "services": _list(
            _object(
                {
                    "id": {"type": "integer"},
                    "host": {"type": "string"},
                    "binary": {"type": "string"},
                    "state": {"enum": ["up", "down"]},
                    "disabled": {"type": "boolean"},
                    "disabled_reason": {"type": ["string", "null"]},
                    "forced_down": {"type": "boolean"},
                    "last_seen_up": {"type": ["string", "null"]},
                    "report_count": {"type": "integer"},
                    "availability_zone": {"type": "string"},
                    "created_at": {"type": ["string", "null"]},
                    "updated_at": {"type": ["string", "null"]},
                }
            )
        )
    }
)
ZONES = _page("availability_zones", _object({"availability_zone": {"type": "string"}}))
NETWORK = _object(
    {name: {"type": "string"} for name in ("uuid", "name", "project_id", "user_id", "network_id", "neutron_net_id")}
)
_LIMIT: Schema = {"oneOf": [{"type": "number"}, _object({"limit": {"type": "number"}, "in_use": {"type": "number"}})]}
LIMITS = _object({name: _LIMIT for name in ("containers", "memory", "disk", "cpu")})
VERSIONS: Schema = {"type": "object", "properties": {"versions": _list({"type": "object"})}, "required": ["versions"]}
VERSION: Schema = {"type": "object", "properties": {"id": {"const": "v1"}}, "required": ["id", "version"]}
ERROR = _object(
    {
        "errors": _list(
            _object(
                {
                    "request_id": {"type": "string"},
                    "code": {"type": "string"},
                    "status": {"type": "integer"},
                    "title": {"type": "string"},
                    "detail": _of("string", "A sentence that says what is wrong, and what would help."),
                    "links": {"type": "array"},
                    "min_version": _of("string", "With 406: the oldest microversion."),
                    "max_version": _of("string", "With 406: the newest microversion."),
                },
                ("links", "min_version", "max_version"),
            )
        )
    }
)
# what keystonemiddleware answers, for every service alike
UNAUTHORIZED = _object(
    {
        "error": _object(
            {
                "code": {"const": 401},
                "title": {"type": "string"},
                "message": _of("string", "A sentence; why a token is not good is not told."),
            }
        )
    }
)
