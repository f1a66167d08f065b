# SPDX-License-Identifier: Apache-2.0
"""Images on hosts: an administrator asks for one, its host brings it, or lets it go."""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.control.means import Means
from zun_lite.db import host_images, hosts
from zun_lite.db.host_images import HostImage
from zun_lite.db.hosts import Host
from zun_lite.domain import errors, image_reference, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.desired import ImageNews, KeptImage


def pull(means: Means, caller: Caller, repo: str, tag: str | None, host_ident: str) -> HostImage:
    """Have a host bring an image and keep it. Invalid: no image's name, or no such host. Conflict: it is there."""
    given = image_reference.parse(repo)
    if given.registry:
        image_reference.check_registry(given.registry, means.allowed_registries)
    if given.digest:
        raise errors.Invalid("repo must be a name with or without a tag; an image by its digest cannot be kept.")
    wanted_tag = tag or given.tag or "latest"
    name = repo.removesuffix(f":{given.tag}") if given.tag else repo
    means.image_policy.check(image_reference.parse(f"{name}:{wanted_tag}"))
    uuid = names.new_id()

    def work(tx: sa.Connection) -> HostImage:
        host = hosts.by_name(tx, host_ident) or hosts.get(tx, host_ident)
        if host is None:
            raise errors.Invalid(f"Host {host_ident} could not be found.", kind="HostNotFound")
        made = host_images.insert(
            tx, uuid=uuid, project_id=caller.project_id or "", host=host.uuid, repo=name, tag=wanted_tag
        )
        if made is None:
            raise errors.Conflict(
                f"An image with tag {wanted_tag} and repo {name} is on host {host.name} already.",
                kind="ImageAlreadyExists",
            )
        return made

    made = means.db.transact(work)
    means.waker.wake()
    return made


def find(means: Means, ident: str) -> HostImage:
    """By uuid. NoSuchImage, which is what clients of this API expect."""
    uuid = names.as_id(ident)
    with means.db.read() as tx:
        found = host_images.get(tx, uuid) if uuid else None
    if found is None:
        raise errors.NoSuchImage(f"Image {ident} could not be found.", kind="ImageNotFound")
    return found


def delete(means: Means, image: HostImage) -> None:
    """Have its host let it go."""
    means.db.transact(lambda tx: host_images.unwant(tx, image))
    means.waker.wake()


def orders(tx: sa.Connection, host_uuid: str) -> list[KeptImage]:
    """What a host is to keep, or to let go."""
    return [
        KeptImage(image.uuid, str(image_reference.parse(f"{image.repo}:{image.tag}")), image.wanted)
        for image in host_images.on_host(tx, host_uuid)
    ]


def take_news(tx: sa.Connection, host: Host, news: ImageNews) -> None:
    """What a host says of an image that it was to keep."""
    if news.gone:
        host_images.forget(tx, host.uuid, news.uuid)
        return
    host_images.note(tx, host.uuid, news.uuid, image_id=news.image_id, size_bytes=news.size_bytes, problem=news.problem)
