# SPDX-License-Identifier: Apache-2.0
"""What a spec becomes in Docker's arguments, and what it never becomes."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

import docker
from hypothesis import given
from hypothesis import strategies as st

from zun_lite.agent.runtime import docker_config, seccomp
from zun_lite.agent.runtime.base import Bind, Limits, Order
from zun_lite.agent.runtime.docker_config import Traits, free_cores
from zun_lite.domain import errors, names
from zun_lite.domain.security_profile import CAPABILITIES, SecurityProfile
from zun_lite.domain.spec import ContainerSpec, FileRequest, Healthcheck, NetworkRequest, RestartPolicy

PLAIN = Traits(8.0)
texts = st.text(max_size=30)
specs = st.builds(
    ContainerSpec,
    image=st.just("demo:latest"),
    command=st.none() | st.lists(texts, max_size=3).map(tuple),
    environment=st.dictionaries(texts, texts, max_size=3),
    labels=st.dictionaries(texts | st.sampled_from(("zun.uuid", "zun.cores", "zun.member")), texts, max_size=3),
    workdir=st.none() | texts,
    hostname=st.none() | texts,
    cpus=st.floats(0.1, 16),
    memory_mib=st.integers(6, 100000),
    disk_gib=st.integers(0, 160),
    interactive=st.booleans(),
    tty=st.booleans(),
    restart_policy=st.none() | st.builds(RestartPolicy, st.sampled_from(("no", "always", "on-failure"))),
    networks=st.lists(st.builds(NetworkRequest, texts), max_size=2).map(tuple),
    files=st.lists(st.builds(FileRequest, texts, texts), max_size=2).map(tuple),
    healthcheck=st.none() | st.builds(Healthcheck, texts),
    exposed_ports=st.sampled_from(((), ("80/tcp",), ("53/udp", "80/tcp"))),
    runtime=st.sampled_from((None, "runc", "kata")),
    cpu_policy=st.sampled_from(("shared", "dedicated")),
    hints=st.dictionaries(texts, texts, max_size=2),
)


class ConfigTest(unittest.TestCase):
    api = docker.APIClient(base_url="unix:///nowhere", version="1.41")

    def host_config(self, spec: ContainerSpec, *, traits: Traits = PLAIN, cores: tuple[int, ...] = ()) -> dict:
        order = Order(names.new_id(), 1, 1, spec)
        binds = (Bind("/pool/volume/data", "/data"),)
        return docker_config.host_config(self.api, order, Limits(), "zun-lite", traits, binds, cores)

    @given(specs, st.booleans())
    def test_no_spec_gets_more_of_its_host_than_the_baseline(self, spec, sizes_disks):
        """B1."""
        made = self.host_config(spec, traits=Traits(8.0, sizes_disks), cores=(1, 2))
        self.assertFalse(made.get("Privileged", False))
        self.assertEqual("none", made["NetworkMode"])
        self.assertEqual((["ALL"], sorted(CAPABILITIES)), (made["CapDrop"], sorted(made["CapAdd"])))
        self.assertEqual(["no-new-privileges", f"seccomp={seccomp.profile()}"], made["SecurityOpt"])
        self.assertEqual(list(docker_config.MASKED_PATHS), made["MaskedPaths"])
        self.assertEqual(["/pool/volume/data"], [mount["Source"] for mount in made["Mounts"]])
        self.assertTrue(made["Runtime"].startswith("zun-lite"))
        self.assertEqual(made["Memory"], made["MemorySwap"])
        for name in ("PidMode", "IpcMode", "UTSMode", "UsernsMode", "Devices", "Binds", "VolumesFrom", "CgroupParent"):
            self.assertFalse(made.get(name), name)

    @given(specs)
    def test_no_spec_sets_a_label_of_ours(self, spec):
        """A5."""
        order = Order(names.new_id(), 3, 2, spec)
        host = self.host_config(spec)
        made = docker_config.container_config(self.api, "home", order, host, (0,), network_disabled=True)
        ours = {key: value for key, value in made["Labels"].items() if key.startswith("zun.")}
        wanted = {"zun.cluster": "home", "zun.uuid": order.uuid, "zun.epoch": "3", "zun.build": "2", "zun.member": ""}
        self.assertEqual({**wanted, "zun.cores": "0"}, ours)

    def test_every_label_of_ours_is_said_so_that_an_images_own_does_not_count(self):
        spec = ContainerSpec("demo:latest")
        order, host = Order(names.new_id(), 1, 1, spec), self.host_config(spec)
        made = docker_config.container_config(self.api, "home", order, host, network_disabled=True)
        ours = {value for name, value in vars(names).items() if name.startswith("LABEL_")}
        self.assertEqual(set(), ours - made["Labels"].keys())

    def test_b2_no_call_that_opens_the_kernel_is_in_the_filter(self):
        """B2."""
        rules = json.loads(seccomp.profile())["syscalls"]
        allowed = {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
        for name in (
            *(
                "bpf",
                "perf_event_open",
                "mount",
                "umount2",
                "pivot_root",
                "move_mount",
                "fsopen",
                "open_tree",
                "unshare",
            ),
            *("setns", "keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "io_uring_enter", "syslog"),
            *("io_uring_register", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
            *("reboot", "swapon", "iopl", "ioperm", "open_by_handle_at", "quotactl", "acct", "settimeofday", "clone3"),
            *("clock_settime", "sethostname", "lookup_dcookie", "fanotify_init", "socketcall", "modify_ldt", "vm86"),
        ):
            self.assertNotIn(name, allowed)
        conditions = {rule["names"][0]: rule["includes"]["caps"] for rule in rules if "includes" in rule}
        self.assertEqual(["CAP_SYS_CHROOT"], conditions["chroot"])
        self.assertEqual([1, 2, 10, 16, 17], [r["args"][0]["value"] for r in rules if r["names"] == ["socket"]])
        listed = [name for rule in rules if "args" not in rule for name in rule["names"]]
        self.assertEqual(len(listed), len(set(listed)))

    def test_apparmor_is_used_where_the_host_has_it(self):
        host = docker_config.traits({"NCPU": 1, "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"]})
        options = self.host_config(ContainerSpec("demo"), traits=host)["SecurityOpt"]
        self.assertEqual("apparmor=docker-default", options[-1])
        order = Order(names.new_id(), 1, 1, ContainerSpec("demo"))
        own = SecurityProfile(apparmor="ours", capabilities=("CHOWN",), seccomp="{}")
        made = docker_config.host_config(self.api, order, Limits(), "zun-lite", host, (), profile=own)
        self.assertEqual(["no-new-privileges", "seccomp={}", "apparmor=ours"], made["SecurityOpt"])
        self.assertEqual(["CHOWN"], made["CapAdd"])

    def test_privileged_is_a_matter_of_the_spec_alone(self):
        self.assertTrue(self.host_config(ContainerSpec("demo", privileged=True))["Privileged"])

    def test_a_disk_has_its_size_where_docker_can_hold_it_to_one(self):
        spec = ContainerSpec("demo", disk_gib=5)
        self.assertEqual({"size": "5G"}, self.host_config(spec, traits=Traits(1.0, True))["StorageOpt"])
        self.assertNotIn("StorageOpt", self.host_config(spec))
        self.assertNotIn("StorageOpt", self.host_config(ContainerSpec("demo"), traits=Traits(1.0, True)))

    def test_a_runtime_is_always_one_of_our_wrappers(self):
        for asked, name in ((None, "zun-lite"), ("runc", "zun-lite"), ("kata", "zun-lite-kata")):
            self.assertEqual(name, self.host_config(ContainerSpec("demo", runtime=asked))["Runtime"])

    def test_a_health_check_counts_nanoseconds_and_leaves_out_nothing(self):
        spec = ContainerSpec("demo", healthcheck=Healthcheck("true", 5, 2, 1))
        order = Order(names.new_id(), 1, 1, spec)
        made = docker_config.container_config(self.api, "home", order, self.host_config(spec), network_disabled=True)
        wanted = {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9, "Timeout": 10**9, "Retries": 2}
        self.assertEqual(wanted, {name: made["Healthcheck"][name] for name in wanted})


class HostTest(unittest.TestCase):
    def test_cores_are_the_lowest_free_ones_and_run_out(self):
        self.assertEqual((0, 1), free_cores(2, 4.0, ()))
        self.assertEqual((1, 3), free_cores(2, 4.0, (0, 2)))
        with self.assertRaisesRegex(errors.Invalid, "2 CPUs .* 1 left"):
            free_cores(2, 2.0, (0,))

    def test_a_label_that_is_nonsense_names_no_cores(self):
        self.assertEqual((0, 12), docker_config.cores_of("0,12"))
        for label in (None, "", "x", "1-3"):
            self.assertEqual((), docker_config.cores_of(label))

    def test_which_engine_sizes_disks(self):
        overlay = {"NCPU": 2, "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "xfs"]]}
        self.assertFalse(docker_config.traits({**overlay, "DockerRootDir": "/nowhere"}).sizes_disks)
        self.assertTrue(docker_config.traits({"NCPU": 2, "Driver": "btrfs"}).sizes_disks)
        self.assertFalse(docker_config.traits({"NCPU": 2, "Driver": "vfs", "DriverStatus": None}).sizes_disks)

    def test_whom_containers_root_is_mapped_to(self):
        mapped = {"NCPU": 1, "SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}
        found = docker_config.traits({**mapped, "DockerRootDir": "/var/lib/docker/100000.200000"})
        self.assertEqual((100000, 200000), found.root)
        with self.assertRaisesRegex(errors.Failed, "not named by whom"):
            docker_config.traits({**mapped, "DockerRootDir": "/var/lib/docker"})
        self.assertIsNone(docker_config.traits({"NCPU": 1, "DockerRootDir": "/var/lib/docker/1.1"}).root)

    def test_project_quotas_are_those_of_the_innermost_mount(self):
        with tempfile.TemporaryDirectory() as folder:
            mounts = Path(folder) / "mounts"
            mounts.write_text(
                "/dev/a / ext4 rw 0 0\n"
                "/dev/b /var/lib xfs rw,relatime,prjquota 0 0\n"
                "/dev/c /var/lib/docker/plain xfs rw,noquota 0 0\n"
            )
            for path, has in (
                ("/var/lib/docker", True),
                ("/var/lib", True),
                ("/var/library", False),
                ("/var/lib/docker/plain/x", False),
                ("/", False),
            ):
                self.assertEqual(has, docker_config.has_project_quotas(path, str(mounts)), path)
