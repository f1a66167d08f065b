# SPDX-License-Identifier: Apache-2.0
"""The embedded Cinder: the part of the Block Storage API v3 that stock clients need.

Resources read the request, ask zun_lite.volume and zun_lite.db, and show records as Cinder does.
"""

from __future__ import annotations

from zun_lite.api.services import Services
from zun_lite.api.volume import documents
from zun_lite.api.volume.volumes import Metadata, Volume, Volumes


def resources(services: Services) -> list[tuple[str, object, str | None]]:
    """(path template, resource, suffix of its responders) of everything under /volume."""
    prefix = documents.PREFIX
    versions, types, besides = documents.Versions(services), documents.Types(), documents.Besides(services)
    volumes, metadata = Volumes(services), Metadata(services)
    return [
        ("/volume", versions, "root"),
        (prefix, versions, "v3"),
        (f"{prefix}/volumes", volumes, None),
        (f"{prefix}/volumes/detail", volumes, "detail"),
        (f"{prefix}/volumes/{{ident}}", Volume(services), None),
        (f"{prefix}/volumes/{{ident}}/metadata", metadata, None),
        (f"{prefix}/volumes/{{ident}}/metadata/{{key}}", metadata, "one"),
        (f"{prefix}/types", types, None),
        (f"{prefix}/types/{{ident}}", types, "one"),
        (f"{prefix}/limits", besides, "limits"),
        (f"{prefix}/os-availability-zone", besides, "zones"),
        (f"{prefix}/os-services", besides, "services"),
        (f"{prefix}/os-quota-sets/{{project_id}}", besides, "quotas"),
        (f"{prefix}/os-quota-sets/{{project_id}}/defaults", besides, "default_quotas"),
        (f"{prefix}/os-quota-class-sets/{{name}}", besides, "quota_class"),
        *((f"{prefix}/{path}", documents.Empty(key), None) for path, key in documents.EMPTY),
    ]
