# SPDX-License-Identifier: Apache-2.0
"""The ids of what requests made, so that later requests speak of what is there, as well as of what is not."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from typing import Any

MOST_OF_A_KIND = 60
LIKELY: dict[str, tuple[Any, ...]] = {
    "image": ("demo:latest", "registry.example.org/demo"),
    "repo": ("demo",),
    "host": ("host1",),
    "name": ("one", "two", "three", "\u4e16\u754c"),
    "command": (["sleep", "60"], "sleep 60"),
    "memory": (64, "128"),
    "cpu": (0.1, "0.2"),
    "kind": ("capsule",),
    "metadata": ({"name": "pod"},),
    "spec": ({"containers": [{"image": "demo", "command": ["sleep", "60"]}]},),
    "mounts": ([{"size": "1", "destination": "/data"}], [{"source": "", "destination": "/data"}]),
    "nets": ([{"network": ""}], [{"port": ""}]),
    "path": ("/etc/hosts", "/tmp"),
    "data": ("eA==",),
    "signal": ("TERM", "9"),
    "timeout": ("1",),
    "w": ("80",),
    "h": ("24",),
    "exec_id": ("e" * 64,),
    "repository": ("mine",),
    "tag": ("v1",),
    "binary": ("zun-compute",),
    "forced_down": ("true", "false"),
    "neutron_net_id": ("",),
    "network": ("",),
    "port": ("",),
    "fixed_ip": ("10.9.0.77",),
    "marker": ("",),
    "sort_key": ("name", "created_at", "uuid", "id"),
    "limit": ("1", "2", "3"),
    "new_size": (2, 3),
    "secret": ("hush",),
    "instance_uuid": ("",),
    "snapshot_id": ("",),
    "domain": ("registry.example.org",),
    "size": (1, 2),
    "network_id": ("",),
    "cidr": ("10.9.0.0/24", "10.9.1.0/24", "fd00:9::/64"),
    "ip_version": (4, 6),
    "prefixes": (["10.32.0.0/16"],),
    "direction": ("ingress", "egress"),
    "security_group_id": ("",),
    "floating_network_id": ("",),
    "volume_id": ("",),
    "volume_uuid": ("",),
    "max_kbps": (1000,),
    "password": ("secret",),
    "type": ("compute",),
    "interface": ("public",),
    "url": ("http://127.0.0.1/",),
    "service_id": ("",),
    "roles": ([{"name": "member"}],),
    "disk_format": ("raw",),
    "container_format": ("docker",),
}
# where a path's word for a collection is another than that under which its objects are made
_SAME = {"policies": "qos/policies", "implies": "roles"}
_BY_PARAMETER = {
    "user_id": "users",
    "role_id": "roles",
    "implied_id": "roles",
    "project_id": "projects",
    "project": "projects",
    "rule": "bandwidth_limit_rules",
    "request": "requests",
    "one_id": "application_credentials",
}


class Pool:
    """Ids by the collection that they were made in."""

    def __init__(self) -> None:
        self._ids: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=MOST_OF_A_KIND))

    def add(self, kind: str, ident: str) -> None:
        if ident not in self._ids[kind]:
            self._ids[kind].append(ident)

    def learn(self, path: str, body: Any) -> None:
        """Take in what a POST to this path was answered with."""
        kind = kind_of(path.partition("?")[0].rstrip("/"))
        for item in [body, *(body.values() if isinstance(body, dict) else ())]:
            if isinstance(item, dict):
                for key in ("uuid", "id"):
                    if isinstance(item.get(key), str):
                        self.add(kind, item[key])
                if isinstance(item.get("name"), str) and item["name"]:
                    self.add(f"names of {kind}", item["name"])

    def any_of(self, kind: str, dice: random.Random) -> str | None:
        return dice.choice(self._ids[kind]) if self._ids.get(kind) else None

    def for_parameter(self, template: str, name: str, dice: random.Random) -> str | None:
        """An id, or now and then a name, of what this parameter of a path speaks of."""
        before = template.partition("{" + name + "}")[0].rstrip("/")
        kind = _BY_PARAMETER.get(name) or kind_of(before)
        if name == "request":
            return self.any_of("requests", dice)
        return self.any_of(f"names of {kind}" if dice.random() < 0.1 else kind, dice) or self.any_of(kind, dice)

    def for_field(self, field: str, dice: random.Random) -> str | None:
        """An id of what a field of a body or a query speaks of, judged by its name."""
        word = field.removesuffix("_id").removesuffix("_uuid").removesuffix("_ids")
        for kind in (f"{word}s", f"{word.replace('_', '-')}s", f"qos/{word}s", _FIELDS.get(field, "")):
            found = self.any_of(kind, dice)
            if found is not None:
                return found
        return None

    def filled(self, body: Any) -> Any:
        """The body with the newest id of a kind wherever {kind} stands."""
        if isinstance(body, dict):
            return {key: self.filled(item) for key, item in body.items()}
        if isinstance(body, list):
            return [self.filled(item) for item in body]
        named = isinstance(body, str) and body.startswith("{") and self._ids.get(body.strip("{}"))
        return named[-1] if named else body

    def calm(self, body: Any, dice: random.Random) -> Any:
        """Half of the bodies with few fields, likely to be taken: what asks for much is hardly ever granted."""
        if not isinstance(body, dict) or dice.random() < 0.5:
            return body
        if len(body) == 1:
            return {key: self.calm(item, dice) for key, item in body.items()}
        kept = {key: item for key, item in body.items() if key in LIKELY or dice.random() < 0.15}
        return {
            key: dice.choice(LIKELY.get(key, (item,))) if dice.random() < 0.8 else item for key, item in kept.items()
        }

    def likely(self, query: Any, dice: random.Random) -> Any:
        """Half of the queries with values that are likely to be taken."""
        if not isinstance(query, dict) or dice.random() < 0.5:
            return query
        return {key: dice.choice(LIKELY.get(key, (item,))) for key, item in query.items()}

    def sprinkle(self, value: Any, dice: random.Random, share: float) -> Any:
        """The value with some of its texts exchanged for ids of what they may speak of."""
        if isinstance(value, dict):
            mixed = {}
            for key, item in value.items():
                ident = self.for_field(str(key), dice) if isinstance(item, str) and dice.random() < share else None
                mixed[key] = ident or self.sprinkle(item, dice, share)
            return mixed
        return [self.sprinkle(item, dice, share) for item in value] if isinstance(value, list) else value


_FIELDS = {
    "id": "volumes",
    "source_volid": "volumes",
    "volume_uuid": "volumes",
    "source": "volumes",
    "security_groups": "security-groups",
    "remote_group_id": "security-groups",
    "security_group_id": "security-groups",
    "floating_network_id": "networks",
    "qos_policy_id": "qos/policies",
    "subnetpool_id": "subnetpools",
    "default_project_id": "projects",
    "parent_id": "projects",
    "tenant_id": "projects",
    "marker": "containers",
    "neutron_net_id": "networks",
    "host": "hosts",
    "new_type": "types",
    "volume_type": "types",
    "image": "images",
    "registry": "registries",
}


def kind_of(path: str) -> str:
    last = path.rsplit("/", 1)[-1]
    return _SAME.get(last, last)
