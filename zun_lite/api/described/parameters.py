# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the container API's paths and queries, once: its JSON schema and what it means.

The names are the wire's. Which request takes which is said in operations.py; tests hold both against
what the resources read.
"""

from __future__ import annotations

from typing import Any

from zun_lite.api.container import hosts, images, lists, registries
from zun_lite.api.container.life import LONGEST_STOP_SECONDS
from zun_lite.api.container.streams import MOST_CELLS

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_TRUTH: Schema = {"type": "boolean"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255}


def _number(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most})}


PATH: dict[str, tuple[Schema, str]] = {
    "container": (_NAME, "The container's UUID, or its name where no other of the project bears it."),
    "capsule": (_NAME, "The capsule's UUID, or its name where no other of the project bears it."),
    "image": (_NAME, "The UUID of a host's image; for a search, the name to look for."),
    "registry": (_NAME, "The registry's UUID, or its name where no other of the project bears it."),
    "request": (_NAME, "The id of the request that asked for the action, like req-UUID."),
    "host": (_NAME, "The host's UUID or name."),
    "network": (_NAME, "The UUID that the network has in the networking service."),
    "project": ({"type": "string", "minLength": 1, "maxLength": 64}, "The project's id."),
    "class": (_NAME, "The quota class's name; only `default` has an effect."),
}

QUERY: dict[str, tuple[Schema, str]] = {
    "limit": (_number(1), "At most so many records; the service has a bound of its own, 1000 unless configured."),
    "marker": (_NAME, "The UUID of the last record of the page before."),
    "sort_key": (_NAME, "The field to sort by."),
    "sort_dir": ({"enum": ["asc", "desc"]}, "The direction to sort in; `asc` unless given."),
    "resource_url": (_TEXT, "Accepted for old clients; has no effect."),
    "expand": (_TEXT, "Accepted for old clients; has no effect."),
    "all_projects": (_TRUTH, "Look through all projects; for administrators."),
    "name": (_NAME, "Of exactly this name."),
    "image": (_NAME, "Of this image, as the user wrote it."),
    "project_id": (_NAME, "Of this project; for administrators with all_projects."),
    "user_id": (_NAME, "Made by this user."),
    "memory": (_number(0), "With so many MiB of memory."),
    "host": (_NAME, "On the host of this name; for administrators."),
    "task_state": (_NAME, "With this task under way."),
    "status": (_NAME, "In this status, like Running."),
    "auto_remove": (_TRUTH, "Whether it goes when its process ends."),
    "run": (_TRUTH, "For a create: start the container as well. For an execute: run the command and wait for its end."),
    "force": (_TRUTH, "Delete whatever the status is; for administrators."),
    "stop": (_TRUTH, "Stop the container first if it runs."),
    "timeout": (
        _number(0, LONGEST_STOP_SECONDS),
        "Seconds that the process is given to end by itself; Docker's 10 unless given.",
    ),
    "signal": (_NAME, "A signal's name or number, like SIGTERM, term or 15; SIGKILL unless given."),
    "new_image": ({"type": "string", "minLength": 1, "maxLength": 255}, "Another image to make the container of."),
    "image_driver": ({"enum": ["docker", "glance"]}, "Where the image comes from; `docker` unless given."),
    "new_name": (_NAME, "The container's new name."),
    "cpu": ({"type": "number"}, "CPUs, from 0.1 to 16."),
    "command": ({"type": "string", "minLength": 1}, "The command, split into words as a shell would."),
    "interactive": (_TRUTH, "Give the command a terminal, to be dialled at proxy_url."),
    "stdout": (_TRUTH, "With what went to standard output; true unless given."),
    "stderr": (_TRUTH, "With what went to standard error; true unless given."),
    "timestamps": (_TRUTH, "Each line with its moment in front."),
    "tail": (_TEXT, "The last so many lines; anything but a number means all."),
    "since": (_TEXT, "Not what is older: seconds since 1970, or like `2026-01-31 12:00:00,000` in UTC."),
    "ps_args": (_TEXT, "Arguments for ps, from a list that shows columns and no more."),
    "path": ({"type": "string", "minLength": 1}, "An absolute path in the container."),
    "w": (_number(1, MOST_CELLS), "Columns of the terminal."),
    "h": (_number(1, MOST_CELLS), "Lines of the terminal."),
    "exec_id": ({"type": "string", "pattern": "^[0-9a-f]{64}$"}, "The id that execute answered."),
    "repository": (_NAME, "The new image's name."),
    "tag": ({"type": "string", "minLength": 1, "maxLength": 128}, "The image's tag; `latest` unless given."),
    "network": (_NAME, "A network's id or name."),
    "port": (_NAME, "A port's id or name, in place of a network."),
    "fixed_ip": ({"type": "string", "maxLength": 64}, "The address to have on the network, IPv4 or IPv6."),
    "group": (_NAME, "A security group's id or name."),
    "domain": (_NAME, "Of this domain, as HOST or HOST:PORT."),
    "username": (_NAME, "With this user name."),
    "exact_match": (_TRUTH, "Of exactly this name, instead of with it in their names."),
    "usages": (_TRUTH, "With what is in use: each limit becomes an object of limit and in_use."),
    "service_host": (_NAME, "The name of the host whose service is meant."),
    "binary": ({"enum": ["zun-compute"]}, "The service; every host has zun-compute, its agent."),
    "disabled_reason": ({"type": "string", "maxLength": 255}, "Why, for those who read it."),
    "forced_down": (_TRUTH, "Whether to take it as down whatever it reports."),
    "limit_of_containers": (_number(-1), "Most containers; -1 is no limit."),
    "limit_of_cpu": (_number(-1), "Most CPUs; -1 is no limit."),
    "limit_of_memory": (_number(-1), "Most MiB of memory; -1 is no limit."),
    "limit_of_disk": (_number(-1), "Most GiB of disk; -1 is no limit."),
}
# Where one name means different things to different requests, this is what stands on the wire.
WIRE = {
    "new_image": "image",
    "new_name": "name",
    "group": "name",
    "service_host": "host",
    "limit_of_containers": "containers",
    "limit_of_cpu": "cpu",
    "limit_of_memory": "memory",
    "limit_of_disk": "disk",
}

PAGING = ("limit", "marker", "sort_key", "sort_dir")
CONTAINER_LIST = tuple(sorted(lists.PAGING)) + tuple(lists.FILTERS)
REGISTRY_LIST = (*registries.PAGING, *registries.FILTERS)
SORT_KEYS: dict[str, tuple[str, ...]] = {
    "/v1/containers": tuple(lists.SORT_KEYS),
    "/v1/registries": registries.SORT_KEYS,
    "/v1/images": images.SORT_KEYS,
    "/v1/hosts": hosts.SORT_KEYS,
}
