# SPDX-License-Identifier: Apache-2.0
"""`zun-lite-manage import zun`, from a database that Zun's own zun-db-manage made, on a real MariaDB."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import subprocess
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa
from cryptography.fernet import Fernet

from tests.api.case import ApiTestCase
from tests.clients.runner import venv
from tests.databases import server_url
from zun_lite.cmd import import_zun, zun_rows
from zun_lite.cmd.import_zun import Known, Wish
from zun_lite.control import create
from zun_lite.db import registries, workloads
from zun_lite.domain import errors
from zun_lite.network.embedded import EmbeddedNetworks

ZUN_DB_MANAGE = venv() / "bin" / "zun-db-manage"
KEY = "a key of some operator, longer than what is used of it"
THEIR_NETWORK = str(uuid.uuid4())


class ImportTest(ApiTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        server = sa.create_engine(server_url("mariadb"), isolation_level="AUTOCOMMIT")
        cls.addClassCleanup(server.dispose)
        name = f"test_{uuid.uuid4().hex[:16]}"
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        cls.addClassCleanup(cls._drop, server, name)
        url = server.url.set(database=name)
        cls.url = url.render_as_string(hide_password=False)
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write(f"[database]\nconnection = {cls.url}\n")
            conf.flush()
            made = subprocess.run(
                [ZUN_DB_MANAGE, "--config-file", conf.name, "upgrade"], capture_output=True, text=True, timeout=120
            )
        if made.returncode:
            raise AssertionError(made.stderr[-2000:])
        cls.engine = sa.create_engine(url)
        cls.addClassCleanup(cls.engine.dispose)
        cls.tables = sa.MetaData()
        cls.tables.reflect(cls.engine)

    @classmethod
    def _drop(cls, server: sa.Engine, name: str) -> None:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")

    def setUp(self) -> None:
        super().setUp()
        self.means = replace(self.means, networks=EmbeddedNetworks(self.db))
        self.addCleanup(self._empty)
        self.project = self.log_in("demo").json["token"]["project"]["id"]
        made = self.call("POST", "/network/v2.0/networks", {"network": {"name": "back"}})
        self.network = made.json["network"]["id"]
        self.call(
            "POST",
            "/network/v2.0/subnets",
            {"subnet": {"network_id": self.network, "cidr": "10.7.0.0/24", "ip_version": 4}},
        )
        self.known = Known({THEIR_NETWORK: self.network}, {}, {})

    def _empty(self) -> None:
        with self.engine.begin() as tx:
            for name in ("volume_mapping", "volume", "container", "registry"):
                tx.execute(sa.delete(self.tables.tables[name]))

    def put(self, table: str, **values: Any) -> int:
        with self.engine.begin() as tx:
            done = tx.execute(sa.insert(self.tables.tables[table]).values(**values))
            return done.inserted_primary_key[0]

    def container(self, **values: Any) -> str:
        """A row as Zun writes it; its uuid."""
        row = {
            "uuid": str(uuid.uuid4()),
            "project_id": self.project,
            "user_id": "them",
            "name": "web",
            "image": "demo",
            "image_driver": "docker",
            "memory": "512",
            "cpu": 1.0,
            "status": "Running",
            "command": '["sleep", "60"]',
            "environment": '{"A": "1"}',
            "labels": "{}",
            "addresses": json.dumps({THEIR_NETWORK: [{"addr": "10.7.0.9", "version": 4, "port": str(uuid.uuid4())}]}),
            "security_groups": "null",
            "restart_policy": '{"Name": "always", "MaximumRetryCount": "0"}',
            "container_type": 0,
            **values,
        }
        self.put("container", **row)
        return row["uuid"]

    def run_import(self, **wishes: Any) -> str:
        wish = Wish(**{"known": self.known, **wishes})
        with contextlib.redirect_stdout(io.StringIO()) as said:
            try:
                import_zun.take_over(self.conf, self.means, self.url, wish)
            finally:
                self.said = said.getvalue()
        return self.said

    def workload(self, container: str) -> workloads.Workload | None:
        with self.db.read() as tx:
            return workloads.get(tx, container)

    def test_a_container_comes_over_under_its_own_id_with_all_that_it_was(self) -> None:
        login = str(uuid.uuid4())
        locked = Fernet(base64.b64encode(KEY[:32].encode())).encrypt(b"geheim").decode()
        number = self.put(
            "registry",
            uuid=login,
            project_id=self.project,
            user_id="them",
            name="ours",
            domain="registry.example.org",
            username="robot",
            password=locked,
        )
        web = self.container(
            registry_id=number,
            hostname="web-1",
            workdir="/srv",
            entrypoint='["/bin/sh", "-c"]',
            healthcheck='{"cmd": "true", "interval": "5"}',
            tty=True,
            interactive=True,
            auto_heal=True,
        )
        volume = self.put("volume", uuid=str(uuid.uuid4()), volume_provider="local", contents="aGVsbG8=")
        self.put(
            "volume_mapping",
            uuid=str(uuid.uuid4()),
            volume_id=volume,
            container_path="/etc/motd",
            container_uuid=web,
        )
        idle = self.container(name="idle", status="Stopped", addresses="{}", memory="64m")
        gone = self.container(name="gone", status="Deleted")

        said = self.run_import(key=KEY)
        self.assertIn("1 registries and 2 containers are made", said)
        made = self.workload(web)
        spec = made.spec
        self.assertEqual(("web", self.project, 1), (made.name, made.project_id, made.goal.run))
        self.assertEqual(
            (("sleep", "60"), ("/bin/sh", "-c"), {"A": "1"}), (spec.command, spec.entrypoint, spec.environment)
        )
        self.assertEqual((512, 1.0, "web-1", "/srv"), (spec.memory_mib, spec.cpus, spec.hostname, spec.workdir))
        self.assertEqual(
            (True, True, True, "always"), (spec.tty, spec.interactive, spec.auto_heal, spec.restart_policy.name)
        )
        self.assertEqual((self.network, ("10.7.0.9",)), (spec.networks[0].network_id, spec.networks[0].fixed_ips))
        self.assertEqual([("/etc/motd", "aGVsbG8=")], [(file.target, file.content) for file in spec.files])
        self.assertEqual(("true", 5), (spec.healthcheck.test, spec.healthcheck.interval_seconds))
        self.assertEqual((login, "registry.example.org/demo:latest"), (spec.registry_id, spec.reference))
        with self.db.read() as tx:
            self.assertEqual("geheim", self.means.secrets.open(registries.get(tx, login).locked_password))
        self.assertEqual((0, 64), (self.workload(idle).goal.run, self.workload(idle).spec.memory_mib))
        self.assertIsNone(self.workload(gone))
        self.assertEqual("web", self.get(f"/v1/containers/{web}")["name"])

        self.assertIn("0 registries and 0 containers are made", self.run_import(key=KEY))
        self.assertEqual(made.generation, self.workload(web).generation)

    def test_a_dry_run_writes_nothing(self) -> None:
        web = self.container()
        self.assertIn(f"container {web} web: would be made", self.run_import(dry_run=True))
        self.assertIsNone(self.workload(web))

    def test_what_cannot_be_taken_over_is_told_before_anything_is_written(self) -> None:
        good = self.container(name="good")
        lost = self.container(name="lost", addresses=json.dumps({str(uuid.uuid4()): []}))
        broken = self.container(name="broken", environment="{not json")
        foreign = self.container(name="foreign", project_id="f" * 32)
        refused = self.assertRaises(errors.Invalid, self.run_import)
        self.assertIn("3 containers cannot be taken over, so nothing was written", refused.message)
        self.assertIn(f"container {lost} lost: ", self.said)
        self.assertIn(f"container {broken}: its row cannot be understood", self.said)
        self.assertIn(
            f"container {foreign} foreign: its project {'f' * 32} is not known here; say with --project", self.said
        )
        self.assertIsNone(self.workload(good))
        self.run_import(skip=True)
        self.assertIsNotNone(self.workload(good))
        self.assertIsNone(self.workload(lost))

    def test_a_run_that_was_cut_off_is_run_again(self) -> None:
        first, second = self.container(name="first"), self.container(name="second", addresses="{}")
        real = create.create_container

        def cut_off(means, caller, name, spec, **more):
            if name == "second":
                raise errors.OverQuota("Quota exceeded for resources: ['containers']")
            return real(means, caller, name, spec, **more)

        with mock.patch.object(import_zun, "create_container", cut_off):
            refused = self.assertRaises(errors.OverQuota, self.run_import)
        self.assertIn(f"container {second} second: Quota exceeded", refused.message)
        self.assertIn("1 of 2 are made and stay", refused.message)
        self.assertIsNotNone(self.workload(first))
        self.assertIn("0 registries and 1 containers are made", self.run_import())
        self.assertIsNotNone(self.workload(second))

    def test_passwords_need_their_key(self) -> None:
        locked = Fernet(base64.b64encode(b"x" * 32)).encrypt(b"geheim").decode()
        login = str(uuid.uuid4())
        self.put("registry", uuid=login, project_id=self.project, user_id="u", domain="r.example.org", password=locked)
        self.assertIn("give --encryption-key-file", self.assertRaises(errors.Invalid, self.run_import).message)
        wrong = self.assertRaises(errors.Invalid, self.run_import, key=KEY)
        self.assertIn("does not open with that key", wrong.message)
        self.run_import(without_passwords=True)
        with self.db.read() as tx:
            self.assertIsNone(registries.get(tx, login).locked_password)

    def test_capsules_are_counted_and_left(self) -> None:
        capsule = self.container(name="pod", container_type=1)
        self.container(name="member", container_type=2)
        self.assertIn("1 capsules are not taken over", self.run_import())
        self.assertIsNone(self.workload(capsule))

    def test_a_database_that_is_not_zuns_is_refused_in_one_line(self) -> None:
        other = Path(self.conf.state_dir) / "other.sqlite"
        other.touch()
        for url, said in (
            (f"sqlite:///{self.conf.state_dir}/other.sqlite", "is not Zun's: it has no table alembic_version"),
            (f"sqlite:///{self.conf.state_dir}/absent.sqlite", "There is no database at sqlite:///"),
            ("postgresql://user:secret@127.0.0.1:1/zun", "cannot be used"),
            ("zun", "is not a database's URL"),
        ):
            refused = self.assertRaises(
                errors.ZunError, import_zun.take_over, self.conf, self.means, url, Wish(self.known)
            )
            self.assertIn(said, refused.message)
            self.assertNotIn("secret", refused.message)
            self.assertNotIn("\n", refused.message)
        self.assertEqual(["other.sqlite"], [path.name for path in other.parent.glob("*.sqlite")])

    def test_an_older_schema_is_refused_with_what_brings_it_up_to_date(self) -> None:
        with mock.patch.dict(zun_rows._NEEDED, {"container": ("uuid", "column_of_tomorrow")}):
            refused = self.assertRaises(errors.Invalid, self.run_import)
        self.assertIn("has no column_of_tomorrow", refused.message)
        self.assertIn("zun-db-manage upgrade", refused.message)
