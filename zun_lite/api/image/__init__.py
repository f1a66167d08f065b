# SPDX-License-Identifier: Apache-2.0
"""The embedded Glance: the part of the Image API v2 that stock clients need for images of containers.

Resources read the request, ask zun_lite.image and zun_lite.db, and show records as Glance does.
"""

from __future__ import annotations

from zun_lite.api.image import documents
from zun_lite.api.image.images import ImageFile, Images, Members, OneImage, Tags
from zun_lite.api.image.transfers import Transfers
from zun_lite.api.services import Services


def resources(services: Services, transfers: Transfers) -> list[tuple[str, object, str | None]]:
    """(path template, resource, suffix of its responders) of everything under /image."""
    versions, one = documents.Versions(services), f"{documents.PREFIX}/images/{{ident}}"
    return [
        ("/image", versions, None),
        ("/image/versions", versions, None),
        (documents.PREFIX, versions, None),
        (f"{documents.PREFIX}/images", Images(services), None),
        (one, OneImage(services), None),
        (f"{one}/file", ImageFile(services, transfers), None),
        (f"{one}/tags/{{tag}}", Tags(services), None),
        (f"{one}/members", Members(services), None),
        *documents.fixed(),
    ]
