# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own Zun API as a test's own server, over a database with what a test put there.

Users and tokens are those of the Keystone that is named. Zun comes with the stock clients' environment. There is no
container: what the API asks of the compute service of host HOST is answered, in its process, by one that knows
fixed answers only. Whatever would need other services, such as a create, is not to be had here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

from tests.clients.runner import venv
from tests.cloud import free_ports
from tests.real_keystone import RealKeystone, settings_of
from zun_lite.identity.catalog import INTERFACES, REGION

LIMIT_SECONDS = 90.0
RPC_SECONDS = 5
HOST = "h1"
_CONFIGURATION = """\
[DEFAULT]
transport_url = fake:/
rpc_response_timeout = {rpc_seconds}
state_path = {folder}
host = {host}
[api]
host_ip = 127.0.0.1
port = {port}
workers = 1
api_paste_config = {paste}
[database]
connection = {database}
[oslo_concurrency]
lock_path = {folder}
[keystone_authtoken]
{account}
[keystone_auth]
{account}
"""
# what a Zun's own script would do with migrations that know MySQL only
_PREPARE = """\
import datetime, json, sys
import sqlalchemy as sa
from zun.db.sqlalchemy import models
engine = sa.create_engine(sys.argv[1])
models.Base.metadata.create_all(engine)
with engine.begin() as connection:
    for table, rows in json.loads(sys.argv[2]).items():
        for row in rows:
            moments = {key: datetime.datetime.fromisoformat(row[key]) for key in ("last_seen_up",) if key in row}
            connection.execute(sa.insert(models.Base.metadata.tables[table]).values({**row, **moments}))
"""


# the API with the compute service of one host beside it, as far as answers go that tests look for
_SERVE = """\
import sys
import threading
import zun.cmd
import oslo_messaging
import zun.conf
from oslo_messaging.rpc import dispatcher
from zun.common import rpc_service, service
class Compute:
    def container_show(self, context, container):
        return container
    def container_logs(self, context, container, stdout, stderr, timestamps, tail, since):
        return f"stdout {stdout}, stderr {stderr}, tail {tail}"
    def container_exec(self, context, container, command, run, interactive):
        return {"output": f"did {command}", "exit_code": 6, "exec_id": None, "token": None}
    def container_top(self, context, container, ps_args):
        return {"Titles": ["PID", "CMD"], "Processes": [["1", "sh"]]}
    def container_stats(self, context, container):
        return {"CONTAINER": container.name, "CPU %": 1.5}
service.prepare_service(sys.argv)
conf = zun.conf.CONF
target = oslo_messaging.Target(topic=conf.compute.topic, server=conf.host)
oslo_messaging.get_rpc_server(
    oslo_messaging.get_rpc_transport(conf), target, [Compute()], executor="eventlet",
    serializer=rpc_service._init_serializer(), access_policy=dispatcher.DefaultRPCAccessPolicy,
).start()
api = service.WSGIService("zun_api")
api.start()
threading.Event().wait()
"""


class RealZun:
    """start() and stop(), or `with`. rows: by the table's name, what its database begins with."""

    def __init__(self, keystone: RealKeystone, rows: dict[str, list[dict[str, Any]]]) -> None:
        self._keystone = keystone
        self._rows = rows
        self._folder = Path(tempfile.mkdtemp(prefix="zl-zun-"))
        (self._port,) = free_ports(1)
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> RealZun:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        database = f"sqlite:///{self._folder / 'zun.sqlite'}"
        python = str(venv() / "bin" / "python")
        words = [python, "-c", _PREPARE, database, json.dumps(self._rows)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise AssertionError(f"Zun's database cannot be made:\n{done.stderr}")
        (self._folder / "zun.conf").write_text(
            _CONFIGURATION.format(
                rpc_seconds=RPC_SECONDS,
                host=HOST,
                folder=self._folder,
                port=self._port,
                paste=venv() / "etc" / "zun" / "api-paste.ini",
                database=database,
                account=self._account(),
            )
        )
        with (self._folder / "log").open("wb") as log:
            self._server = subprocess.Popen(
                [python, "-c", _SERVE, "--config-file", str(self._folder / "zun.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
                start_new_session=True,
            )
        self._wait()
        self._register()

    def stop(self) -> None:
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait(30)
            self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _account(self) -> str:
        told = settings_of(self._keystone)["keystone_authtoken"]
        return "\n".join(f"{key} = {value}" for key, value in told.items())

    def _register(self) -> None:
        """Into Keystone's catalogue."""
        made = self._keystone.ask("POST", "services", {"service": {"type": "container", "name": "zun"}})
        for interface in INTERFACES:
            endpoint = {"interface": interface, "region_id": REGION, "url": self.url}
            self._keystone.ask("POST", "endpoints", {"endpoint": {**endpoint, "service_id": made["service"]["id"]}})

    def _wait(self) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                if requests.get(self.url.removesuffix("/v1"), timeout=5).ok:
                    return
            if self._server is None or self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Zun's API does not come up:\n{self.log()[-3000:]}")
            time.sleep(0.1)
