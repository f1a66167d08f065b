# SPDX-License-Identifier: Apache-2.0
"""The embedded Cinder: the part of the Block Storage API v3 that stock clients need.

Resources read the request, ask zun_lite.volume and zun_lite.db, and show records as Cinder does.
"""

from __future__ import annotations

from zun_lite.api.services import Services
from zun_lite.api.volume import documents
from zun_lite.api.volume.actions import VolumeActions
from zun_lite.api.volume.attachments import Attachment, Attachments
from zun_lite.api.volume.messages import Messages
from zun_lite.api.volume.metadata import OF_SNAPSHOTS, OF_VOLUMES, Metadata
from zun_lite.api.volume.quotas import Quotas
from zun_lite.api.volume.snapshots import Snapshot, Snapshots
from zun_lite.api.volume.types import Access, ExtraSpecs, Types
from zun_lite.api.volume.volumes import Volume, Volumes


def resources(services: Services) -> list[tuple[str, object, str | None]]:
    """(path template, resource, suffix of its responders) of everything under /volume."""
    prefix = documents.PREFIX
    versions, types, besides = documents.Versions(services), Types(services), documents.Besides(services)
    volumes, snapshots, snapshot = Volumes(services), Snapshots(services), Snapshot(services)
    attachments, attachment = Attachments(services), Attachment(services)
    specs, access, quotas, extensions = ExtraSpecs(services), Access(services), Quotas(services), documents.Extensions()
    messages = Messages(services)
    of_volumes, of_snapshots = Metadata(services, OF_VOLUMES), Metadata(services, OF_SNAPSHOTS)
    return [
        ("/volume", versions, "root"),
        (prefix, versions, "v3"),
        (f"{prefix}/volumes", volumes, None),
        (f"{prefix}/volumes/detail", volumes, "detail"),
        (f"{prefix}/volumes/summary", volumes, "summary"),
        (f"{prefix}/volumes/{{ident}}", Volume(services), None),
        (f"{prefix}/volumes/{{ident}}/action", VolumeActions(services), None),
        (f"{prefix}/volumes/{{ident}}/metadata", of_volumes, None),
        (f"{prefix}/volumes/{{ident}}/metadata/{{key}}", of_volumes, "one"),
        (f"{prefix}/snapshots", snapshots, None),
        (f"{prefix}/snapshots/detail", snapshots, "detail"),
        (f"{prefix}/snapshots/{{ident}}", snapshot, None),
        (f"{prefix}/snapshots/{{ident}}/action", snapshot, "action"),
        (f"{prefix}/snapshots/{{ident}}/metadata", of_snapshots, None),
        (f"{prefix}/snapshots/{{ident}}/metadata/{{key}}", of_snapshots, "one"),
        (f"{prefix}/attachments", attachments, None),
        (f"{prefix}/attachments/detail", attachments, "detail"),
        (f"{prefix}/attachments/{{ident}}", attachment, None),
        (f"{prefix}/attachments/{{ident}}/action", attachment, "action"),
        (f"{prefix}/messages", messages, None),
        (f"{prefix}/messages/{{ident}}", messages, "one"),
        (f"{prefix}/types", types, None),
        (f"{prefix}/types/{{ident}}", types, "one"),
        (f"{prefix}/types/{{ident}}/encryption", types, "encryption"),
        (f"{prefix}/types/{{ident}}/extra_specs", specs, None),
        (f"{prefix}/types/{{ident}}/extra_specs/{{key}}", specs, "one"),
        (f"{prefix}/types/{{ident}}/os-volume-type-access", access, None),
        (f"{prefix}/types/{{ident}}/action", access, "action"),
        (f"{prefix}/limits", quotas, "limits"),
        (f"{prefix}/os-quota-sets/{{project_id}}", quotas, None),
        (f"{prefix}/os-quota-sets/{{project_id}}/defaults", quotas, "defaults"),
        (f"{prefix}/os-quota-class-sets/{{name}}", quotas, "class"),
        (f"{prefix}/os-availability-zone", besides, "zones"),
        (f"{prefix}/os-services", besides, "services"),
        (f"{prefix}/scheduler-stats/get_pools", besides, "pools"),
        (f"{prefix}/resource_filters", besides, "filters"),
        (f"{prefix}/extensions", extensions, None),
        (f"{prefix}/extensions/{{ident}}", extensions, "one"),
        *((f"{prefix}/{path}", documents.Empty(key), None) for path, key in documents.EMPTY),
    ]
