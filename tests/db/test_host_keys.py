# SPDX-License-Identifier: Apache-2.0
"""A host's key: exchanged, asked for, ended, revoked; and what each key is good for in between."""

from __future__ import annotations

import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.builders import a_caller, a_host, a_spec, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.common import grants
from zun_lite.control import create, host_keys, reports
from zun_lite.control.host_keys import OVERLAP_SECONDS
from zun_lite.db import hosts, workloads
from zun_lite.domain import errors
from zun_lite.domain.desired import Inventory, Report
from zun_lite.domain.resources import Resources


@on_every_database
class HostKeysTest(DatabaseTestCase):
    def setUp(self):
        super().setUp()
        self.means = means_of(self.db)
        self.host = a_host(self.means)
        self.old, self.new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        mine = hosts.hosts.update().values(public_key=grants.public_text(self.old))
        self.db.transact(lambda tx: tx.execute(mine))

    def check(self, key: Ed25519PrivateKey) -> host_keys.Proof:
        token = grants.sign(key, grants.API_AUDIENCE, {"sub": self.host.uuid}, self.means.clock)
        return host_keys.check(self.means, token)

    def offer(self, signing: Ed25519PrivateKey, new: Ed25519PrivateKey) -> None:
        host_keys.exchange(self.means, self.check(signing), grants.public_text(new))

    def age(self, **span: float) -> None:
        """As if the key had been the host's for so much longer."""
        since = self.stored().key_made_at - datetime.timedelta(**span)
        self.db.transact(lambda tx: tx.execute(hosts.hosts.update().values(key_made_at=since)))

    def stored(self) -> hosts.Host:
        with self.db.read() as tx:
            return hosts.get(tx, self.host.uuid)

    def wanted(self) -> bool:
        return reports.heartbeat(self.means, self.stored(), "boot1", None).key_wanted

    def placed(self) -> str | None:
        made = create.create_container(self.means, a_caller(), "web", a_spec(), run=True)
        with self.db.read() as tx:
            return workloads.get(tx, made.uuid).host

    def join(self, key: Ed25519PrivateKey) -> str:
        def add(tx):
            hosts.add_join_token(tx, "once", "host1", self.db.now(tx) + datetime.timedelta(minutes=1))

        if not self.joining:
            self.db.transact(add)
            self.joining = True
        return reports.enrol(self.means, "once", "host1", "192.0.2.9:1", grants.public_text(key))

    joining = False

    def test_a_new_key_is_good_at_once_and_the_one_before_it_for_a_while(self):
        self.assertRaises(errors.Unauthorized, self.check, self.new)
        self.offer(self.old, self.new)
        self.assertEqual([self.host.uuid] * 2, [self.check(key).host.uuid for key in (self.old, self.new)])
        self.age(seconds=OVERLAP_SECONDS)
        self.assertRaises(errors.Unauthorized, self.check, self.old)
        self.check(self.new)

    def test_what_was_offered_may_be_offered_again_by_either_key(self):
        self.offer(self.old, self.new)
        made = self.stored().key_made_at
        self.offer(self.old, self.new)
        self.offer(self.new, self.new)
        self.assertEqual(made, self.stored().key_made_at)
        self.assertEqual(grants.public_text(self.old), self.stored().previous_key)

    def test_c8_of_two_machines_with_one_key_one_is_nobody_after_the_exchange(self):
        """C8."""
        self.offer(self.old, self.new)
        self.assertRaises(errors.Conflict, self.offer, self.old, Ed25519PrivateKey.generate())
        self.assertEqual(grants.public_text(self.new), self.stored().public_key)
        self.age(seconds=OVERLAP_SECONDS)
        self.assertRaises(errors.Unauthorized, self.check, self.old)
        self.check(self.new)

    def test_a_key_that_is_old_or_that_an_operator_dislikes_is_asked_for(self):
        self.assertFalse(self.wanted())
        self.age(hours=23)
        self.assertFalse(self.wanted())
        self.age(hours=1)
        self.assertTrue(self.wanted())
        self.offer(self.old, self.new)
        self.assertFalse(self.wanted())
        host_keys.want(self.means, "host1")
        self.assertTrue(self.wanted())
        self.offer(self.new, Ed25519PrivateKey.generate())
        self.assertFalse(self.wanted())
        self.assertRaises(errors.NotFound, host_keys.want, self.means, "host9")

    def test_a_key_that_was_not_exchanged_for_long_ends_until_the_host_joins_anew(self):
        self.age(days=29.9)
        self.check(self.old)
        self.age(days=0.2)
        with self.assertRaisesRegex(errors.Unauthorized, "has ended; it must join anew"):
            self.check(self.old)
        self.assertEqual(self.host.uuid, self.join(self.old))
        self.check(self.old)

    def test_c8_a_key_that_was_revoked_is_nobodys_at_once_and_never_again(self):
        """C8."""
        self.offer(self.old, self.new)
        held = self.stored()
        self.assertEqual(self.host.uuid, self.placed())
        host_keys.revoke(self.means, "host1")
        host_keys.revoke(self.means, "host1")
        for key in (self.old, self.new):
            self.assertRaises(errors.Unauthorized, self.check, key)
        # what had been let in before
        reports.take(self.means, held, Report("boot1", Inventory(Resources(8, 16384, 100)), True, ()))
        self.assertEqual(hosts.UNKNOWN, self.stored().state)
        self.assertIsNone(self.placed())
        self.assertRaises(errors.Conflict, host_keys.want, self.means, "host1")
        self.assertRaises(errors.Forbidden, self.join, self.new)
        other = Ed25519PrivateKey.generate()
        self.assertEqual(self.host.uuid, self.join(other))
        self.check(other)
