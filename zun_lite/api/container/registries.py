# SPDX-License-Identifier: Apache-2.0
"""/v1/registries: the registries of a project, with the login for each. A password is never shown."""

from __future__ import annotations

import re
from typing import Any

import falcon

from zun_lite.api import policy
from zun_lite.api.container import paging, parameters
from zun_lite.api.container.schema import NAME
from zun_lite.api.media import JSON, answer, is_json, read_object
from zun_lite.api.services import Services
from zun_lite.control import registries
from zun_lite.db.registries import Registry
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller

PATH = "/v1/registries"
HIDDEN = "***"
FIELDS = ("name", "domain", "username", "password")
FILTERS = ("name", "domain", "username", "project_id", "user_id")
SORT_KEYS = ("id", "uuid", "name", "domain", "username", "project_id", "user_id", "created_at")
PAGING = ("limit", "marker", "sort_key", "sort_dir", "resource_url", "expand", "all_projects")


class Registries:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._most = services.conf.api.max_limit

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        policy.enforce(caller, "registry:create", caller.project_id)
        if not is_json(req):
            raise falcon.HTTPUnsupportedMediaType(description=f"Send the registry's description as {JSON}.")
        fields = _fields(req)
        if not fields.get("domain"):
            raise errors.Invalid("registry lacks the required domain.", kind="SchemaValidationError")
        made = registries.create(self._means, caller, registries.NewRegistry(**fields))
        resp.set_header("Location", f"{self._public_url}{PATH}/{made.uuid}")
        answer(resp, {"registry": show(self._public_url, made)}, 201)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, query = req.context.caller, parameters.of_query(req)
        policy.enforce(caller, "registry:get_all", caller.project_id)
        parameters.refuse_unknown(query, (*PAGING, *FILTERS))
        all_projects = parameters.boolean(query, "all_projects")
        if all_projects:
            policy.enforce(caller, "registry:get_all_all_projects")
        asked = paging.read(query, SORT_KEYS, usual="id", most=self._most)
        found = registries.page(
            self._means,
            caller,
            {key: [query[key]] for key in FILTERS if key in query},
            asked.page,
            all_projects=all_projects,
        )
        kept = {key: value for key, value in query.items() if key in FILTERS or key == "all_projects"}
        marks = [registry.uuid for registry in found]
        following = paging.following(f"{self._public_url}{PATH}", asked, marks, kept)
        answer(resp, {"registries": [_view(registry) for registry in found], "next": following})


class OneRegistry:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        registry = self._find(req.context.caller, ident, "get_one")
        answer(resp, {"registry": show(self._public_url, registry)})

    def on_patch(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        registry = self._find(req.context.caller, ident, "update")
        changed = registries.update(self._means, registry, _fields(req))
        answer(resp, {"registry": show(self._public_url, changed)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        registries.delete(self._means, self._find(req.context.caller, ident, "delete"))
        resp.status = 204

    def _find(self, caller: Caller, ident: str, verb: str) -> Registry:
        registry = registries.find(self._means, caller, ident, anywhere=caller.is_admin)
        policy.enforce(caller, f"registry:{verb}", registry.project_id, registry.user_id)
        return registry


def show(public_url: str, registry: Registry) -> dict[str, Any]:
    bookmark = f"{public_url}/registries/{registry.uuid}"
    links = [
        {"rel": "self", "href": f"{public_url}{PATH}/{registry.uuid}"},
        {"rel": "bookmark", "href": bookmark},
    ]
    return {**_view(registry), "links": links}


def _view(registry: Registry) -> dict[str, Any]:
    return {
        "uuid": registry.uuid,
        "user_id": registry.user_id,
        "project_id": registry.project_id,
        "name": registry.name or None,
        "domain": registry.domain,
        "username": registry.username or None,
        "password": HIDDEN,
        "created_at": str(registry.created_at),
        "updated_at": str(registry.updated_at) if registry.updated_at else None,
    }


def _fields(req: falcon.Request) -> dict[str, Any]:
    """What the body says of the registry; clients send null for what they do not mean."""
    body = read_object(req).get("registry")
    if not isinstance(body, dict):
        raise errors.Invalid("The body must be an object with the key registry.", kind="SchemaValidationError")
    unknown = sorted(set(body) - set(FIELDS))
    if unknown:
        raise errors.Invalid(
            f"registry has unknown fields: {', '.join(unknown)}. There are: {', '.join(FIELDS)}.",
            kind="SchemaValidationError",
        )
    fields = {key: value for key, value in body.items() if value is not None}
    for key, value in fields.items():
        if not isinstance(value, str) or not 1 <= len(value) <= 255:
            raise errors.Invalid(
                f"registry.{key} must be a string of 1 to 255 characters.", kind="SchemaValidationError"
            )
    name = fields.get("name")
    if name is not None and (len(name) < 2 or not re.fullmatch(NAME, name)):
        raise errors.Invalid(
            "registry.name must be 2 to 255 letters, digits, '_', '.' and '-', the first a letter or a digit.",
            kind="SchemaValidationError",
        )
    return fields
