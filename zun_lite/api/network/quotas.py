# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/quotas"""

from __future__ import annotations

from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.network import bodies
from zun_lite.api.services import Services
from zun_lite.db import network_quotas, revisions
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.network.quotas import MOST, RESOURCES, UNLIMITED, scope, used

LONGEST_PROJECT_ID = 64
# Said by clients; neither is a limit.
_BESIDES = ("check_limit", "force", "project_id", "tenant_id")


class Quotas:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._quotas = services.means.network_quotas

    def on_get_all(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Of every project for which something is set."""
        _need_admin(req.context.caller, "see the quotas of all projects")
        with self._db.read() as tx:
            found = [
                {**self._quotas.of_project(tx, project_id), "project_id": project_id, "tenant_id": project_id}
                for project_id in network_quotas.projects(tx)
            ]
        media.answer(resp, {"quotas": found})

    def on_get(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        project_id = _own(req.context.caller, project_id)
        with self._db.read() as tx:
            media.answer(resp, {"quota": self._quotas.of_project(tx, project_id)})

    def on_get_default(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        _own(req.context.caller, project_id)
        media.answer(resp, {"quota": self._quotas.limits})

    def on_get_details(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        project_id = _own(req.context.caller, project_id)
        with self._db.read() as tx:
            limits, counts = self._quotas.of_project(tx, project_id), used(tx, project_id)
        details = {name: {"limit": limits[name], "used": counts[name], "reserved": 0} for name in RESOURCES}
        media.answer(resp, {"quota": details})

    def on_put(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        _need_admin(req.context.caller, "change quotas")
        project_id = project_id.removesuffix(".json")
        if len(project_id) > LONGEST_PROJECT_ID:
            raise bodies.invalid("project_id", f"it has more than {LONGEST_PROJECT_ID} characters")
        (item,), _ = bodies.read_items(req, "quota")
        limits, check = _read(item)

        def work(tx: sa.Connection) -> dict[str, int]:
            revisions.raise_one(tx, scope(project_id))
            if check:
                _check(limits, used(tx, project_id))
            network_quotas.set_for_project(tx, project_id, limits)
            return self._quotas.of_project(tx, project_id)

        media.answer(resp, {"quota": self._db.transact(work)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        _need_admin(req.context.caller, "reset quotas")
        project_id = project_id.removesuffix(".json")
        if not self._db.transact(lambda tx: network_quotas.reset_project(tx, project_id)):
            raise errors.NotFound(
                f"Quota for tenant {project_id} could not be found; it has the defaults.", kind="TenantQuotaNotFound"
            )
        resp.status = falcon.HTTP_204


def _read(item: dict[str, Any]) -> tuple[dict[str, int], bool]:
    """(limits by resource, whether none may be below what is used)."""
    unknown = [field for field in item if field not in RESOURCES and field not in _BESIDES]
    if unknown:
        raise bodies.bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)[:200]}'")
    read = bodies.integer(UNLIMITED, MOST)
    limits = {field: read(field, value) for field, value in item.items() if field in RESOURCES and value is not None}
    return limits, bodies.boolean("check_limit", item.get("check_limit") or False)


def _check(limits: dict[str, int], counts: dict[str, int]) -> None:
    below = sorted(name for name, most in limits.items() if most != UNLIMITED and most < counts[name])
    if below:
        raise errors.Invalid(
            f"Quota limit exceeded: more is used than would be allowed of {', '.join(below)}.",
            kind="InvalidQuotaValue",
        )


def _own(caller: Caller, project_id: str) -> str:
    project_id = project_id.removesuffix(".json")
    if project_id != caller.project_id and not caller.is_admin:
        raise errors.Forbidden("The quota of another project is for administrators.", kind="PolicyNotAuthorized")
    return project_id


def _need_admin(caller: Caller, what: str) -> None:
    if not caller.is_admin:
        raise errors.Forbidden(f"Only an administrator may {what}.", kind="PolicyNotAuthorized")
