# SPDX-License-Identifier: Apache-2.0
"""Make an image of a container: the record at once, the bytes later, from the container's host.

The host finds the order in its set for as long as the image has no bytes, so that one that died in between
begins again. The action ends in the transaction that makes the image active, or gives it up.
"""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.control.actions import check_state, holding
from zun_lite.control.means import Means
from zun_lite.db import actions, images, revisions
from zun_lite.db import workloads as workload_rows
from zun_lite.db.hosts import Host
from zun_lite.db.images import Image
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors, image_reference, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.desired import CommitOrder, ImageNews
from zun_lite.domain.lifecycle import PASS_THROUGH
from zun_lite.image.base import Source

VERB = "commit"
DELETED = "The image was deleted before it was made."
CONTAINER_GONE = "The container was deleted before its image was made."


def commit(means: Means, caller: Caller, workload: Workload, repository: str, tag: str) -> str:
    """The id of an image, named repository and tagged, that will come to be. WrongState, Conflict, Invalid."""
    found = image_reference.parse(f"{repository}:{tag}")
    if found.tag != tag or found.digest:
        raise errors.Invalid(f"repository must be a name like team/app, without tag or digest, not '{repository}'.")
    image_id = names.new_id()

    def accept(tx: sa.Connection) -> None:
        current, status = holding(tx, workload.uuid)
        check_state(status, current, VERB, PASS_THROUGH[VERB])
        if current.host is None or current.observed is None or current.observed.container_id is None:
            raise errors.Conflict(f"Container {current.uuid} was not made on any host, so there is nothing to {VERB}.")
        revisions.raise_one(tx, revisions.host(current.host))
        means.images.make(tx, image_id, current.project_id, repository, tag, current.uuid, caller.request_id)
        actions.begin(
            tx,
            request_id=caller.request_id,
            workload_uuid=current.uuid,
            project_id=current.project_id,
            user_id=caller.user_id,
            action=VERB,
            generation=None,
        )

    means.db.transact(accept)
    means.waker.wake()
    return image_id


def orders(tx: sa.Connection, workload_uuids: list[str]) -> list[CommitOrder]:
    """What is to be made of these containers."""
    return [CommitOrder(image.uuid, image.workload_uuid or "") for image in images.being_made_of(tx, workload_uuids)]


def take_bytes(means: Means, host: Host, image_id: str, source: Source, size_bytes: int | None) -> None:
    """The image's bytes from the host of its container. NotFound: this host has no such image to make."""
    with means.db.read() as tx:
        image = images.get(tx, image_id)
        workload = workload_rows.get(tx, image.workload_uuid) if image and image.workload_uuid else None
    if image is None or workload is None or workload.host != host.uuid:
        raise errors.NotFound("This host has no such image to make.")
    means.images.store(image_id, source, size_bytes, also=lambda tx: _end(tx, image, None))


def take_news(tx: sa.Connection, host: Host, news: ImageNews) -> bool:
    """What a host says of an order to make an image; whether it was one."""
    image = images.get(tx, news.uuid)
    workload = workload_rows.get(tx, image.workload_uuid) if image and image.workload_uuid else None
    if image is None or workload is None or workload.host != host.uuid:
        return False
    if news.problem and images.give_up_upload(tx, image.uuid, images.KILLED):
        _end(tx, image, news.problem)
    return True


def container_gone(tx: sa.Connection, workload_uuid: str) -> None:
    """Give up what was to be made of a container that is no more."""
    for image in images.being_made_of(tx, [workload_uuid]):
        images.give_up_upload(tx, image.uuid, images.KILLED)
        _end(tx, image, CONTAINER_GONE)


def image_removed(tx: sa.Connection, image: Image) -> None:
    """Somebody deleted an image, that may still have been in the making."""
    if image.status in (images.QUEUED, images.SAVING):
        _end(tx, image, DELETED)


def _end(tx: sa.Connection, image: Image, failure: str | None) -> None:
    if image.workload_uuid is None or image.request_id is None:
        return
    actions.end(tx, image.request_id, image.workload_uuid, failure=failure)
    workload = workload_rows.get(tx, image.workload_uuid)
    if workload is not None and workload.host is not None:
        revisions.raise_one(tx, revisions.host(workload.host))
