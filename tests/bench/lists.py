# SPDX-License-Identifier: Apache-2.0
"""A list of 1,000 containers, in a table of 100,000 of many projects against a table of these alone.

No HTTP: what the API does between the question and the text of the answer, once with nothing remembered and
once with every container remembered, when what is left is to ask the database which they are. Containers of
all projects alternate in the table, as they would have come.
"""

from __future__ import annotations

import contextlib
import datetime
import shutil
import tempfile
import uuid
from collections.abc import Iterator

import orjson
import sqlalchemy as sa

from tests.bench import measure
from tests.bench.alone import running_container
from tests.bench.measure import Row
from tests.builders import a_caller, copy_workload, means_of
from tests.databases import server_url
from zun_lite.api.container import views
from zun_lite.control import listing
from zun_lite.control.means import Means
from zun_lite.db import schema
from zun_lite.db.engine import Database
from zun_lite.db.workload_pages import Wanted

LISTED = 1000
PROJECTS = 100
ROUNDS = 15
AIMS = {"sqlite": 1.3, "postgresql": 1.5}
WHEN = datetime.datetime(2026, 1, 1)


def run() -> list[Row]:
    return [row for kind in AIMS for row in on(kind)]


def on(kind: str) -> list[Row]:
    with a_database(kind) as alone, a_database(kind) as among:
        seed(alone, 1)
        seed(among, PROJECTS)
        few, many = (Lists(db) for db in (alone, among))
        sides = (many.anew, few.anew, many.remembered, few.remembered)
        for side in sides:
            side()
        background = measure.background()
        anew, alone_anew, remembered, alone_remembered = measure.in_turns(ROUNDS, *sides)
    what = f"list of 1,000 of 100,000 on {kind}"
    aim = f"at most {AIMS[kind]}", measure.ratio_at_most(AIMS[kind])
    return [
        Row(f"{what}, nothing remembered", "ms", anew, alone_anew, "of 1,000", *aim, background),
        Row(f"{what}, all remembered", "ms", remembered, alone_remembered, "of 1,000", *aim, background),
    ]


class Lists:
    """Lists of one project, of a database that holds it among others or alone."""

    def __init__(self, db: Database) -> None:
        self._means: Means = means_of(db)
        self._page: Wanted = listing.wanted(self._means, a_caller("p0"), filters={}, limit=LISTED)
        self._known: dict[str, bytes] = {}

    def anew(self) -> float:
        return measure.timed(self._anew)

    def remembered(self) -> float:
        return measure.timed(self._remembered)

    def _anew(self) -> None:
        _, rows, _ = listing.read(self._means, self._page, lambda marks, _: [mark.uuid for mark in marks])
        self._known = {
            uuid: orjson.dumps(views.container(workload, now=WHEN, shown=(), host_name=None))
            for uuid, (_, workload) in rows.items()
        }
        if len(self._known) != LISTED:
            raise AssertionError(f"{len(self._known)} containers are listed")

    def _remembered(self) -> None:
        marks, _, _ = listing.read(self._means, self._page, lambda *_: [])
        b",".join([self._known[mark.uuid] for mark in marks])


@contextlib.contextmanager
def a_database(kind: str) -> Iterator[Database]:
    """With every table and no row."""
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            folder = tempfile.mkdtemp(prefix="zl-bench-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            db = Database(f"sqlite:///{folder}/lists.sqlite")
        else:
            db = Database(_made_on(stack, kind))
        stack.callback(db.close)
        schema.sync(db)
        yield db


def _made_on(stack: contextlib.ExitStack, kind: str) -> str:
    server = sa.create_engine(server_url(kind), isolation_level="AUTOCOMMIT")
    name = f"bench_{uuid.uuid4().hex[:12]}"

    def say(text: str) -> None:
        with server.connect() as connection:
            connection.exec_driver_sql(text)

    say(f"CREATE DATABASE {name}")
    stack.callback(server.dispose)
    stack.callback(say, f"DROP DATABASE {name}")
    return server.url.set(database=name).render_as_string(hide_password=False)


def seed(db: Database, projects: int) -> None:
    """LISTED containers in each project: copies of one that was made by the product's own functions."""
    running_container(db, "p0", 0)
    count = LISTED * projects
    copy_workload(db, ({"name": f"c{number}", "project_id": f"p{number % projects}"} for number in range(1, count)))
    with db.transaction() as tx:
        tx.exec_driver_sql("ANALYZE")
