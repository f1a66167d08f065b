# SPDX-License-Identifier: Apache-2.0
"""A real Cinder of a test's own: its API, scheduler and volume service, with RabbitMQ and MariaDB.

Users and tokens are those of the identity service that is named; Cinder validates them by keystonemiddleware.
Volumes are files (cinder_driver/). Needs what `make test-openstack` installs: OPENSTACK_VENV names the
environment with Cinder in it, and RabbitMQ is Debian's. Everything lives in one folder, on ports of its own.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tests.cloud import free_ports
from tests.databases import server_url

HERE = Path(__file__).resolve().parent
VENV = Path(os.environ.get("OPENSTACK_VENV", HERE.parent.parent / ".venv-openstack"))
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
LIMIT_SECONDS = 60.0


class RealCinder:
    """identity_url: the root of a Keystone v3. user: name and password of the services' user, in project `admin`.

    url: where it serves, /v3 included. volumes: the folder of the volumes' files.
    """

    def __init__(self, identity_url: str, user: tuple[str, str], project: str = "admin") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zl-cinder-"))
        self.volumes = self.folder / "volumes"
        self._identity_url, self._user, self._project = identity_url, user, project
        self.port, self._amqp, self._distribution, self._epmd = free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}/v3"
        self._name = f"test_{uuid.uuid4().hex[:16]}"
        self._server = sa.create_engine(server_url("mariadb"), isolation_level="AUTOCOMMIT")
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> RealCinder:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.volumes.mkdir()
        self._run("epmd", "epmd", "-port", str(self._epmd), "-address", "127.0.0.1")
        self._run("rabbitmq", RABBITMQ, environment=self._rabbit_environment())
        self._write_configuration()
        self._prepare_database()
        self._wait(lambda: "Server startup complete" in self._said("rabbitmq"), "RabbitMQ is up")
        for name in ("scheduler", "volume"):
            self._run(name, str(VENV / "bin" / f"cinder-{name}"), "--config-file", str(self._configuration))
        self.start_api()
        self._wait(lambda: self._alive() >= {"cinder-scheduler", "cinder-volume"}, "Cinder's services are up")

    def start_api(self) -> None:
        # the application takes its options from the command line
        words = [str(VENV / "bin" / "python"), "-c", _SERVE, "--config-file", str(self._configuration)]
        self._run("api", *words, environment={"ZL_BIND": f"127.0.0.1:{self.port}"})
        self._wait(self._answers, "Cinder's API answers")

    def stop_api(self) -> None:
        self._end("api")

    def stop(self) -> None:
        for name in reversed(list(self._running)):
            self._end(name)
        with self._server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {self._name}")
        self._server.dispose()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, last: int = 4000) -> str:
        """The ends of all that its programs said."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-last:]}" for path in self.folder.glob("*.log"))

    @property
    def _configuration(self) -> Path:
        return self.folder / "cinder.conf"

    def _write_configuration(self) -> None:
        settings = configparser.RawConfigParser()
        settings.read_dict(
            {
                "DEFAULT": {
                    "auth_strategy": "keystone",
                    "transport_url": f"rabbit://guest:guest@127.0.0.1:{self._amqp}/",
                    "state_path": self.folder / "state",
                    "my_ip": "127.0.0.1",
                    "host": "cinder",
                    "api_paste_config": VENV / "etc" / "cinder" / "api-paste.ini",
                    "resource_query_filters_file": VENV / "etc" / "cinder" / "resource_filters.json",
                    "enabled_backends": "files",
                    "default_volume_type": "__DEFAULT__",
                    "report_interval": 2,
                    "periodic_fuzzy_delay": 0,
                },
                "files": {
                    "volume_driver": "zl_files.FileDriver",
                    "volume_backend_name": "files",
                    "zl_files_dir": self.volumes,
                    "volume_clear": "none",
                },
                "database": {"connection": self._server.url.set(database=self._name)},
                "oslo_concurrency": {"lock_path": self.folder / "locks"},
                "oslo_messaging_rabbit": {"rabbit_quorum_queue": "false"},
                "coordination": {"backend_url": f"file://{self.folder}/coordination"},
                "keystone_authtoken": {
                    "www_authenticate_uri": self._identity_url,
                    "auth_url": self._identity_url,
                    "auth_type": "password",
                    "username": self._user[0],
                    "password": self._user[1],
                    "project_name": self._project,
                    "user_domain_id": "default",
                    "project_domain_id": "default",
                    "service_token_roles": "service",
                    "service_token_roles_required": "true",
                    "token_cache_time": "-1",
                },
            }
        )
        with self._configuration.open("w") as file:
            settings.write(file)
        self._configuration.chmod(0o600)

    def _prepare_database(self) -> None:
        """Cinder's tables, which it takes long to make, from a copy that is kept with the environment."""
        with self._server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {self._name}")
        kept = VENV / "cinder.sql"
        client = [f"--socket={self._server.url.query['unix_socket']}", "--user=root", self._name]
        if kept.exists():
            with kept.open("rb") as tables:
                subprocess.run(["mariadb", *client], stdin=tables, check=True)
            return
        words = ["--config-file", str(self._configuration), "db", "sync"]
        done = subprocess.run([VENV / "bin" / "cinder-manage", *words], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"cinder-manage db sync failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        staged = kept.with_suffix(f".{os.getpid()}")
        with staged.open("wb") as tables:
            subprocess.run(["mariadb-dump", *client], stdout=tables, check=True)
        staged.rename(kept)

    def _rabbit_environment(self) -> dict[str, str]:
        folder = self.folder / "rabbitmq"
        folder.mkdir()
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{self._amqp}\nlog.console = true\n")
        (folder / "enabled_plugins").write_text("[].\n")
        return {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._epmd),
            "RABBITMQ_NODENAME": f"zl{self._amqp}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _run(self, name: str, *words: str, environment: dict[str, str] | None = None) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "PYTHON"))}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                words,
                env={**kept, "PYTHONPATH": str(HERE / "cinder_driver"), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )

    def _end(self, name: str) -> None:
        """A program with all that it started: each is the first of a session of its own."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM if name == "api" else signal.SIGKILL)
        process.wait(30)

    def _alive(self) -> set[str]:
        with self._server.connect() as connection:
            rows = connection.exec_driver_sql(f"SELECT `binary` FROM {self._name}.services WHERE report_count > 0")
            return set(rows.scalars())

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url[:-3]}/healthcheck", timeout=5) as answer:
            return answer.status == 200
        return False

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _wait(self, look: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not look():
            dead = [name for name, process in self._running.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise AssertionError(f"{' and '.join(dead) or what}: {'ended' if dead else 'too late'}\n{self.log()}")
            time.sleep(0.1)


_SERVE = """
import os, sys
from gunicorn.app.base import BaseApplication
class Serving(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", os.environ["ZL_BIND"])
        self.cfg.set("threads", 4)
    def load(self):
        from cinder.wsgi.api import application
        return application
Serving().run()
"""
