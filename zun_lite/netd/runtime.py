# SPDX-License-Identifier: Apache-2.0
"""Installing the OCI runtime wrapper that is registered with the Docker Engine.

The installed program is runtime.sh with this host's paths baked in. It needs nothing of the
environment that Docker gives it.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

_TEMPLATE = Path(__file__).with_name("runtime.sh")


def install(
    target_path: str,
    real_runtime: str,
    netd_socket: str,
    python: str,
    state_dir: str | None = None,
    answer_seconds: float = 15.0,
) -> None:
    """Write the wrapper at target_path, replacing one that is there in one step.

    real_runtime: absolute path of runc or another OCI runtime. state_dir: where crash points of
    tests are kept; default two folders above the socket. answer_seconds: how long each of the wrapper's two
    questions to netd may wait for an answer.
    """
    values = {
        "REAL_RUNTIME": real_runtime,
        "PYTHON": python,
        "PACKAGE_PARENT": str(Path(__file__).parents[2]),
        "NETD_SOCKET": netd_socket,
        "ANSWER_SECONDS": str(answer_seconds),
        "STATE_DIR": state_dir or os.path.dirname(os.path.dirname(netd_socket)),
    }
    text = re.sub(r"@([A-Z_]+)@", lambda match: shlex.quote(values[match[1]]), _TEMPLATE.read_text())
    os.makedirs(os.path.dirname(target_path), exist_ok=True)
    half = f"{target_path}.half"
    with open(half, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(half, 0o755)
    os.rename(half, target_path)
