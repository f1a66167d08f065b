# SPDX-License-Identifier: Apache-2.0
"""Our `openstack` plugin beside python-zunclient, in the clients' own virtual environment but not installed there.

A folder with the entry points of setup.cfg, as an installer would write them, is put on the path.
"""

from __future__ import annotations

import configparser
import importlib.util
import os
from pathlib import Path

from tests.clients.installed import put_modules
from tests.clients.runner import TOP


def make_path(folder: Path) -> str:
    """A PYTHONPATH that has the plugin and what it needs beyond the stock clients."""
    declared = configparser.ConfigParser(delimiters=("=",))
    declared.optionxform = str  # type: ignore[assignment, method-assign]
    declared.read(TOP / "setup.cfg")
    about = folder / "zun_lite-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: zun_lite\nVersion: 0.1.0\n")
    lines = []
    for group, entries in declared["options.entry_points"].items():
        if group.startswith("openstack."):
            lines.append(f"[{group}]{entries}\n")
    (about / "entry_points.txt").write_text("\n".join(lines))
    put_modules(folder)
    found = importlib.util.find_spec("websockets")
    assert found is not None and found.origin is not None
    (folder / "websockets").symlink_to(os.path.dirname(found.origin))
    return str(folder)
