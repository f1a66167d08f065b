# SPDX-License-Identifier: Apache-2.0
"""A user's application credentials and access rules; ident is the user's id.

A secret is in the answer to its making, and nowhere else.
"""

from __future__ import annotations

import falcon

from zun_lite.api import policy
from zun_lite.api.identity import views
from zun_lite.api.media import answer
from zun_lite.identity import delegations
from zun_lite.identity.delegations import Delegations


class Credentials:
    def __init__(self, made: Delegations, url: str) -> None:
        self._delegations = made
        self._url = url

    def on_get_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "identity:list_application_credentials", owner_user_id=ident)
        found = self._delegations.find(ident, req.get_param("name"))
        items = [views.credential(each, self._url) for each in found]
        url = f"{self._url}/users/{ident}/application_credentials"
        answer(resp, views.collection("application_credentials", items, url))

    def on_post_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "identity:create_application_credential", owner_user_id=ident)
        wish = delegations.read(req.get_media(default_when_empty={}))
        made, secret = self._delegations.create(req.context.token, wish)
        answer(resp, {"application_credential": {**views.credential(made, self._url), "secret": secret}}, 201)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, one_id: str) -> None:
        policy.enforce(req.context.caller, "identity:get_application_credential", owner_user_id=ident)
        answer(resp, {"application_credential": views.credential(self._delegations.get(ident, one_id), self._url)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, one_id: str) -> None:
        policy.enforce(req.context.caller, "identity:delete_application_credential", owner_user_id=ident)
        delegations.check_unrestricted(req.context.token)
        self._delegations.delete(ident, one_id)
        resp.status = 204


class AccessRules:
    def __init__(self, made: Delegations, url: str) -> None:
        self._delegations = made
        self._url = url

    def on_get_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "identity:list_access_rules", owner_user_id=ident)
        items = [views.access_rule(rule, self._url) for rule in self._delegations.rules(ident)]
        answer(resp, views.collection("access_rules", items, f"{self._url}/users/{ident}/access_rules"))

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, one_id: str) -> None:
        policy.enforce(req.context.caller, "identity:get_access_rule", owner_user_id=ident)
        answer(resp, {"access_rule": views.access_rule(self._delegations.rule(ident, one_id), self._url)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, one_id: str) -> None:
        policy.enforce(req.context.caller, "identity:delete_access_rule", owner_user_id=ident)
        delegations.check_unrestricted(req.context.token)
        self._delegations.delete_rule(ident, one_id)
        resp.status = 204
