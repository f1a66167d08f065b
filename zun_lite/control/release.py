# SPDX-License-Identifier: Apache-2.0
"""Give back what a removed workload had, and forget it last: a record outlives all it stands for."""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.common import crash
from zun_lite.control import commit
from zun_lite.control.means import Means
from zun_lite.db import actions, workloads
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors


def release(means: Means, workload: Workload) -> str:
    """One workload of which its host holds nothing any more; answers the sentence for the log."""
    crash.point("controller.release.begin")
    try:
        means.networks.release(workload.uuid)
        crash.point("controller.release.port")
        means.volumes.release(workload.uuid)
        crash.point("controller.release.volume")
    except (errors.Unavailable, errors.Busy) as error:
        return f"{workload.uuid}: its release waits: {error.message}"
    means.db.transact(lambda tx: _forget(tx, workload))
    crash.point("controller.release.row")
    return f"{workload.uuid}: is gone"


def _forget(tx: sa.Connection, workload: Workload) -> None:
    commit.container_gone(tx, workload.uuid)
    workloads.remove(tx, workload)
    actions.finish(tx, workload.uuid, workload.generation)
