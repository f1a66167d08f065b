# SPDX-License-Identifier: Apache-2.0
"""Lists of containers, for an edge that remembers how it showed a row.

In one read: which rows are on the page, and in whole only those that the edge does not remember.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zun_lite.control.actions import find
from zun_lite.control.means import Means
from zun_lite.db import hosts, workload_pages
from zun_lite.db.workload_pages import Mark, Wanted
from zun_lite.db.workloads import CONTAINER, Workload
from zun_lite.domain.caller import Caller

Read = dict[str, tuple[int, Workload]]
HostNames = dict[str | None, str]


def wanted(
    means: Means,
    caller: Caller,
    *,
    filters: dict[str, Any],
    limit: int,
    marker: str | None = None,
    sort_key: str = "id",
    descending: bool = False,
    all_projects: bool = False,
) -> Wanted:
    """A page of the caller's containers, or of all projects' (the edge has checked the right to). NotFound: marker."""
    after = find(means, caller, marker, all_projects=all_projects).uuid if marker else None
    project_id = None if all_projects else caller.project_id or ""
    return Wanted(CONTAINER, project_id, limit, filters, after, sort_key, descending)


def read(
    means: Means, page: Wanted, unknown: Callable[[list[Mark], HostNames], list[str]], *, hosts_too: bool = False
) -> tuple[list[Mark], Read, HostNames]:
    """The rows of a page; by uuid those in whole that unknown() names, each with its version; names of hosts.

    hosts_too: whether hosts' names are wanted; else there are none.
    """
    with means.db.read() as tx:
        host_names: HostNames = dict(hosts.names(tx)) if hosts_too else {}
        marks = workload_pages.marks(tx, page)
        missing = unknown(marks, host_names)
        rows = {workload.uuid: (version, workload) for version, workload in workload_pages.whole(tx, missing)}
    return marks, rows, host_names
