# SPDX-License-Identifier: Apache-2.0
"""The programs die at every point that a capsule's life passes, once and as often as it is passed."""

from __future__ import annotations

from tests.system import test_capsule_faults


class EveryPointTest(test_capsule_faults.CapsuleFaultsTest):
    making = (
        *((point, 1) for point in ("controller.provision.begin", "controller.provision.port")),
        *((point, 1) for point in ("controller.provision.volume", "controller.provision.ready")),
        *((point, 1) for point in ("agent.image.before", "agent.image.after", "agent.disk.before")),
        *((point, 1) for point in ("agent.disk.made", "agent.disk.attached")),
        *((point, times) for point in ("agent.create.before", "agent.create.after") for times in (1, 2, 3, 4)),
        *((point, times) for point in ("agent.plug.before", "agent.plug.after") for times in (1, 2, 3, 4)),
        *((point, times) for point in ("agent.start.before", "agent.start.after") for times in (1, 2, 3, 4)),
        *((point, times) for point in ("agent.journal.before", "agent.journal.after") for times in (1, 2, 3)),
        *((point, times) for point in ("netd.store.after", "netd.prepare") for times in (1, 2)),
        *((point, 1) for point in ("netd.wire.begin", "netd.wire.veth", "netd.wire.end")),
    )
    leaving = (
        *((point, 1) for point in ("agent.stop.before", "agent.stop.after")),
        *((point, times) for point in ("agent.unplug.before", "agent.unplug.after") for times in (1, 2, 3, 4)),
        *((point, times) for point in ("agent.remove.before", "agent.remove.after") for times in (1, 2, 3, 4)),
        *((point, 1) for point in ("agent.detach.before", "agent.detach.after")),
        *((point, times) for point in ("netd.unplug.begin", "netd.unplug.end") for times in (1, 2)),
        *((point, 1) for point in ("netd.detach.begin", "netd.umount.after", "netd.detach.end")),
        *((point, 1) for point in ("controller.release.begin", "controller.release.port")),
        *((point, 1) for point in ("controller.release.volume", "controller.release.row")),
    )
