# SPDX-License-Identifier: Apache-2.0
"""The identity service's records, roles, credentials and counts of guesses, on every database."""

from __future__ import annotations

import datetime
import threading

import sqlalchemy as sa

from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.common.clock import StoppedClock
from zun_lite.db import application_credentials, entries, roles, sign_ins
from zun_lite.db import identity as rows
from zun_lite.db.application_credentials import AccessRule, Credential
from zun_lite.db.roles import Assignment
from zun_lite.domain import errors
from zun_lite.identity import nouns
from zun_lite.identity.delegations import Delegations
from zun_lite.identity.directory import Directory
from zun_lite.identity.grants import Grants, Wanted
from zun_lite.identity.guesses import Bounds, Guesses


@on_every_database
class IdentityRowsTest(DatabaseTestCase):
    def setUp(self):
        super().setUp()
        self.directory, self.grants = Directory(self.db), Grants(self.db)
        self.domain = self.make(nouns.DOMAIN, name="d")["id"]

    def make(self, noun, **fields):
        return self.directory.create(noun, noun.read({noun.key: fields}))

    def within(self, noun, name, **more):
        return self.make(noun, name=name, domain_id=self.domain, **more)

    def test_names_are_told_apart_by_case_and_are_there_once(self):
        for noun in (nouns.PROJECT, nouns.USER, nouns.GROUP):
            self.within(noun, "name")
            self.within(noun, "Name")
            self.assertRaises(errors.Conflict, self.within, noun, "name")
        self.make(nouns.ROLE, name="r")
        self.make(nouns.ROLE, name="r", domain_id=self.domain)
        self.assertRaises(errors.Conflict, self.make, nouns.ROLE, name="r")

    def test_of_racing_makers_of_one_name_one_wins(self):
        ends = []

        def race():
            try:
                ends.append(self.within(nouns.USER, "ann")["name"])
            except errors.Conflict:
                ends.append("conflict")

        threads = [threading.Thread(target=race) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(["ann"] + ["conflict"] * 5, sorted(ends))

    def test_what_is_unknown_is_kept_and_shown_as_it_came(self):
        made = self.within(nouns.PROJECT, "p", colour=["blue", {"deep": True}], tags=["b", "a"])
        changed = self.directory.update(
            nouns.PROJECT,
            made["id"],
            nouns.PROJECT.read({"project": {"size": 7}}, self.directory.get(nouns.PROJECT, made["id"])),
        )
        shown = nouns.PROJECT.show(changed)
        self.assertEqual((["blue", {"deep": True}], 7, ["a", "b"]), (shown["colour"], shown["size"], shown["tags"]))

    def test_a_domain_goes_with_credentials_rules_and_trees_of_projects_in_it(self):
        user = self.within(nouns.USER, "u", password="x")
        top = self.within(nouns.PROJECT, "top")
        low = self.within(nouns.PROJECT, "low", parent_id=top["id"])
        role = self.make(nouns.ROLE, name="r", domain_id=self.domain)
        self.grants.give(Assignment(roles.USER, user["id"], roles.PROJECT, low["id"], role["id"]))
        with self.db.transaction() as tx:
            rule = AccessRule("rule", user["id"], "container", "GET", "/v1")
            application_credentials.add_rule(tx, rule)
            application_credentials.add(
                tx, Credential("c", user["id"], low["id"], "c", None, "h", [role["id"]], None, False), [rule.id]
            )
        self.assertRaises(errors.Forbidden, self.directory.delete, nouns.DOMAIN, self.domain)
        self.directory.update(nouns.DOMAIN, self.domain, {"enabled": False})
        self.directory.delete(nouns.DOMAIN, self.domain)
        with self.db.read() as tx:
            tables = (rows.users, rows.projects, rows.domains, roles.roles, roles.role_assignments)
            tables += (application_credentials.application_credentials, application_credentials.access_rules)
            for table in tables:
                self.assertEqual([], tx.execute(table.select()).all(), table.name)

    def test_a_rule_in_use_cannot_go_even_from_under_a_credential_in_the_making(self):
        user, project = self.within(nouns.USER, "u"), self.within(nouns.PROJECT, "p")
        with self.db.transaction() as tx:
            application_credentials.add_rule(tx, AccessRule("rule", user["id"], "container", "GET", "/v1"))
            application_credentials.add(
                tx, Credential("c", user["id"], project["id"], "c", None, "h", [], None, False), ["rule"]
            )
        delegations = Delegations(self.db, StoppedClock())
        self.assertRaises(errors.Forbidden, delegations.delete_rule, user["id"], "rule")
        with self.db.engine.connect() as connection:
            self.assertRaises(sa.exc.IntegrityError, application_credentials.remove_rule, connection, "rule")
        self.directory.delete(nouns.PROJECT, project["id"])
        delegations.delete_rule(user["id"], "rule")
        self.assertEqual([], delegations.rules(user["id"]))

    def test_roles_by_groups_by_inheritance_and_by_implication(self):
        user, group = self.within(nouns.USER, "u"), self.within(nouns.GROUP, "g")
        top = self.within(nouns.PROJECT, "top")
        low = self.within(nouns.PROJECT, "low", parent_id=top["id"])
        big, small = self.make(nouns.ROLE, name="big")["id"], self.make(nouns.ROLE, name="small")["id"]
        self.grants.imply(big, small)
        self.directory.join(group["id"], user["id"])
        self.directory.join(group["id"], user["id"])
        self.grants.give(Assignment(roles.GROUP, group["id"], roles.PROJECT, top["id"], big, True))
        self.grants.give(Assignment(roles.USER, user["id"], roles.SYSTEM, roles.ALL, small))
        found = self.grants.assignments(Wanted(user_id=user["id"]), effective=True)
        expected = {
            (roles.PROJECT, low["id"], big),
            (roles.PROJECT, low["id"], small),
            (roles.SYSTEM, roles.ALL, small),
        }
        self.assertEqual(expected, {(each.scope, each.target_id, each.role_id) for each in found})
        plain = self.grants.assignments(Wanted(project_id=top["id"], subtree=True))
        self.assertEqual([(roles.GROUP, True)], [(each.actor, each.inherited) for each in plain])
        self.assertEqual([low["id"]], [each["id"] for each in self.directory.projects_of(user["id"])])
        self.directory.leave(group["id"], user["id"])
        self.assertRaises(errors.NotFound, self.directory.leave, group["id"], user["id"])
        self.assertEqual([], self.directory.projects_of(user["id"]))
        given = Assignment(roles.GROUP, group["id"], roles.PROJECT, top["id"], big, True)
        self.grants.take(given)
        self.assertRaises(errors.NotFound, self.grants.take, given)

    def test_many_more_records_than_one_statement_takes_are_found(self):
        with self.db.transaction() as tx:
            for number in range(3):
                rows.add_project(tx, f"p{number}", self.domain, f"n{number}")
            wanted = [f"p{number}" for number in range(2500)]
            self.assertEqual(
                ["n0", "n1", "n2"], [row["name"] for row in entries.find(tx, rows.projects, {"id": wanted})]
            )

    def test_guesses_of_many_at_once_are_all_counted_and_forgotten_in_time(self):
        clock = StoppedClock()
        guesses = Guesses(self.db, clock, Bounds(per_user=8, per_address=8, window_seconds=60))
        threads = [threading.Thread(target=guesses.note, args=(f"user {n % 2}", "192.0.2.1")) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertFalse(guesses.is_locked("user 0"))
        self.assertRaises(errors.TooMany, guesses.check_address, "192.0.2.1")
        guesses.check_address("192.0.2.2")
        for _ in range(4):
            guesses.note("user 0", None)
        self.assertTrue(guesses.is_locked("user 0"))
        guesses.forget("user 0")
        self.assertFalse(guesses.is_locked("user 0"))
        clock.advance(61)
        guesses.check_address("192.0.2.1")
        guesses.note("user 9", None)
        with self.db.read() as tx:
            self.assertEqual(1, len(tx.execute(sign_ins.failed_sign_ins.select()).all()))

    def test_whoever_has_a_whole_ipv6_network_is_one(self):
        guesses = Guesses(self.db, StoppedClock(), Bounds(per_address=1))
        guesses.note("x", "2001:db8:1:2::1")
        self.assertRaises(errors.TooMany, guesses.check_address, "2001:db8:1:2:ffff::9")
        guesses.check_address("2001:db8:1:3::1")

    def test_a_credentials_end_comes_back_as_it_was_stored(self):
        user, project = self.within(nouns.USER, "u"), self.within(nouns.PROJECT, "p")
        ends = datetime.datetime(2100, 1, 2, 3, 4, 5, 678000)
        with self.db.transaction() as tx:
            made = Credential("c", user["id"], project["id"], "c", None, "h", ["r"], ends, True, parent_id=None)
            application_credentials.add(tx, made, [])
        with self.db.read() as tx:
            self.assertEqual([made], application_credentials.find(tx, user_id=user["id"]))
