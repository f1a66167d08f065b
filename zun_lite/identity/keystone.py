# SPDX-License-Identifier: Apache-2.0
"""Identity from a Keystone that somebody else runs, asked by keystonemiddleware as every OpenStack service does.

What is in [keystone_authtoken] is keystonemiddleware's: where Keystone is, by whom it is asked, for how long
its answers are believed. Of the middleware only the part that looks tokens up is used: who the caller is never
comes from a header here, and answers are remembered by the API itself, bounded and for all threads.
"""

from __future__ import annotations

import datetime
from typing import Any

from oslo_config import cfg

from zun_lite.common import request_ids
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.identity.base import AccessRule, Delegation, Named, Owned, Token


class _NoCache:
    """Takes the place of the middleware's cache."""

    def get(self, token_id: str) -> None:
        return None

    def set(self, token_id: str, answer: Any) -> None:
        """Nothing is kept."""


class KeystoneIdentity:
    """Satisfies base.IdentityProvider. Connects when first asked, so that a server may fork after it was made."""

    def __init__(self, conf: cfg.ConfigOpts, clock: Clock) -> None:
        """Unavailable: keystonemiddleware is not installed. Invalid: it is not told where Keystone is."""
        try:
            from keystonemiddleware import auth_token
            from keystonemiddleware.auth_token import _exceptions as middleware_errors
        except ImportError as error:
            raise errors.Unavailable(
                "[identity] provider = keystone needs keystonemiddleware; install zun_lite[keystone]."
            ) from error
        import webob.exc
        from keystoneauth1 import exceptions as keystone_errors

        self._clock = clock
        self._invalid = middleware_errors.InvalidToken
        self._silent = (webob.exc.HTTPServiceUnavailable, keystone_errors.ClientException)

        class Lookups(auth_token.AuthProtocol):
            def _create_session(self, **options: Any) -> Any:
                made = super()._create_session(**options)
                made.additional_headers = request_ids.PassedOn()
                return made

            def _token_cache_factory(self) -> _NoCache:
                return _NoCache()

        self._protocol = Lookups(None, {"oslo_config_config": conf, "include_service_catalog": "false"})
        uri = conf.keystone_authtoken.www_authenticate_uri
        if not uri or not conf.keystone_authtoken.auth_type:
            raise errors.Invalid(
                "[identity] provider = keystone needs www_authenticate_uri, auth_type and what that asks for in "
                "[keystone_authtoken]."
            )
        self.www_authenticate_uri: str = uri
        self.believed_seconds = max(0.0, float(conf.keystone_authtoken.token_cache_time))

    def validate(self, token_id: str, *, allow_expired: bool = False) -> Token:
        """What the token says. Unauthorized: Keystone does not know it. Unavailable: Keystone does not answer."""
        try:
            body = self._protocol.fetch_token(token_id, allow_expired=allow_expired)["token"]
        except self._invalid as error:
            raise errors.Unauthorized("Keystone does not know the token.") from error
        except self._silent as error:
            raise errors.Unavailable("Keystone does not answer, so that no token can be looked at.") from error
        token = read(body)
        if token.expires_at <= self._clock.now() and not allow_expired:
            raise errors.Unauthorized("The token has expired.")
        return token


def read(body: dict[str, Any]) -> Token:
    """The token that Keystone's answer speaks of."""
    project, domain, made = body.get("project"), body.get("domain"), body.get("application_credential")
    return Token(
        user=_owned(body["user"]),
        methods=tuple(body.get("methods", ())),
        audit_ids=tuple(body.get("audit_ids", ())),
        issued_at=_seconds(body["issued_at"]),
        expires_at=_seconds(body["expires_at"]),
        project=_owned(project) if project else None,
        domain=Named(domain["id"], domain["name"]) if domain else None,
        system=bool(body.get("system")),
        roles=tuple(Named(role["id"], role["name"]) for role in body.get("roles", ())),
        delegation=_delegation(made) if made else None,
    )


def _delegation(made: dict[str, Any]) -> Delegation:
    rules = made.get("access_rules")
    bound = None
    if rules is not None:
        bound = tuple(AccessRule(each["id"], each["service"], each["method"], each["path"]) for each in rules)
    return Delegation(made["id"], made["name"], bool(made.get("restricted", True)), bound)


def _owned(body: dict[str, Any]) -> Owned:
    return Owned(body["id"], body["name"], Named(body["domain"]["id"], body["domain"]["name"]))


def _seconds(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment).timestamp()
