# SPDX-License-Identifier: Apache-2.0
"""What Keystone's answers come to, and what happens when it gives none."""

from __future__ import annotations

from unittest import mock

import requests
import testtools
import webob.exc
from keystonemiddleware.auth_token import _exceptions as middleware_errors

from zun_lite.common import config, request_ids
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import errors
from zun_lite.identity import keystone
from zun_lite.identity.base import AccessRule, Delegation, Named, Owned

DOMAIN = {"id": "d", "name": "Domain"}
BODY = {
    "user": {"id": "u", "name": "ann", "domain": DOMAIN, "password_expires_at": None},
    "methods": ["password"],
    "audit_ids": ["a", "b"],
    "issued_at": "2023-11-14T22:13:20.000000Z",
    "expires_at": "2023-11-14T23:13:20.000000Z",
    "project": {"id": "p", "name": "proj", "domain": DOMAIN},
    "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}],
}
RULE = {"id": "1", "service": "container", "method": "GET", "path": "/v1/containers"}


class AnswersTest(testtools.TestCase):
    def test_a_token_of_a_project(self):
        token = keystone.read(BODY)
        domain = Named("d", "Domain")
        self.assertEqual((Owned("u", "ann", domain), Owned("p", "proj", domain)), (token.user, token.project))
        self.assertEqual(({"member", "reader"}, None, False), (token.role_names, token.delegation, token.system))
        self.assertEqual(3600, token.expires_at - token.issued_at)

    def test_tokens_of_a_domain_of_the_system_and_of_nothing(self):
        bare = {key: value for key, value in BODY.items() if key not in ("project", "roles")}
        self.assertEqual(Named("d", "Domain"), keystone.read({**bare, "domain": DOMAIN}).domain)
        self.assertTrue(keystone.read({**bare, "system": {"all": True}}).system)
        self.assertFalse(keystone.read(bare).is_scoped)

    def test_an_application_credential_and_its_rules(self):
        made = {"id": "c", "name": "cred", "restricted": True}
        for rules, bound in (
            (None, None),
            ([], ()),
            ([RULE], (AccessRule("1", "container", "GET", "/v1/containers"),)),
        ):
            told = made if rules is None else {**made, "access_rules": rules}
            token = keystone.read({**BODY, "application_credential": told})
            self.assertEqual(Delegation("c", "cred", True, bound), token.delegation)


class ProviderTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = StoppedClock(1_700_000_000.0)

    def provider(self, **told):
        conf = config.load([], state_dir="/nonexistent/zun_lite")
        from keystonemiddleware import auth_token

        for group, options in auth_token.list_opts():
            conf.register_opts(options, group=group)
        for name, value in told.items():
            conf.set_override(name, value, group="keystone_authtoken")
        return keystone.KeystoneIdentity(conf, self.clock)

    def ready(self):
        return self.provider(www_authenticate_uri="http://keystone.invalid", auth_type="none", token_cache_time=30)

    def test_it_says_what_it_has_to_be_told(self):
        for told in ({}, {"www_authenticate_uri": "http://keystone.invalid"}):
            refused = self.assertRaises(errors.Invalid, self.provider, **told)
            self.assertIn("[keystone_authtoken]", refused.message)
        ready = self.ready()
        self.assertEqual(("http://keystone.invalid", 30.0), (ready.www_authenticate_uri, ready.believed_seconds))

    def test_without_the_middleware_it_says_what_to_install(self):
        with mock.patch.dict("sys.modules", {"keystonemiddleware": None}):
            refused = self.assertRaises(
                errors.Unavailable, keystone.KeystoneIdentity, config.load([], state_dir="/nonexistent"), self.clock
            )
        self.assertIn("zun_lite[keystone]", refused.message)

    def test_an_unknown_token_is_unauthorized_and_a_silent_keystone_unavailable(self):
        ready = self.ready()
        for raised, expected in (
            (middleware_errors.InvalidToken("no"), errors.Unauthorized),
            (webob.exc.HTTPServiceUnavailable("away"), errors.Unavailable),
        ):
            with mock.patch.object(ready._protocol, "fetch_token", side_effect=raised):
                self.assertRaises(expected, ready.validate, "token")

    def test_keystone_is_told_for_which_request_it_is_asked(self):
        asked = self.ready()._protocol._session
        answer = requests.Response()
        answer.status_code = 200
        given = "req-00000000-0000-0000-0000-0000000000aa"
        with mock.patch.object(asked.session, "request", return_value=answer) as sent:
            asked.get("http://keystone.invalid/v3")
            with request_ids.working_for(given):
                asked.get("http://keystone.invalid/v3")
        told = [call.kwargs["headers"].get(request_ids.HEADER) for call in sent.call_args_list]
        self.assertEqual([None, given], told)

    def test_an_expired_token_is_good_only_for_who_may_be_late(self):
        ready = self.ready()
        with mock.patch.object(ready._protocol, "fetch_token", return_value={"token": BODY}) as asked:
            ready.validate("token")
            self.clock.advance(3600)
            self.assertRaises(errors.Unauthorized, ready.validate, "token")
            self.assertEqual("p", ready.validate("token", allow_expired=True).project.id)
            self.assertEqual({"allow_expired": True}, asked.call_args.kwargs)
