# SPDX-License-Identifier: Apache-2.0
"""/v1/capsules and /v1/capsules/{ident}: create, list, show, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import idempotency, policy
from zun_lite.api.container import capsule_views, paging, parameters
from zun_lite.api.container.capsule_template import CapsuleRequest, TemplateReader, WantedVolume
from zun_lite.api.container.lists import SORT_KEYS
from zun_lite.api.container.shown import fields_shown, host_names, utc_now
from zun_lite.api.idempotency import Keep, Reply
from zun_lite.api.media import JSON, answer, is_json, read_object
from zun_lite.api.services import Services
from zun_lite.control import capsules, images
from zun_lite.control.create import create_capsule
from zun_lite.control.means import Means
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.capsule import CapsuleSpec, Member, assemble
from zun_lite.domain.spec import MountRequest, NetworkRequest


class Capsules:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._most = services.conf.api.max_limit
        self._reader = TemplateReader(services.conf.container)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        policy.enforce(caller, "capsule:create", caller.project_id)
        if not is_json(req):
            raise falcon.HTTPUnsupportedMediaType(description=f"Send the capsule's template as {JSON}.")
        idempotency.answer_once(
            self._means.db, req, resp, lambda keep: self._create(req, caller, keep), req.context.minor
        )

    def _create(self, req: falcon.Request, caller: Caller, keep: Keep) -> Reply:
        request = self._reader.read(caller, read_object(req))
        if caller.project_id is None:
            raise errors.Forbidden("A capsule belongs to a project; use a token that is scoped to one.")
        spec, names = _resolve(self._means, caller, request), host_names(self._means, caller)

        def reply(made: Workload) -> Reply:
            shown = _show(self._means, self._public_url, req, [made], names)[0]
            return Reply(202, shown, f"{self._public_url}/v1/capsules/{made.uuid}")

        def accepted(tx: sa.Connection, made: Workload) -> None:
            keep(tx, lambda: reply(made))

        return reply(create_capsule(self._means, caller, request.name, spec, accepted=accepted))

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Keys that are not known are let pass, and all_projects means nothing to who is no administrator."""
        caller, query = req.context.caller, parameters.of_query(req)
        policy.enforce(caller, "capsule:get_all", caller.project_id)
        asked = paging.read(query, SORT_KEYS, usual="id", most=self._most)
        all_projects = parameters.boolean(query, "all_projects") and caller.is_admin
        found = capsules.page(
            self._means,
            caller,
            limit=asked.limit,
            marker=asked.marker,
            sort_key=SORT_KEYS[asked.sort_key],
            descending=asked.descending,
            all_projects=all_projects,
        )
        marks, kept = [workload.uuid for workload in found], {"all_projects": "true"} if all_projects else {}
        following = paging.following(f"{self._public_url}/v1/capsules", asked, marks, kept)
        answer(resp, {"capsules": _show(self._means, self._public_url, req, found), "next": following})


class Capsule:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        parameters.boolean(parameters.of_query(req), "all_projects")
        found = capsules.find(self._means, caller, ident)
        policy.enforce(caller, "capsule:get", found.project_id, found.user_id)
        answer(resp, _show(self._means, self._public_url, req, [found])[0])

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        if parameters.boolean(parameters.of_query(req), "all_projects"):
            policy.enforce(caller, "capsule:delete_all_projects")
        found = capsules.find(self._means, caller, ident)
        policy.enforce(caller, "capsule:delete", found.project_id, found.user_id)
        capsules.delete(self._means, caller, found)
        resp.status = 204


def _resolve(means: Means, caller: Caller, request: CapsuleRequest) -> CapsuleSpec:
    """The whole spec, its images, volumes and network looked up with the caller's own rights."""
    members, init_members = (
        tuple(_with_image(means, caller, member) for member in some) for some in (request.members, request.init_members)
    )
    volumes = tuple((volume.name, _mount(means, caller, volume)) for volume in request.volumes)
    ids = [mount.volume_id for _, mount in volumes if mount.volume_id]
    if len(ids) != len(set(ids)):
        raise errors.Invalid("The same volume is named twice in spec.volumes; mount one entry where it is needed.")
    spec = assemble(
        members,
        init_members,
        volumes,
        request.restart_policy,
        labels=request.labels,
        annotations=request.annotations,
    )
    network = NetworkRequest(means.networks.default_network(caller))
    return replace(spec, networks=(network,), availability_zone=request.availability_zone)


def _with_image(means: Means, caller: Caller, member: Member) -> Member:
    return replace(member, spec=images.name_image(means, caller, member.spec))


def _mount(means: Means, caller: Caller, volume: WantedVolume) -> MountRequest:
    """target: where the volume would be in the sandbox, which mounts none; each member has paths of its own."""
    volume_id = means.volumes.resolve(caller, volume.volume_id)[0] if volume.volume_id else None
    return MountRequest(f"/{volume.name}", volume_id, volume.size_gib, auto_remove=volume.auto_remove)


def _show(
    means: Means,
    public_url: str,
    req: falcon.Request,
    found: list[Workload],
    names: dict[str | None, str] | None = None,
) -> list[dict[str, Any]]:
    """names: what host_names() answered; read here if it was not yet."""
    caller, now = req.context.caller, utc_now(means)
    names = host_names(means, caller) if names is None else names
    return [
        capsule_views.capsule(
            workload,
            minor=req.context.minor,
            public_url=public_url,
            now=now,
            shown=tuple(
                field
                for field in capsule_views.GUARDED
                if policy.allows(caller, f"capsule:get:{field}", workload.project_id)
            ),
            members_shown=fields_shown(caller, workload.project_id),
            host_name=names.get(workload.host),
        )
        for workload in found
    ]
