# SPDX-License-Identifier: Apache-2.0
"""`zl` as an installer leaves it: a program of a virtual environment, its modules compiled.

Run from a source tree, it would be compiled anew each time, or looked for by the tree's own finder.
"""

from __future__ import annotations

import compileall
import shutil
import sysconfig
import venv
from pathlib import Path

from tests.clients.runner import TOP

SCRIPT = """\
#!{python}
import re
import sys
from zun_lite.cmd.zl import main
if __name__ == "__main__":
    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])
    sys.exit(main())
"""


def put_modules(folder: Path) -> None:
    """The product's own, compiled."""
    shutil.copytree(TOP / "zun_lite", folder / "zun_lite", ignore=shutil.ignore_patterns("__pycache__"))
    if not compileall.compile_dir(folder / "zun_lite", quiet=2):
        raise AssertionError(f"{folder} could not be compiled")


def make_zl(folder: Path) -> Path:
    """The program, in a folder that is to be new. Libraries are those of the environment that runs the tests."""
    venv.create(folder, with_pip=False, symlinks=True)
    modules = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    put_modules(modules)
    (modules / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    program = folder / "bin" / "zl"
    program.write_text(SCRIPT.format(python=folder / "bin" / "python"))
    program.chmod(0o755)
    return program
