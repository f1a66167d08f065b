# SPDX-License-Identifier: Apache-2.0
"""The one door to SQL: SQLite, PostgreSQL and MariaDB behave alike behind it.

Reads: `with db.read() as tx`. Changes: `db.transact(work)`, where work(tx) is run again as a whole
when the database reports a lost race (SQLite busy, deadlock, serialization or Galera certification
failure); so work must not touch anything but tx. A function that takes tx never calls the network.
"""

from __future__ import annotations

import datetime
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from zun_lite.domain import errors

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_SQLITE_OUT_OF_SERVICE = ("readonly database", "database or disk is full", "disk I/O error", "unable to open database")
_SQLITE_WAIT_SECONDS = 15.0
_BACKENDS = ("sqlite", "postgresql", "mysql", "mariadb")
# How long a server that is silent is waited for, in each driver's words; an operator's URL may say otherwise.
_PATIENCE: dict[str, dict[str, int]] = {
    "psycopg": {
        "connect_timeout": 5,
        "tcp_user_timeout": 20_000,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    },
    "pymysql": {"connect_timeout": 5},
}
Result = TypeVar("Result")
ATTEMPTS = 12
INTEGRITY_ATTEMPTS = 5


class Json(sa.types.TypeDecorator):
    """A JSON document in a text column, the same on every database."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine:
        return dialect.type_descriptor(mysql.LONGTEXT() if dialect.name in ("mysql", "mariadb") else sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else orjson.loads(value)


Moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
"""A column of moments: UTC, without a zone, to the microsecond (SQLite: millisecond)."""


def text_type(length: int) -> sa.types.TypeEngine:
    """A text column that compares by its bytes on every database (MariaDB would fold case)."""
    binary = mysql.VARCHAR(length, collation="utf8mb4_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


class utc_now(FunctionElement):  # noqa: N801 - reads as a SQL function
    """The database's own clock, UTC."""

    type = sa.DateTime()
    inherit_cache = True


@compiles(utc_now)
def _utc_now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    # Six digits, as SQLAlchemy writes a bound moment: SQLite compares the two as text.
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@compiles(utc_now, "postgresql")
def _utc_now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "(clock_timestamp() AT TIME ZONE 'utc')"


@compiles(utc_now, "mysql", "mariadb")
def _utc_now_mariadb(element: Any, compiler: Any, **kw: Any) -> str:
    return "UTC_TIMESTAMP(6)"


class Database:
    """One database by its SQLAlchemy URL. Safe to build before a fork: it connects when first used."""

    def __init__(self, url: str) -> None:
        """Invalid: the URL is none, or names a database that is not supported or whose driver is missing."""
        self.engine = _make_engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"

    @property
    def name(self) -> str:
        """Its URL without the password."""
        return self.engine.url.render_as_string(hide_password=True)

    def reach(self) -> None:
        """Unavailable, with the reason in one line: it does not answer, or does not let us in."""
        try:
            with self.engine.connect():
                return
        except sa.exc.SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise errors.Unavailable(
                f"The database at {self.name} cannot be used: {reason}; start it, or correct [database] connection."
            ) from error

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one consistent state and changes nothing."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(zun_read=True)
            with connection.begin() as work:
                yield connection
                work.rollback()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction, committed at the end of the block; not retried. Prefer transact()."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def transact(self, work: Callable[[sa.Connection], Result]) -> Result:
        """work(tx) in one transaction, run again as a whole after a lost race. Busy: lost too often.

        A constraint that is still broken after a few rounds was no race, and its error is raised.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self.transaction() as tx:
                    return work(tx)
            except sa.exc.DBAPIError as error:
                no_race = isinstance(error, sa.exc.IntegrityError) and attempt >= INTEGRITY_ATTEMPTS
                if no_race or not is_lost_race(error):
                    raise
                time.sleep(random.uniform(0, min(0.5, 0.005 * 2**attempt)))
        raise errors.Busy("The database is too busy with competing changes; try again.")

    def now(self, tx: sa.Connection) -> datetime.datetime:
        """The database's clock, UTC without a zone."""
        value = tx.execute(sa.select(utc_now())).scalar_one()
        return datetime.datetime.fromisoformat(value) if isinstance(value, str) else value

    def close(self) -> None:
        self.engine.dispose()


def is_lost_race(error: sa.exc.DBAPIError) -> bool:
    """Whether running the transaction again may succeed."""
    original = error.orig
    if getattr(original, "sqlstate", None) in ("40001", "40P01", "55P03"):
        return True
    if isinstance(error, sa.exc.IntegrityError):
        # A row that a competitor inserted first; looked at again, it is there.
        return True
    text = str(original)
    if "database is locked" in text or "database table is locked" in text:
        return True
    arguments: tuple[object, ...] = getattr(original, "args", ())
    return bool(arguments) and arguments[0] in (1205, 1213, 1020, 1047, 1180)


def is_out_of_service(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether the database cannot be reached or takes no changes, so that nothing is wrong with what was asked."""
    if isinstance(error, sa.exc.TimeoutError):
        return True
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    if error.connection_invalidated or error.statement is None:
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == "25006" or state[:2] in ("08", "53", "57", "58"):
        return True
    arguments: tuple[object, ...] = getattr(error.orig, "args", ())
    if arguments and arguments[0] in (1021, 1040, 1053, 1290, 1836, 2002, 2003, 2006, 2013):
        return True
    return any(words in str(error.orig) for words in _SQLITE_OUT_OF_SERVICE)


def _make_engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
        return _engine_of(parsed, backend)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise errors.Invalid(
            "[database] connection is not a database's URL, such as sqlite:////var/lib/zun_lite/zun_lite.sqlite or "
            "postgresql://USER:PASSWORD@HOST/DATABASE; a password's own special characters are written as %XX."
        ) from error
    except ImportError as error:
        extra = {"postgresql": "[postgresql]", "mysql": "[mysql]", "mariadb": "[mysql]"}.get(backend, "")
        raise errors.Invalid(
            f"The driver of {parsed.drivername} is not installed ({error}); `pip install 'zun_lite{extra}'` brings it."
        ) from error


def _engine_of(parsed: sa.URL, backend: str) -> sa.Engine:
    if backend not in _BACKENDS:
        raise errors.Invalid(
            f"[database] connection names {backend}; zun_lite keeps its records in {', '.join(_BACKENDS)}."
        )
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise errors.Invalid(
                "[database] connection names no file of SQLite's, so that each program would have a database of its "
                "own; write sqlite:////var/lib/zun_lite/zun_lite.sqlite, with four slashes."
            )
        engine = sa.create_engine(parsed, connect_args={"timeout": 15, "check_same_thread": False})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend == "postgresql" and parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("mysql", "mariadb"):
        parsed = parsed.set(drivername=f"{parsed.drivername}+pymysql")
    patience = _PATIENCE.get(parsed.drivername.rpartition("+")[2], {})
    engine = sa.create_engine(
        parsed,
        connect_args={name: value for name, value in patience.items() if name not in parsed.query},
        pool_pre_ping=True,
        pool_recycle=1800,
        pool_size=10,
        max_overflow=20,
        isolation_level="READ COMMITTED",
    )
    if backend == "postgresql":
        # before SQLAlchemy itself asks anything, which it could not read
        sa.event.listen(engine, "connect", _check_encoding, insert=True)
    sa.event.listen(engine, "begin", _begin_on_server)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout=15000").close()
    _keep_a_log(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. While another does so with a new file, SQLite refuses at once."""
    deadline = time.monotonic() + _SQLITE_WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.005, 0.05))


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN" if _is_reading(connection) else "BEGIN IMMEDIATE")


def _check_encoding(connection: Any, record: Any) -> None:
    """Invalid: the database keeps text in another encoding than UTF-8, and could not hold every name."""
    info = getattr(connection, "info", None)
    if info is None or (encoding := info.parameter_status("server_encoding")) == "UTF8":
        return
    raise errors.Invalid(
        f"The database {info.dbname} keeps text as {encoding}; name one in UTF-8, made by "
        "`createdb --template template0 --encoding UTF8 NAME`."
    )


def _begin_on_server(connection: sa.Connection) -> None:
    # Of one transaction only: in READ COMMITTED each statement would see a moment of its own.
    if _is_reading(connection):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _is_reading(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get("zun_read"))
