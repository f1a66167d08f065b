# SPDX-License-Identifier: Apache-2.0
"""zl and the `openstack` plugin against a whole cloud, for the tests of what they show."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.clients.plugin import make_path
from tests.clients.runner import venv
from tests.clients.terminal import Terminal
from tests.functional.case import CloudTestCase

ZL = (sys.executable, "-m", "zun_lite.cmd.zl")


class CommandLineCase(CloudTestCase):
    """One cloud, with a network and a container `shell` that runs."""

    network: str
    folder: Path
    shell: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        (cls.folder / "plugin").mkdir()
        cls.plugin_path = make_path(cls.folder / "plugin")
        cls.shell = cls.cloud.run_container(
            "shell", nets=[{"network": cls.network}], command=["sh"], interactive=True, tty=True
        )
        cls.cloud.wait_status(cls.shell, "Running")

    @property
    def environment(self) -> dict[str, str]:
        return {**self.cloud.environment, "OS_CLOUD": "demo", "XDG_CACHE_HOME": str(self.folder / "cache")}

    def run_command(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"env": self.environment, "capture_output": True, "text": True, "timeout": 60, **options}
        options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
        if "input" in options:
            del options["stdin"]
        return subprocess.run(words, **options)

    def zl(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run_command(*ZL, *words, **options)

    def openstack(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, "PYTHONPATH": self.plugin_path}
        return self.run_command(str(venv() / "bin" / "openstack"), *words, env=environment, **options)

    def terminal(self, *words: str, **size: int) -> Terminal:
        return Terminal(*ZL, *words, environment=self.environment, **size)
