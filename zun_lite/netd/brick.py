# SPDX-License-Identifier: Apache-2.0
"""One connection of a Cinder's volume made or ended by os-brick, in a process of its own.

    python -m zun_lite.netd.brick properties | connect | disconnect  < question > answer

os-brick is large, starts threads and holds state; netd lives as long as its host and does not import it. What is
asked and answered is one JSON object; a failure is {"problem": sentence} and status 1. Only os-brick knows what
a connection means.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

from zun_lite.domain import errors

Body = dict[str, Any]
LIMIT_SECONDS = 25.0
"""Less than whoever asks netd waits for it."""


def is_here() -> bool:
    return importlib.util.find_spec("os_brick") is not None


def ask(action: str, question: Body, limit_seconds: float = LIMIT_SECONDS) -> Body:
    """Run this module. Failed: with os-brick's reason; what was asked goes to no log, for it may hold passwords."""
    if not is_here():
        raise errors.Failed(
            f"Volumes reached by {question.get('driver_volume_type', 'a driver')} need os-brick on the host; "
            "install zun_lite[openstack] there."
        )
    words = [sys.executable, "-m", __name__, action]
    try:
        done = subprocess.run(words, input=json.dumps(question), capture_output=True, text=True, timeout=limit_seconds)
        answer = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        raise errors.Failed(f"os-brick did not {action} within {limit_seconds:g} s.") from error
    except (ValueError, IndexError) as error:
        raise errors.Failed(f"os-brick broke off, with status {done.returncode}.") from error
    if "problem" in answer:
        raise errors.Failed(f"os-brick could not {action}: {answer['problem']}")
    return answer


def main() -> int:
    action, question = sys.argv[1], json.load(sys.stdin)
    try:
        print(json.dumps(_perform(action, question), default=str))
    except Exception as error:
        print(json.dumps({"problem": f"{type(error).__name__}: {error}"[:500]}))
        return 1
    return 0


def _perform(action: str, question: Body) -> Body:
    import os_brick
    from os_brick import privileged
    from os_brick.initiator import connector
    from oslo_config import cfg

    conf = cfg.CONF
    os_brick.setup(conf)
    conf([], project="zun_lite", default_config_files=[], default_config_dirs=[])
    conf.set_override("lock_path", question["lock_dir"], group="oslo_concurrency")
    # this process has the rights itself
    privileged.default.set_client_mode(False)
    if action == "properties":
        found = connector.get_connector_properties("", question["ip"], question["multipath"], False, question["host"])
        return {"connector": found}
    data = question["data"]
    made = connector.InitiatorConnector.factory(
        question["driver_volume_type"].upper(),
        "",
        use_multipath=question["multipath"],
        conn=data,
        do_local_attach=True,
    )
    if action == "connect":
        return {"path": made.connect_volume(data)["path"]}
    made.disconnect_volume(data, None, ignore_errors=False)
    return {}


if __name__ == "__main__":
    sys.exit(main())
