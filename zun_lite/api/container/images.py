# SPDX-License-Identifier: Apache-2.0
"""/v1/images: images on hosts, for administrators; and the search for an image by its name, for all."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import policy
from zun_lite.api.container import paging, parameters
from zun_lite.api.media import JSON, answer, is_json, read_object
from zun_lite.api.services import Services
from zun_lite.control import host_images as images
from zun_lite.control.means import Means
from zun_lite.db import host_images as rows
from zun_lite.db import hosts
from zun_lite.db.host_images import HostImage
from zun_lite.domain import errors

PATH = "/v1/images"
SORT_KEYS = ("id", "uuid", "repo", "tag", "project_id", "host")
FIELDS = {"repo": (2, 255), "host": (1, 255), "tag": (1, 128), "image_id": (1, 255), "size": (1, 255)}
PULL_POLICIES = ("never", "always", "ifnotpresent")
MOST_FOUND = 100
DOCKER, GLANCE = "docker", "glance"


class HostImages:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._most = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, query = req.context.caller, parameters.of_query(req)
        policy.enforce(caller, "image:get_all", caller.project_id)
        asked = paging.read(query, SORT_KEYS, usual="id", most=self._most)
        with self._means.db.read() as tx:
            found = rows.page(tx, {"wanted": [True]}, asked.page)
        following = paging.following(f"{self._public_url}{PATH}", asked, [image.uuid for image in found])
        names = host_names(self._means)
        answer(resp, {"images": [view(self._public_url, image, names) for image in found], "next": following})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        policy.enforce(caller, "image:pull", caller.project_id)
        if not is_json(req):
            raise falcon.HTTPUnsupportedMediaType(description=f"Send the image's description as {JSON}.")
        body = _checked({**parameters.of_query(req), **read_object(req)})
        made = images.pull(self._means, caller, body["repo"], body.get("tag"), body["host"])
        resp.set_header("Location", f"{self._public_url}{PATH}/{made.uuid}")
        answer(resp, view(self._public_url, made, host_names(self._means)), 202)


class OneHostImage:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "image:get_one", req.context.caller.project_id)
        answer(resp, view(self._public_url, images.find(self._means, ident), host_names(self._means)))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "image:delete", req.context.caller.project_id)
        images.delete(self._means, images.find(self._means, ident))
        answer(resp, None)


class ImageSearch:
    """GET /v1/images/NAME/search: a bare list. Nothing outside of this installation is asked."""

    def __init__(self, services: Services) -> None:
        self._means = services.means

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller, query = req.context.caller, parameters.of_query(req)
        policy.enforce(caller, "image:search", caller.project_id)
        exactly = parameters.boolean(query, "exact_match")
        driver = query.get("image_driver") or DOCKER
        if driver == GLANCE:
            found = self._means.images.search(caller, ident, exactly=exactly, limit=MOST_FOUND)
            answer(
                resp,
                [
                    {
                        "id": image.uuid,
                        "name": image.name,
                        "tags": list(image.tags),
                        "status": image.status,
                        "size": image.size_bytes,
                        "metadata": {},
                    }
                    for image in found
                ],
            )
        elif driver == DOCKER:
            answer(resp, self._on_hosts(ident, exactly))
        else:
            raise errors.Invalid(f"image_driver must be docker or glance, not '{driver}'.", kind="InvalidValue")

    def _on_hosts(self, name: str, exactly: bool) -> list[dict[str, Any]]:
        with self._means.db.read() as tx:
            found = rows.named_like(tx, name, exactly=exactly, limit=MOST_FOUND)
        return [
            {
                "name": repo,
                "description": "",
                "is_official": "/" not in repo,
                "star_count": 0,
                "metadata": {"is_official": "/" not in repo, "star_count": 0},
            }
            for repo in dict.fromkeys(image.repo for image in found)
        ]


def view(public_url: str, image: HostImage, names: dict[str, str]) -> dict[str, Any]:
    return {
        "uuid": image.uuid,
        "links": [
            {"rel": "self", "href": f"{public_url}{PATH}/{image.uuid}"},
            {"rel": "bookmark", "href": f"{public_url}/images/{image.uuid}"},
        ],
        "image_id": image.image_id,
        "repo": image.repo,
        "tag": image.tag,
        "size": None if image.size_bytes is None else str(image.size_bytes),
        "project_id": image.project_id,
        "host": names.get(image.host),
    }


def host_names(means: Means) -> dict[str, str]:
    with means.db.read() as tx:
        return {host.uuid: host.name for host in hosts.every(tx)}


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(body) - {*FIELDS, "image_pull_policy"})
    if unknown:
        raise errors.Invalid(
            f"The body has unknown fields: {', '.join(unknown)}. There are: {', '.join(FIELDS)}, image_pull_policy.",
            kind="SchemaValidationError",
        )
    fields = {key: value for key, value in body.items() if value is not None}
    for key in ("repo", "host"):
        if key not in fields:
            raise errors.Invalid(f"The body lacks the required {key}.", kind="SchemaValidationError")
    for key, value in fields.items():
        least, most = FIELDS.get(key, (1, 255))
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise errors.Invalid(
                f"{key} must be a string of {least} to {most} characters.", kind="SchemaValidationError"
            )
    if str(fields.get("image_pull_policy", "always")).lower() not in PULL_POLICIES:
        raise errors.Invalid(
            f"image_pull_policy must be one of {', '.join(PULL_POLICIES)}.", kind="SchemaValidationError"
        )
    return fields
