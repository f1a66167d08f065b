# SPDX-License-Identifier: Apache-2.0
"""How containers are confined, seen from within and by `docker inspect`, on a real engine."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.agent.engine import DockerCase
from tests.confinement import loose_ends
from zun_lite.agent.runtime.base import Bind, Limits
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.docker_config import MASKED_PATHS
from zun_lite.domain import errors, names
from zun_lite.domain.security_profile import CAPABILITIES, SecurityProfile

EPERM, ENOSYS = 1, 38
# Each is tried with arguments that the kernel itself answers otherwise than the filter does.
PROBES = {
    "a crypto socket": "libc.socket(38, 5, 0)",
    "a vsock": "libc.socket(40, 1, 0)",
    "a user namespace by clone": "libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)",
    "io_uring": "libc.syscall(425, 0, 0)",
    "a key": "libc.syscall(250, 99, 0, 0, 0, 0)",
    "handles of files": "libc.syscall(304, -1, 0, 0)",
    "clone3": "libc.syscall(435, 0, 0)",
    "a user namespace": "libc.unshare(0x10000000)",
}
FINE = {
    "a socket of IPv4": "libc.socket(2, 1, 0)",
    "a local socket": "libc.socket(1, 1, 0)",
    "a process": "libc.syscall(56, 17, 0, 0, 0, 0) or os._exit(0)",
    "its own personality": "libc.syscall(135, ctypes.c_ulong(0xFFFFFFFF))",
}
PROGRAM = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
def ask(text):
    ctypes.set_errno(0)
    return ctypes.get_errno() if eval(text) < 0 else 0
print(json.dumps({{what: ask(text) for what, text in {probes!r}.items()}}))
"""
OPEN = SecurityProfile(seccomp='{"defaultAction":"SCMP_ACT_ALLOW"}')


class ConfinementTest(DockerCase):
    def a_runtime(self, **limits) -> DockerRuntime:
        profiles = {
            "open": OPEN,
            "tracing": SecurityProfile(capabilities=(*CAPABILITIES, "SYS_PTRACE"), read_only_root=True),
        }
        return DockerRuntime(self.engine.socket, self.cluster, "runc", Limits(**limits), profiles=profiles)

    def an_order_with(self, *command: str, profile: str | None = None, **changes):
        hints = {"security_profile": profile} if profile else {}
        return self.an_order(*command, hints=hints, **changes)

    def probed(self, profile: str | None) -> dict[str, int]:
        """errno of each call, made by the machine's own Python in a container."""
        program = PROGRAM.format(probes=PROBES | FINE)
        order = self.an_order_with("/usr/bin/python3", "-ISc", program, profile=profile, memory_mib=64)
        binds = tuple(Bind(folder, folder, True) for folder in ("/usr", "/lib", "/lib64"))
        return json.loads(self.output_of(replace(order, binds=binds)))

    def test_b2_calls_that_open_the_kernel_are_refused_and_common_ones_are_not(self):
        """B2."""
        held = self.probed(None)
        loose = self.probed("open")
        for what in PROBES:
            refusal = ENOSYS if what == "clone3" else EPERM
            self.assertEqual(refusal, held[what], what)
            self.assertNotEqual(refusal, loose[what], f"{what}: the filter is not what refuses it")
        self.assertEqual(
            ({}, {}), tuple({w: e for w, e in found.items() if w in FINE and e} for found in (held, loose))
        )

    def test_a_container_of_each_kind_is_held(self):
        """A9, B1, B7."""
        usual = self.runtime.create(self.an_order())
        sandbox = self.runtime.create(replace(self.an_order(), shareable=True))
        self.runtime.start(sandbox)
        member = self.runtime.create(replace(self.an_order(), member=self.an_order().uuid, joins=sandbox))
        self.runtime.limit(usual, 0.25, 48)
        for made in (usual, sandbox, member):
            found = self.engine.api.inspect_container(made)
            self.assertEqual([], loose_ends(found, runtime="runc"))
        theirs = self.engine.api.create_container("busybox", "true")["Id"]
        self.addCleanup(self.engine.api.remove_container, theirs)
        self.assertIn("our seccomp filter", loose_ends(self.engine.api.inspect_container(theirs)))

    def test_what_tells_of_the_machine_is_masked_and_its_knobs_do_not_turn(self):
        sizes = f"for path in {' '.join(MASKED_PATHS)}; do if [ -f $path ]; then wc -c < $path; fi; done"
        script = f"{sizes}; ls -A /sys/firmware"
        shown = self.output_of(self.an_order("sh", "-c", script))
        self.assertEqual(set(), set(shown.split()) - {"0"})
        turned = self.output_of(
            self.an_order("sh", "-c", "echo 1 > /proc/sys/kernel/panic || echo no; cat /proc/mounts")
        )
        self.assertIn("no\n", turned)
        self.assertNotIn("cgroup rw", turned)

    def test_a_profile_of_the_operators_is_followed_and_no_more_than_that(self):
        order = self.an_order_with(
            "sh", "-c", "cat /proc/self/status; touch /x || echo held; touch /tmp/x /run/x && echo scratch",
            profile="tracing",
        )  # fmt: skip
        shown = self.output_of(order)
        self.assertIn("held\nscratch\n", shown)
        bounding = int(shown.split("CapBnd:\t")[1].split()[0], 16)
        self.assertEqual((len(CAPABILITIES) + 1, 1), (bounding.bit_count(), bounding >> 19 & 1))
        found = self.engine.api.inspect_container(names.docker_name(order.uuid))
        held = (*CAPABILITIES, "SYS_PTRACE")
        self.assertEqual([], loose_ends(found, runtime="runc", capabilities=held))

    def test_a_profile_that_the_host_does_not_have_is_said(self):
        with self.assertRaisesRegex(errors.Invalid, "no security profile 'nobodys'"):
            self.runtime.create(self.an_order_with(profile="nobodys"))
        self.assertEqual([], self.runtime.containers())
