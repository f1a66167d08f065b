# SPDX-License-Identifier: Apache-2.0
"""/volume/v3/types: what kinds of volumes there are, their specs, and who may use those that are not public.

Two specs mean something: `fs_type` (xfs or ext4) and `multiattach` ("<is> True"). Changes are for
administrators. The default type is always there.
"""

from __future__ import annotations

from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, lookups, pages, views
from zun_lite.api.volume.actions import read_action
from zun_lite.db import volume_quotas, volume_types, volumes
from zun_lite.db.volume_types import DEFAULT_ID, VolumeType
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import new_id
from zun_lite.volume.quotas import BY_TYPE, typed

FILE_SYSTEMS = ("xfs", "ext4")
MANAGE = "volume_extension:types_manage"


class Types:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """is_public: none is both, for administrators."""
        caller = req.context.caller
        asked = (req.get_param("is_public") or "true").lower()
        public = None if asked == "none" else bodies.truth("is_public", asked)
        with self._db.read() as tx:
            known = volume_types.every(tx)
        if caller.is_admin:
            shown = [kind for kind in known if public is None or kind.is_public == public]
        else:
            shown = [kind for kind in known if kind.is_for(caller.project_id)]
        found = [views.volume_type(kind, admin=caller.is_admin) for kind in shown]
        media.answer(resp, {"volume_types": pages.cut(req, found)})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        lookups.need_admin(caller, MANAGE)
        body = {key: value for key, value in bodies.read_object(req, "volume_type").items() if value is not None}
        public_key = "os-volume-type-access:is_public"
        bodies.refuse_unknown(body, frozenset(("name", "description", "extra_specs", public_key)))
        kind = VolumeType(
            new_id(),
            _name(body.get("name")),
            bodies.text("description", body["description"]) if "description" in body else None,
            bodies.truth(public_key, body.get(public_key, True)),
            read_specs(body.get("extra_specs", {})),
        )

        def work(tx: sa.Connection) -> None:
            _refuse_taken(tx, kind.uuid, kind.name)
            volume_types.insert(tx, kind)

        self._db.transact(work)
        media.answer(resp, {"volume_type": views.volume_type(kind, admin=True)})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        with self._db.read() as tx:
            kind = volume_types.default(tx) if ident == "default" else lookups.volume_type(tx, caller, ident)
        media.answer(resp, {"volume_type": views.volume_type(kind, admin=caller.is_admin)})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        lookups.need_admin(caller, MANAGE)
        body = {key: value for key, value in bodies.read_object(req, "volume_type").items() if value is not None}
        bodies.refuse_unknown(body, frozenset(("name", "description", "is_public")))
        changes: dict[str, Any] = {}
        if "name" in body:
            changes["name"] = _name(body["name"])
        if "description" in body:
            changes["description"] = bodies.text("description", body["description"])
        if "is_public" in body:
            changes["is_public"] = bodies.truth("is_public", body["is_public"])
        if not changes:
            raise bodies.bad_request("Specify volume type name, description, is_public or a combination thereof.")

        def work(tx: sa.Connection) -> VolumeType:
            kind = lookups.volume_type(tx, caller, ident)
            if "name" in changes and changes["name"] != kind.name:
                _refuse_taken(tx, kind.uuid, changes["name"])
                volumes.rename_type(tx, kind.name, changes["name"])
                for resource in BY_TYPE:
                    volume_quotas.rename(tx, typed(resource, kind.name), typed(resource, changes["name"]))
            volume_types.update(tx, kind, changes)
            return lookups.volume_type(tx, caller, ident)

        media.answer(resp, {"volume_type": views.volume_type(self._db.transact(work), admin=True)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        lookups.need_admin(caller, MANAGE)

        def work(tx: sa.Connection) -> None:
            kind = lookups.volume_type(tx, caller, ident)
            if kind.uuid == DEFAULT_ID:
                raise bodies.bad_request(
                    f"The volume type {kind.uuid} is the only default volume type and cannot be deleted."
                )
            if volumes.of_type(tx, kind.name):
                raise bodies.bad_request("Target volume type is still in use.")
            volume_types.remove(tx, kind.uuid)

        self._db.transact(work)
        resp.status = falcon.HTTP_202

    def on_get_encryption(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        """No type is encrypted."""
        with self._db.read() as tx:
            lookups.volume_type(tx, req.context.caller, ident)
        media.answer(resp, {})


class ExtraSpecs:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        with self._db.read() as tx:
            kind = lookups.volume_type(tx, caller, ident)
        media.answer(resp, {"extra_specs": views.volume_type(kind, admin=caller.is_admin)["extra_specs"]})

    def on_post(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        specs = read_specs(bodies.read_object(req, "extra_specs"))
        self._change(req.context.caller, ident, specs, frozenset())
        media.answer(resp, {"extra_specs": specs})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        caller = req.context.caller
        with self._db.read() as tx:
            specs = views.volume_type(lookups.volume_type(tx, caller, ident), admin=caller.is_admin)["extra_specs"]
        if key not in specs:
            raise _no_spec(ident, key)
        media.answer(resp, {key: specs[key]})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        specs = read_specs(bodies.read_document(req))
        if list(specs) != [key]:
            raise bodies.bad_request("Request body and URI mismatch: the body must have the key of the path alone.")
        self._change(req.context.caller, ident, specs, frozenset())
        media.answer(resp, specs)

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        self._change(req.context.caller, ident, {}, frozenset((key,)))
        resp.status = falcon.HTTP_202

    def _change(self, caller: Caller, ident: str, more: dict[str, str], less: frozenset[str]) -> None:
        """What is changed holds for volumes that are made from then on."""
        lookups.need_admin(caller, "volume_extension:types_extra_specs:create")

        def work(tx: sa.Connection) -> None:
            kind = lookups.volume_type(tx, caller, ident)
            missing = sorted(less - set(kind.extra_specs))
            if missing:
                raise _no_spec(ident, missing[0])
            kept = {key: value for key, value in kind.extra_specs.items() if key not in less}
            specs = {**kept, **more}
            if len(specs) > bodies.MOST_PAIRS:
                raise bodies.bad_request(f"A volume type has at most {bodies.MOST_PAIRS} extra specs.")
            volume_types.update(tx, kind, {"extra_specs": specs})

        self._db.transact(work)


class Access:
    """Who may use a type that is not public."""

    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        lookups.need_admin(caller, "volume_extension:volume_type_access:get_all_for_type")
        with self._db.read() as tx:
            kind = lookups.volume_type(tx, caller, ident)
        if kind.is_public:
            raise lookups.not_found("Access list not available for public volume types.")
        access = [{"volume_type_id": kind.uuid, "project_id": project_id} for project_id in kind.projects]
        media.answer(resp, {"volume_type_access": access})

    def on_post_action(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        lookups.need_admin(caller, "volume_extension:volume_type_access:addProjectAccess")
        name, given = read_action(req, {"addProjectAccess": None, "removeProjectAccess": None})
        project_id = bodies.text("project", given.get("project"))
        if not 1 <= len(project_id) <= 64:
            raise bodies.bad_request("Invalid input for field/attribute project. It must be a project's id.")

        def work(tx: sa.Connection) -> None:
            kind = lookups.volume_type(tx, caller, ident)
            if kind.is_public:
                raise errors.Conflict(
                    f"Type access modification is not applicable to public volume type {kind.uuid}.",
                    kind="conflictingRequest",
                )
            if name == "addProjectAccess":
                if project_id in kind.projects:
                    raise errors.Conflict(
                        f"Volume type access for {kind.uuid} / {project_id} combination already exists.",
                        kind="conflictingRequest",
                    )
                volume_types.allow(tx, kind.uuid, project_id)
            elif not volume_types.disallow(tx, kind.uuid, project_id):
                raise lookups.not_found(f"Volume type access not found for {kind.uuid} / {project_id} combination.")

        self._db.transact(work)
        resp.status = falcon.HTTP_202


def read_specs(value: Any) -> dict[str, str]:
    """Extra specs; those that mean something here must mean it well."""
    specs = bodies.metadata("extra_specs", value)
    if specs.get("fs_type", "xfs") not in FILE_SYSTEMS:
        raise bodies.bad_request(
            f"Invalid input for field/attribute extra_specs.fs_type. Value: {specs['fs_type'][:40]}. "
            f"It must be {' or '.join(FILE_SYSTEMS)}."
        )
    said = specs.get("multiattach", "<is> False").replace(" ", "").lower()
    if said not in ("<is>true", "<is>false"):
        raise bodies.bad_request(
            'Invalid input for field/attribute extra_specs.multiattach. It must be "<is> True" or "<is> False".'
        )
    return specs


def _name(value: Any) -> str:
    name = bodies.text("name", value).strip()
    if not name:
        raise bodies.bad_request("Volume type name can not be empty.")
    return name


def _refuse_taken(tx: sa.Connection, uuid: str, name: str) -> None:
    if any(kind.name == name and kind.uuid != uuid for kind in volume_types.every(tx)):
        raise errors.Conflict(f"Volume Type {name} already exists.", kind="conflictingRequest")


def _no_spec(ident: str, key: str) -> errors.NotFound:
    return lookups.not_found(f"Volume Type {ident} has no extra specs with key {key}.")
