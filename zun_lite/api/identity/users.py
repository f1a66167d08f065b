# SPDX-License-Identifier: Apache-2.0
"""What hangs on users, groups and projects: passwords, a user's projects and groups, members, tags."""

from __future__ import annotations

import falcon

from zun_lite.api import policy
from zun_lite.api.identity.records import Records, check_reach, filters, listed, target
from zun_lite.api.media import answer
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.identity import nouns, requests
from zun_lite.identity.directory import Directory
from zun_lite.identity.embedded import EmbeddedIdentity
from zun_lite.identity.grants import Grants


class UserParts:
    """/users/{ident}/projects, /groups and /password. users: the records."""

    def __init__(self, identity: EmbeddedIdentity, directory: Directory, users: Records, url: str) -> None:
        self._identity = identity
        self._directory = directory
        self._users = users
        self._url = url

    def on_get_projects(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._users.looked_up(req.context.caller, "identity:list_user_projects", ident)
        equal = filters(req, nouns.PROJECT)
        rows = self._directory.projects_of(ident)
        rows = [row for row in rows if all(row[name] == value for name, value in equal.items())]
        answer(resp, listed(nouns.PROJECT, rows, self._url, f"users/{ident}/projects"))

    def on_get_groups(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._users.looked_up(req.context.caller, "identity:list_groups_for_user", ident)
        answer(resp, listed(nouns.GROUP, self._directory.groups_of(ident), self._url, f"users/{ident}/groups"))

    def on_post_password(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        """The old password is the proof, so that no token is asked for."""
        original, password = requests.read_change(req.get_media(default_when_empty={}))
        self._identity.change_password(ident, original, password, req.remote_addr)
        resp.status = 204


class Members:
    """/groups/{ident}/users and /groups/{ident}/users/{user_id}."""

    def __init__(self, directory: Directory, grants: Grants, groups: Records, url: str) -> None:
        self._directory = directory
        self._grants = grants
        self._groups = groups
        self._url = url

    def on_get_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._groups.looked_up(req.context.caller, "identity:list_users_in_group", ident)
        equal = filters(req, nouns.USER)
        rows = self._directory.members(ident)
        rows = [row for row in rows if all(row[name] == value for name, value in equal.items())]
        answer(resp, listed(nouns.USER, rows, self._url, f"groups/{ident}/users"))

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, user_id: str) -> None:
        self._check(req.context.caller, "identity:check_user_in_group", ident, user_id)
        if not self._directory.is_member(ident, user_id):
            raise errors.NotFound(f"User {user_id} is not in group {ident}.")
        resp.status = 204

    def on_head_one(self, req: falcon.Request, resp: falcon.Response, ident: str, user_id: str) -> None:
        self.on_get_one(req, resp, ident, user_id)

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str, user_id: str) -> None:
        self._check(req.context.caller, "identity:add_user_to_group", ident, user_id)
        check_reach(self._grants, req.context.caller, "group", ident)
        self._directory.join(ident, user_id)
        resp.status = 204

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, user_id: str) -> None:
        self._check(req.context.caller, "identity:remove_user_from_group", ident, user_id)
        check_reach(self._grants, req.context.caller, "group", ident)
        self._directory.leave(ident, user_id)
        resp.status = 204

    def _check(self, caller: Caller, rule: str, group_id: str, user_id: str) -> None:
        """Forbidden: the rule does not allow it for the domain that both are in."""
        group = self._directory.get(nouns.GROUP, group_id)
        user = self._directory.get(nouns.USER, user_id)
        both = group is not None and user is not None and group["domain_id"] == user["domain_id"]
        policy.enforce(caller, rule, **target(nouns.GROUP, group if both else None))


class Tags:
    """/projects/{ident}/tags and /projects/{ident}/tags/{tag}."""

    def __init__(self, directory: Directory, projects: Records, url: str) -> None:
        self._directory = directory
        self._projects = projects
        self._url = url

    def on_get_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._answer(resp, ident, self._tags(req.context.caller, ident))

    def on_put_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._projects.looked_up(req.context.caller, "identity:update_project_tags", ident)
        body = req.get_media(default_when_empty={})
        if not isinstance(body, dict) or "tags" not in body:
            raise errors.Invalid("The body must be an object with the key tags.")
        self._answer(resp, ident, self._directory.retag(ident, lambda _: body["tags"]))

    def on_delete_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._projects.looked_up(req.context.caller, "identity:update_project_tags", ident)
        self._directory.retag(ident, lambda _: [])
        resp.status = 204

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        if tag not in self._tags(req.context.caller, ident):
            raise errors.NotFound(f"Project {ident} has no tag {tag}.")
        resp.status = 204

    def on_head_one(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        self.on_get_one(req, resp, ident, tag)

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        self._projects.looked_up(req.context.caller, "identity:update_project_tags", ident)
        self._directory.retag(ident, lambda has: [*has, tag])
        resp.set_header("Location", f"{self._url}/projects/{ident}/tags/{tag}")
        resp.status = 201

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        self._projects.looked_up(req.context.caller, "identity:update_project_tags", ident)

        def without(has: list[str]) -> list[str]:
            if tag not in has:
                raise errors.NotFound(f"Project {ident} has no tag {tag}.")
            return [each for each in has if each != tag]

        self._directory.retag(ident, without)
        resp.status = 204

    def _tags(self, caller: Caller, ident: str) -> list[str]:
        row = self._projects.looked_up(caller, "identity:list_project_tags", ident)
        return row["extra"].get("tags", [])

    def _answer(self, resp: falcon.Response, ident: str, tags: list[str]) -> None:
        answer(resp, {"tags": tags, "links": {"self": f"{self._url}/projects/{ident}/tags"}})
