# SPDX-License-Identifier: Apache-2.0
"""The DevStack plugin, phase by phase: a stand-in for DevStack's functions, a real Keystone, MariaDB and Docker.

stack.sh itself is not run: it takes a machine of its own, and sources from hosts that are not here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import sqlalchemy as sa

from tests.clients.runner import venv as clients_venv
from tests.cloud import free_ports
from tests.databases import server_url
from tests.docker_engine import PrivateDockerEngine
from tests.real_keystone import PASSWORDS, RealKeystone
from zun_lite.cmd import images
from zun_lite.cmd.engine import Engine

TOP = Path(__file__).resolve().parents[2]
PLUGIN = TOP / "devstack"
FUNCTIONS = Path(__file__).with_name("devstack_functions.sh")
PHASES = ("stack pre-install", "stack install", "stack post-config", "stack extra", "stack test-config")
ALL = "zun-lite-api,zun-lite-controller,zun-lite-gateway,zun-lite-netd,zun-lite-agent"


class PluginTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="zl-devstack-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.keystone = cls.enterClassContext(RealKeystone())
        (cls.folder / "clouds.yaml").write_text(cls.keystone.clouds())
        cls.state_dir = cls.folder / "data" / "zun_lite"
        cls.engine = cls.enterClassContext(
            PrivateDockerEngine({"zun-lite": str(cls.state_dir / "bin" / "zun-lite-runtime")})
        )
        cls.ports = free_ports(3)
        cls.database = f"devstack_{os.getpid()}"
        cls.addClassCleanup(cls.drop_database)

    @classmethod
    def drop_database(cls) -> None:
        with sa.create_engine(server_url("mariadb"), isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {cls.database}")

    def devstack(self, *phases: str, more: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Source the plugin at these phases in one shell, as stack.sh does."""
        files = self.folder / "files"
        files.mkdir(exist_ok=True)
        lines = [f"source {FUNCTIONS}", f"source {PLUGIN}/override-defaults", f"source {PLUGIN}/settings", more]
        lines += [f"source {PLUGIN}/plugin.sh {phase}" for phase in phases]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "ZUN_LITE_"))}
        return subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            cwd=TOP,
            env={
                **kept,
                "FILES": str(files),
                "DEST": str(self.folder / "dest"),
                "DATA_DIR": str(self.folder / "data"),
                "ENABLED_SERVICES": "key,mysql",
                "STACK_USER": "root",
                "HOST_IP": "127.0.0.1",
                "SERVICE_HOST": "127.0.0.1",
                "SERVICE_TIMEOUT": "60",
                "REGION_NAME": "RegionOne",
                "SERVICE_PASSWORD": PASSWORDS["zun"],
                "SERVICE_PROJECT_NAME": "service",
                "SERVICE_DOMAIN_NAME": "Default",
                "KEYSTONE_SERVICE_URI": self.keystone.url,
                "DATABASE_SERVER_URL": server_url("mariadb"),
                "OPENSTACK": str(clients_venv() / "bin" / "openstack"),
                "OS_CLIENT_CONFIG_FILE": str(self.folder / "clouds.yaml"),
                "PYTHON_BIN": str(Path(sys.executable).parent),
                "PYTHONPATH": str(TOP),
                "PYTHONWARNINGS": "ignore",
                "ZUN_LITE_PLUGIN_DIR": str(PLUGIN),
                "ZUN_LITE_DIR": str(TOP),
                "ZUN_LITE_CONF_DIR": str(self.folder / "etc"),
                "ZUN_LITE_DATABASE": self.database,
                "ZUN_LITE_DOCKER_SOCKET": self.engine.socket,
                **{
                    f"ZUN_LITE_{name}_PORT": str(port)
                    for name, port in zip(("API", "AGENT", "GATEWAY"), self.ports, strict=True)
                },
                **variables,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def good(self, *phases: str, **variables: str) -> str:
        done = self.devstack(*phases, **variables)
        logs = "".join(f"--- {path}\n{path.read_text()[-1500:]}" for path in (self.folder / "files").glob("*.log"))
        self.assertEqual(0, done.returncode, f"{done.stdout}\n{done.stderr[-4000:]}\n{logs}")
        return done.stdout

    def client(self, *words: str) -> str:
        done = subprocess.run(
            [str(clients_venv() / "bin" / "openstack"), "--os-cloud", "demo", *words],
            env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.folder / "clouds.yaml")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def test_every_phase_on_one_machine_up_to_a_running_container_and_back(self) -> None:
        try:
            self.assertIn(f"{os.uname().nodename}  ready", self.good(*PHASES))
            images.make_demo(Engine(self.engine.socket), "zun", print)
            self.client("network", "create", "net")
            self.client("subnet", "create", "sub", "--network", "net", "--subnet-range", "10.3.0.0/24")
            self.client("appcontainer", "run", "--name", "web", "--net", "network=net", "demo:latest", "sleep", "600")
            self.wait_running("web")
            (container,) = self.engine.api.containers()
            self.assertEqual("running", container["State"])
            self.client("appcontainer", "delete", "--stop", "web")
        finally:
            self.good("unstack")
        self.assertEqual([], list((self.folder / "files").glob("*.pid")))
        self.good("clean")
        self.assertFalse(self.state_dir.exists())
        self.assertFalse((self.folder / "etc").exists())

    def wait_running(self, name: str) -> None:
        for _ in range(120):
            if "Running" in self.client("appcontainer", "show", name, "-f", "value", "-c", "status"):
                return
        self.fail(self.client("appcontainer", "show", name))

    def test_a_subnode_has_a_hosts_services_and_touches_neither_accounts_nor_database(self) -> None:
        called = self.folder / "files" / "called"
        called.parent.mkdir(exist_ok=True)
        called.write_text("")
        done = self.devstack(
            "stack pre-install",
            "stack install",
            "stack post-config",
            more="function run_process { takes 2 5 $#; }",
            ZUN_LITE_SERVICES="zun-lite-netd zun-lite-agent",
        )
        self.assertEqual(0, done.returncode, done.stderr[-2000:])
        used = set(called.read_text().split())
        self.assertIn("configure_keystone_authtoken_middleware", used)
        self.assertTrue(used.isdisjoint({"recreate_database", "create_service_user", "get_or_create_endpoint"}), used)

    def test_a_machine_that_cannot_have_containers_ends_early_with_the_reason(self) -> None:
        done = self.devstack("stack pre-install", ZUN_LITE_DOCKER_SOCKET="/nowhere.sock")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("no Docker Engine listens at /nowhere.sock", done.stderr)
        done = self.devstack("stack pre-install", ZUN_LITE_SERVICES="zun-lite-agent")
        self.assertIn("needs zun-lite-netd on the same machine", done.stderr)

    def test_where_others_offer_networks_and_volumes_ours_are_not_registered(self) -> None:
        lines = "\n".join(
            (
                'function get_or_create_service { takes 3 3 $#; echo "service $2"; }',
                "function get_or_create_endpoint { takes 3 5 $#; }",
                f"source {PLUGIN}/lib/zun_lite",
                "create_zun_lite_accounts",
            )
        )
        (self.folder / "etc").mkdir(exist_ok=True)
        done = self.devstack(more=lines, ENABLED_SERVICES="key,neutron-api,c-api,g-api,q-svc")
        self.assertEqual(["service container"], re.findall(r"service \S+", done.stdout), done.stderr)

    def test_the_stand_in_refuses_what_devstack_does_not_have(self) -> None:
        for line, said in (
            ("start_all_services", "there is no function or command start_all_services"),
            ("iniset file section option", "iniset takes 4 to 4 arguments, not 3"),
            ("get_or_create_endpoint network", "get_or_create_endpoint takes 3 to 5 arguments, not 1"),
        ):
            done = self.devstack(more=line)
            self.assertNotEqual(0, done.returncode, line)
            self.assertIn(said, done.stderr)

    def test_the_scripts_are_clean_by_shellcheck_and_bashate(self) -> None:
        scripts = [str(PLUGIN / name) for name in ("plugin.sh", "lib/zun_lite", "settings", "override-defaults")]
        for command in (
            ["shellcheck", "-s", "bash", *scripts, str(FUNCTIONS)],
            [str(Path(sys.executable).parent / "bashate"), "-i", "E006", *scripts[:2], str(FUNCTIONS)],
        ):
            done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
