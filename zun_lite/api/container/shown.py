# SPDX-License-Identifier: Apache-2.0
"""What of a container a caller is shown: the guarded fields, the names of hosts; and the moment of the showing."""

from __future__ import annotations

import datetime

from zun_lite.api import policy
from zun_lite.api.container import views
from zun_lite.control.means import Means
from zun_lite.db import hosts
from zun_lite.domain.caller import Caller


def fields_shown(caller: Caller, project_id: str) -> tuple[str, ...]:
    """The guarded fields that the caller may see of a container of this project."""
    return tuple(name for name in views.GUARDED if policy.allows(caller, f"container:get_one:{name}", project_id))


def sees_hosts(caller: Caller) -> bool:
    return policy.allows(caller, "container:get_one:host")


def host_names(means: Means, caller: Caller) -> dict[str | None, str]:
    """Names of hosts by uuid, for whom they are shown to."""
    if not sees_hosts(caller):
        return {}
    with means.db.read() as tx:
        return dict(hosts.names(tx))


def utc_now(means: Means) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(means.clock.now(), datetime.UTC).replace(tzinfo=None)
