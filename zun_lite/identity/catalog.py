# SPDX-License-Identifier: Apache-2.0
"""The service catalogue: what a token shows of services, endpoints and regions.

The first ones are ours, in the forms of URL that suit every client: some clients append v2.0 to the
network URL blindly, others use the volume URL as it stands, and the container client glues its paths,
without their /v1, to what the catalogue says. Their URLs are kept with $(public_url)s in them, so that
they follow the option.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from zun_lite.db import endpoints as tables
from zun_lite.db import entries

REGION = "RegionOne"
INTERFACES = ("public", "internal", "admin")
PUBLIC_URL = "$(public_url)s"
# type, name, path below the public URL
SERVICES = (
    ("identity", "keystone", "/identity"),
    ("network", "neutron", "/network"),
    ("block-storage", "cinder", "/volume/v3"),
    ("volumev3", "cinderv3", "/volume/v3"),
    ("image", "glance", "/image"),
    ("container", "zun", "/v1"),
)


def fill(tx: sa.Connection) -> list[str]:
    """Make the first region, services and endpoints where they are missing; what was made."""
    made = []
    if entries.get(tx, tables.regions, REGION) is None:
        entries.insert(tx, tables.regions, {"id": REGION, "description": "", "parent_region_id": None, "extra": {}})
        made.append(f"region {REGION}")
    for kind, name, path in SERVICES:
        id = _id(kind)
        if entries.get(tx, tables.services, id) is not None:
            continue
        values = {"id": id, "type": kind, "name": name, "description": "", "enabled": True, "extra": {}}
        entries.insert(tx, tables.services, values)
        made.append(f"service {kind}")
        for interface in INTERFACES:
            url = {"interface": interface, "region_id": REGION, "url": PUBLIC_URL + path, "enabled": True, "extra": {}}
            entries.insert(tx, tables.endpoints, {"id": _id(f"{kind}/{interface}"), "service_id": id, **url})
    return made


def build(tx: sa.Connection, public_url: str, project_id: str | None) -> list[dict[str, Any]]:
    """Entries as in a token, by type. An endpoint that needs a project is left out without one."""
    found: dict[str, list[dict[str, Any]]] = {}
    for endpoint in entries.find(tx, tables.endpoints, {"enabled": True}):
        url = expanded(endpoint["url"], {"public_url": public_url, "project_id": project_id, "tenant_id": project_id})
        if url is None:
            continue
        region = endpoint["region_id"]
        shown = {"id": endpoint["id"], "interface": endpoint["interface"], "region": region, "region_id": region}
        found.setdefault(endpoint["service_id"], []).append({**shown, "url": url})
    return [
        {
            "id": service["id"],
            "type": service["type"],
            "name": service["name"],
            "endpoints": sorted(found.get(service["id"], []), key=lambda each: INTERFACES.index(each["interface"])),
        }
        for service in sorted(
            entries.find(tx, tables.services, {"enabled": True}), key=lambda each: (each["type"], each["id"])
        )
    ]


def expanded(url: str, values: Mapping[str, str | None]) -> str | None:
    """The URL with $(name)s and %(name)s replaced; None where a value that it needs is None."""
    for name, value in values.items():
        for mark in (f"$({name})s", f"%({name})s"):
            if mark in url:
                if value is None:
                    return None
                url = url.replace(mark, value)
    return url


def _id(name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"zun_lite:{name}").hex
