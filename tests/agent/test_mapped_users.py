# SPDX-License-Identifier: Apache-2.0
"""Containers of an engine that maps users: what is shown to them is theirs to use, and their root is not the host's."""

from __future__ import annotations

import base64
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.agent.engine import DockerCase
from tests.confinement import loose_ends
from tests.docker_engine import PrivateDockerEngine
from zun_lite.agent.runtime.base import Bind, Limits
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.etc import EtcFiles
from zun_lite.agent.runtime.files import GivenFiles
from zun_lite.domain import names
from zun_lite.domain.spec import FileRequest

ROOT = 200_000
# The machine's own lists of users stay as they are: dockerd sees others.
WITHIN = """
ip link set lo up
echo daemon:{root}:65536 > {folder}/ids
mount --bind {folder}/ids /etc/subuid; mount --bind {folder}/ids /etc/subgid; exec "$@"
"""


class MappedUsersTest(DockerCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="zl-ids-")
        cls.addClassCleanup(folder.cleanup)
        words = ("unshare", "--net", "--mount", "sh", "-c", WITHIN.format(folder=folder.name, root=ROOT), "dockerd")
        cls.own_engine = PrivateDockerEngine(within=words, extra_args=("--userns-remap=daemon",))
        cls.addClassCleanup(cls.own_engine.stop)
        cls.own_engine.folder.chmod(0o711)
        cls.own_engine.start().import_busybox()

    def an_engine(self) -> PrivateDockerEngine:
        return self.own_engine

    def a_runtime(self, **limits) -> DockerRuntime:
        kept = tempfile.TemporaryDirectory(prefix="zl-kept-")
        self.addCleanup(kept.cleanup)
        etc, files = EtcFiles(f"{kept.name}/etc"), GivenFiles(f"{kept.name}/files")
        return DockerRuntime(self.engine.socket, self.cluster, "runc", Limits(**limits), etc, files)

    def test_its_root_writes_to_its_volume_and_files_and_is_somebody_else_on_the_host(self):
        volume = self.folder / "volume"
        volume.mkdir()
        written = self.folder / "written"
        written.mkdir()
        os.chown(written, 5000, 5000)
        given = FileRequest("/srv/given", base64.b64encode(b"as given\n").decode())
        script = (
            "id -u; cat /srv/given; for f in /data/x /srv/given /etc/hosts /old/x; do echo new > $f && echo $f; done"
        )
        order = self.an_order("sh", "-c", script, files=(given,))
        binds = (Bind(str(volume), "/data"), Bind(str(written), "/old"))
        said = self.output_of(replace(order, binds=binds))
        self.assertEqual(["0", "as given", "/data/x", "/srv/given", "/etc/hosts"], [
            line for line in said.splitlines() if "denied" not in line
        ])  # fmt: skip
        self.assertEqual((ROOT, ROOT), (os.stat(volume / "x").st_uid, os.stat(volume).st_gid))
        self.assertEqual(5000, os.stat(written).st_uid)
        found = self.engine.api.inspect_container(names.docker_name(order.uuid))
        self.assertEqual([], loose_ends(found, runtime="runc"))

    def test_a_process_of_its_root_has_no_right_over_the_hosts(self):
        pid = self.engine.api.inspect_container(self.run_order(self.an_order()))["State"]["Pid"]
        self.assertEqual(ROOT, os.stat(f"/proc/{pid}").st_uid)
        self.assertIn(str(ROOT), Path(f"/proc/{pid}/uid_map").read_text())

    def test_a_sandbox_is_joined_and_ping_is_for_all_its_groups(self):
        sandbox = self.run_order(replace(self.an_order(), shareable=True))
        order = replace(self.an_order("cat", "/proc/sys/net/ipv4/ping_group_range"), joins=sandbox)
        self.assertEqual(["0", "65535"], self.output_of(order).split())

    def test_who_has_every_right_is_not_mapped(self):
        found = self.engine.api.inspect_container(self.runtime.create(self.an_order(privileged=True)))
        self.assertEqual("host", found["HostConfig"]["UsernsMode"])
