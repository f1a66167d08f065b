# SPDX-License-Identifier: Apache-2.0
"""The service catalogue, in the forms of URL that suit every client: derived from one public URL.

Some clients append v2.0 to the network URL blindly, others use the volume URL as it stands, and the
container client glues its paths, without their /v1, to what the catalogue says.
"""

from __future__ import annotations

import uuid
from typing import Any

REGION = "RegionOne"
INTERFACES = ("public", "internal", "admin")
# type, name, path below the public URL
SERVICES = (
    ("identity", "keystone", "/identity"),
    ("network", "neutron", "/network"),
    ("block-storage", "cinder", "/volume/v3"),
    ("volumev3", "cinderv3", "/volume/v3"),
    ("image", "glance", "/image"),
    ("container", "zun", "/v1"),
)


def build(public_url: str) -> list[dict[str, Any]]:
    """Entries as in a token; ids depend on nothing but the type, so that they stay the same."""
    return [
        {
            "id": _id(kind),
            "type": kind,
            "name": name,
            "endpoints": [
                {
                    "id": _id(f"{kind}/{interface}"),
                    "interface": interface,
                    "region": REGION,
                    "region_id": REGION,
                    "url": public_url + path,
                }
                for interface in INTERFACES
            ],
        }
        for kind, name, path in SERVICES
    ]


def _id(name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"zun_lite:{name}").hex
