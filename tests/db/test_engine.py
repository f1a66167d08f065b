# SPDX-License-Identifier: Apache-2.0
"""How databases are connected to."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
import testtools

from tests.databases import drop, server_url
from zun_lite.db.engine import Database
from zun_lite.domain import errors


class ConnectTest(testtools.TestCase):
    def said_to_driver(self, url: str) -> dict[str, Any]:
        """What the driver is given to connect with."""
        seen: dict[str, Any] = {}

        def note(dialect: Any, record: Any, arguments: Any, named: dict[str, Any]) -> None:
            seen.update(named)
            raise ConnectionAbortedError

        db = Database(url)
        self.addCleanup(db.close)
        sa.event.listen(db.engine, "do_connect", note)
        self.assertRaises(ConnectionAbortedError, db.engine.connect)
        return seen

    def test_a_server_that_is_silent_is_not_waited_for_without_end(self) -> None:
        for scheme in ("postgresql", "mysql", "mariadb"):
            self.assertEqual(5, self.said_to_driver(f"{scheme}://user@db.example/zun")["connect_timeout"], scheme)
        self.assertEqual(20_000, self.said_to_driver("postgresql://user@db.example/zun")["tcp_user_timeout"])

    def test_an_operators_url_may_say_otherwise(self) -> None:
        for scheme in ("postgresql", "mariadb"):
            said = self.said_to_driver(f"{scheme}://user@db.example/zun?connect_timeout=30")
            self.assertEqual(30, int(said["connect_timeout"]), scheme)

    def test_a_url_that_cannot_be_one_is_refused_without_its_password(self) -> None:
        for url, said in (
            ("foo", "is not a database's URL"),
            ("postgresql://user:pass/word@db.example:port/zun", "is not a database's URL"),
            ("oracle://user:password@db.example/zun", "names oracle; zun_lite keeps its records in sqlite"),
            ("sqlite://", "names no file"),
            ("sqlite:///:memory:", "names no file"),
            ("postgresql+nodriver://user:password@db.example/zun", "is not a database's URL"),
        ):
            refused = self.assertRaises(errors.Invalid, Database, url)
            self.assertIn(said, refused.message)
            self.assertNotIn("pass/word", refused.message)
            self.assertNotIn("user:password", refused.message)

    def test_a_database_that_does_not_answer_is_named_in_one_line(self) -> None:
        for url in (
            "postgresql://user:secret@127.0.0.1:1/zun",
            "mysql://user:secret@127.0.0.1:1/zun",
            "sqlite:////no/zun",
        ):
            db = Database(url)
            self.addCleanup(db.close)
            refused = self.assertRaises(errors.Unavailable, db.reach)
            self.assertIn(f"The database at {db.name} cannot be used: ", refused.message)
            self.assertNotIn("\n", refused.message)
            self.assertNotIn("secret", refused.message)


class EncodingTest(testtools.TestCase):
    def made_with(self, encoding: str) -> Database:
        """A PostgreSQL database that keeps text so; dropped after the test."""
        server = sa.create_engine(server_url("postgresql"), isolation_level="AUTOCOMMIT")
        self.addCleanup(server.dispose)
        name = f"test_{uuid.uuid4().hex[:16]}"
        with server.connect() as connection:
            connection.exec_driver_sql(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            )
        self.addCleanup(drop, server, name)
        db = Database(server.url.set(database=name).render_as_string(hide_password=False))
        self.addCleanup(db.close)
        return db

    def test_a_database_that_could_not_hold_every_name_is_refused_with_the_remedy(self) -> None:
        self.made_with("UTF8").reach()
        for encoding in ("SQL_ASCII", "LATIN1"):
            refused = self.assertRaises(errors.Invalid, self.made_with(encoding).reach)
            self.assertIn(f"keeps text as {encoding}", refused.message)
            self.assertIn("--encoding UTF8", refused.message)
