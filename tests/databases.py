# SPDX-License-Identifier: Apache-2.0
"""Databases for tests: SQLite, PostgreSQL and MariaDB, an empty one for each test.

    @on_every_database
    class HostsTest(DatabaseTestCase):
        def test_a_claim(self): ... self.db ...

runs on all three: under its own name on SQLite, and as HostsTestOnPostgresql and HostsTestOnMariadb.

The servers are private: Debian's binaries, data in a temporary directory, a unix socket, no port.
The first test process that asks starts one and every other shares it. Its keeper, a process of its
own, stops it when nobody has used it for a few seconds: each user holds a shared lock on a file
for as long as it lives, and the keeper waits for the exclusive one. A killed test leaves nothing.
"""

from __future__ import annotations

import fcntl
import functools
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, TypeVar

import sqlalchemy as sa
import testtools

from zun_lite.db.engine import Database, metadata

KINDS = ("sqlite", "postgresql", "mariadb")
START_TIMEOUT_SECONDS = 120.0
IDLE_SECONDS = 5.0

Case = TypeVar("Case", bound=type)


class DatabaseTestCase(testtools.TestCase):
    """A test with self.db, a Database of this class's kind that holds every table and no row."""

    database_kind = "sqlite"

    def setUp(self) -> None:
        super().setUp()
        self.db = self.make_database()

    def make_database(self) -> Database:
        """One more database with all tables; closed and dropped after the test."""
        db = Database(self.make_empty_database())
        self.addCleanup(db.close)
        metadata.create_all(db.engine)
        return db

    def make_empty_database(self) -> str:
        """The URL of a new database without tables; dropped after the test."""
        if self.database_kind == "sqlite":
            directory = tempfile.mkdtemp(prefix="zun_lite_test_")
            self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
            return f"sqlite:///{directory}/test.sqlite"
        engine = sa.create_engine(server_url(self.database_kind), isolation_level="AUTOCOMMIT")
        self.addCleanup(engine.dispose)
        name = f"test_{uuid.uuid4().hex[:16]}"
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        self.addCleanup(drop, engine, name)
        return engine.url.set(database=name).render_as_string(hide_password=False)


def on_every_database(case: Case) -> Case:
    """Class decorator: besides SQLite, run this DatabaseTestCase on PostgreSQL and on MariaDB."""
    module = sys.modules[case.__module__]
    for kind in KINDS[1:]:
        name = f"{case.__name__}On{kind.capitalize()}"
        body = {"database_kind": kind, "__module__": case.__module__, "__qualname__": name, "__doc__": case.__doc__}
        setattr(module, name, type(name, (case,), body))
    return case


@functools.cache
def server_url(kind: str) -> str:
    """The URL of the server's own database, with every right; the server runs as long as this process."""
    directory = _directory()
    users = open(os.path.join(directory, f"{kind}.users"), "a")  # noqa: SIM115 - held until this process ends
    fcntl.flock(users, fcntl.LOCK_SH)
    _held(users)
    server = SERVERS[kind](directory)
    with open(os.path.join(directory, f"{kind}.starting"), "a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not _answers(server):
            _start_keeper(server)
    return server.url


@functools.cache
def _held(file: IO[str]) -> IO[str]:
    return file


@dataclass(frozen=True)
class Server:
    """One private server: how its data are made and how it is run."""

    kind: str
    home: str
    socket: str
    url: str
    user: str
    prepare: tuple[str, ...]
    run: tuple[str, ...]


def _postgresql(directory: str) -> Server:
    home = os.path.join(directory, "postgresql")
    initdb = _binary("initdb", "postgresql", "/usr/lib/postgresql/*/bin")
    options = {
        "listen_addresses": "",
        "unix_socket_directories": home,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "400",
        "shared_buffers": "64MB",
        "autovacuum": "off",
    }
    return Server(
        kind="postgresql",
        home=home,
        socket=f"{home}/.s.PGSQL.5432",
        url=f"postgresql+psycopg://postgres@/postgres?host={home}",
        user="postgres",
        prepare=(
            initdb, "--pgdata", f"{home}/data", "--username=postgres", "--auth=trust", "--no-sync",
            "--encoding=UTF8", "--locale=C",
        ),
        run=(
            os.path.join(os.path.dirname(initdb), "postgres"), "-D", f"{home}/data",
            *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
        ),
    )  # fmt: skip


def _mariadb(directory: str) -> Server:
    home = os.path.join(directory, "mariadb")
    return Server(
        kind="mariadb",
        home=home,
        socket=f"{home}/socket",
        url=f"mysql+pymysql://root@localhost/mysql?unix_socket={home}/socket&charset=utf8mb4",
        user="mysql",
        prepare=(
            _binary("mariadb-install-db", "mariadb-server"), "--no-defaults", f"--datadir={home}/data",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
        ),
        run=(
            _binary("mariadbd", "mariadb-server", "/usr/sbin"), "--no-defaults", f"--datadir={home}/data",
            f"--socket={home}/socket", f"--pid-file={home}/pid", f"--tmpdir={home}", "--skip-networking",
            "--skip-name-resolve", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=64M", "--max-connections=400", "--character-set-server=utf8mb4",
            "--innodb-lock-wait-timeout=20",
        ),
    )  # fmt: skip


SERVERS: dict[str, Callable[[str], Server]] = {"postgresql": _postgresql, "mariadb": _mariadb}


def keep(kind: str, directory: str) -> None:
    """The keeper: run the server until it has no user for IDLE_SECONDS, then leave nothing of it."""
    server = SERVERS[kind](directory)
    shutil.rmtree(server.home, ignore_errors=True)
    os.mkdir(server.home, 0o700)
    if os.getuid() == 0:
        account = pwd.getpwnam(server.user)
        os.chown(server.home, account.pw_uid, account.pw_gid)
    subprocess.run(_as_its_user(server, server.prepare), check=True, cwd=server.home, stdin=subprocess.DEVNULL)
    running = subprocess.Popen(_as_its_user(server, server.run), cwd=server.home, stdin=subprocess.DEVNULL)
    try:
        with open(os.path.join(directory, f"{kind}.users"), "a") as users:
            _wait_until_unused(users, running)
            running.send_signal(signal.SIGINT if kind == "postgresql" else signal.SIGTERM)
            running.wait(30)
    finally:
        running.kill()
        shutil.rmtree(server.home, ignore_errors=True)


def _wait_until_unused(users: IO[str], running: subprocess.Popen[bytes]) -> None:
    """Return with the exclusive lock held, so that whoever comes now waits until the end of this server."""
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_UN)
        time.sleep(IDLE_SECONDS)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if running.poll() is not None:
                raise RuntimeError(f"The server ended by itself with {running.returncode}.") from None


def _as_its_user(server: Server, command: Sequence[str]) -> list[str]:
    """The servers refuse to run as root; the signal ends them should the keeper be killed."""
    wrapper = ["setpriv", "--pdeathsig", "INT" if server.kind == "postgresql" else "TERM"]
    if os.getuid() == 0:
        account = pwd.getpwnam(server.user)
        wrapper += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return [*wrapper, "--", *command]


def _start_keeper(server: Server) -> None:
    log = os.path.join(os.path.dirname(server.home), f"{server.kind}.log")
    command = [sys.executable, os.path.abspath(__file__), server.kind, os.path.dirname(server.home)]
    with open(log, "w") as output:
        keeper = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
        )
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not _answers(server):
        if keeper.poll() is not None or time.monotonic() > deadline:
            keeper.kill()
            with open(log) as text:
                raise RuntimeError(f"The {server.kind} server for tests did not start:\n{text.read()[-3000:]}")
        time.sleep(0.05)
    # The keeper outlives this process on purpose; without this, its destructor would warn of it.
    keeper.returncode = 0


def _answers(server: Server) -> bool:
    """Whether the server takes a session (a socket alone may belong to one that is starting)."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(server.socket) != 0:
            return False
    engine = sa.create_engine(server.url)
    try:
        engine.connect().close()
        return True
    except sa.exc.OperationalError:
        return False
    finally:
        engine.dispose()


def _binary(name: str, package: str, *places: str) -> str:
    path = shutil.which(name)
    if path:
        return path
    for place in places:
        parent, _, rest = place.partition("*")
        versions = sorted(os.listdir(parent), key=_as_number) if rest and os.path.isdir(parent) else [""]
        for version in reversed(versions):
            candidate = os.path.join(f"{parent}{version}{rest}", name)
            if os.access(candidate, os.X_OK):
                return candidate
    raise RuntimeError(f"{name} is missing; these tests need Debian's package {package} (apt-get install {package}).")


def _as_number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _directory() -> str:
    """One place a user, the same for every test process; short, as a socket's path may have 107 bytes."""
    path = os.path.join(tempfile.gettempdir(), f"zun_lite_test_databases_{os.getuid()}")
    try:
        os.mkdir(path, 0o711)
        os.chmod(path, 0o711)
    except FileExistsError:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise RuntimeError(f"{path} is not ours; remove it.") from None
    return path


def drop(engine: sa.Engine, name: str) -> None:
    force = " WITH (FORCE)" if engine.dialect.name == "postgresql" else ""
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}{force}")


if __name__ == "__main__":
    keep(*sys.argv[1:3])
