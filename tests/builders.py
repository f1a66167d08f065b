# SPDX-License-Identifier: Apache-2.0
"""What tests are made of: callers, specs, hosts and control's means with providers that say yes."""

from __future__ import annotations

import atexit
import functools
import itertools
import tempfile
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from zun_lite.common.clock import StoppedClock
from zun_lite.common.secrets import SecretBox
from zun_lite.control import listing, reports
from zun_lite.control.means import Means
from zun_lite.db import hosts, workload_pages
from zun_lite.db.engine import Database, utc_now
from zun_lite.db.workloads import Workload, workloads
from zun_lite.domain import errors, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.desired import Inventory, Report
from zun_lite.domain.host_work import HostWork
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec
from zun_lite.domain.wiring import Attachment, Endpoint
from zun_lite.image.embedded import EmbeddedImages


@functools.cache
def scratch() -> str:
    """A folder of this test process; it goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="zl-means-")
    atexit.register(folder.cleanup)
    return folder.name


CAPACITY = Resources(8, 16384, 100)


def page_of(means: Means, caller: Caller, **paging: Any) -> list[Workload]:
    """A page of containers, with the paging that listing.wanted() takes."""
    wanted = listing.wanted(means, caller, **paging)
    with means.db.read() as tx:
        return workload_pages.page(tx, wanted)


def a_caller(project_id: str = "p1", *roles: str) -> Caller:
    return Caller("u1", project_id, frozenset(roles or ("member",)), f"req-{names.new_id()}")


def a_spec(**changes) -> ContainerSpec:
    return ContainerSpec(**{"image": "demo:latest", "cpus": 1.0, "memory_mib": 64, **changes})


def copy_workload(db: Database, changes: Iterable[dict[str, Any]]) -> None:
    """The first workload that there is once more for each of these, with these columns changed."""
    with db.read() as tx:
        pattern = dict(tx.execute(sa.select(workloads).order_by(workloads.c.id).limit(1)).mappings().one())
    del pattern["id"]
    wanted = iter(changes)
    while some := list(itertools.islice(wanted, 5000)):
        rows = [{**pattern, "uuid": names.new_id(), **change} for change in some]
        db.transact(lambda tx, rows=rows: tx.execute(sa.insert(workloads), rows))  # type: ignore[misc]


class YesNetworks:
    """A network provider that always has a port, and counts what it gave and took back."""

    def __init__(self) -> None:
        self.given: dict[tuple[str, int], Endpoint] = {}
        self.refusal: Exception | None = None
        self.refuses: set[str] | None = None

    def resolve(self, caller, ident, *, choose_address=False):
        return ident

    def renewed(self, endpoints):
        return endpoints

    def remaining_groups(self, project_id, group_ids):
        return group_ids

    def resolve_port(self, caller, ident):
        return ident, "network"

    def find_port(self, caller, ident):
        return ident, "network"

    def resolve_group(self, caller, ident):
        if ident == "gone":
            raise errors.NotFound(f"Security group {ident} could not be found.")
        return ident

    def default_network(self, caller):
        return "network"

    def open_ports(self, workload_uuid, project_id, exposed):
        return workload_uuid

    def provide(self, workload_uuid, project_id, host_uuid, position, request, security_groups=None):
        if self.refusal and (self.refuses is None or request.network_id in self.refuses):
            raise self.refusal
        made = Endpoint(names.new_id(), request.network_id, 1000, "fa:16:3e:00:00:01", 1450, ())
        return self.given.setdefault((workload_uuid, position), made)

    def release(self, workload_uuid, *, positions=None):
        self.given = {
            key: port
            for key, port in self.given.items()
            if key[0] != workload_uuid or (positions is not None and key[1] not in positions)
        }


class YesVolumes:
    """A volume provider that always says yes; pinned: the host on which every volume lies."""

    def __init__(self, pinned: str | None = None) -> None:
        self.given: dict[tuple[str, int], Attachment] = {}
        self.pinned = pinned

    def resolve(self, caller, ident):
        return ident, self.pinned

    def prepare(self, caller, workload_uuid, position, request):
        return request

    def abandon(self, workload_uuid):
        pass

    def tidy(self):
        return []

    def provide(self, workload_uuid, project_id, host_uuid, position, request):
        made = Attachment(request.volume_id, 1, 1, request.target)
        return self.given.setdefault((workload_uuid, position), made)

    def release(self, workload_uuid):
        self.given = {key: volume for key, volume in self.given.items() if key[0] != workload_uuid}


class SilentAgents:
    """Agents that take nudges and do nothing."""

    def __init__(self) -> None:
        self.nudged: list[str] = []

    def nudge(self, host_uuid, address):
        self.nudged.append(host_uuid)

    def work(self, host_uuid, address, workload, request_id):
        return HostWork()


class NoWaker:
    def wake(self) -> None:
        return


def means_of(db: Database, **changes) -> Means:
    parts = {
        "db": db,
        "networks": YesNetworks(),
        "volumes": YesVolumes(),
        "images": EmbeddedImages(db, f"{scratch()}/{names.new_id()}"),
        "secrets": SecretBox(f"{scratch()}/registry.key"),
        "agents": SilentAgents(),
        "waker": NoWaker(),
        "clock": StoppedClock(),
    }
    return Means(**{**parts, **changes})


def a_host(means: Means, name: str = "host1", capacity: Resources = CAPACITY) -> hosts.Host:
    """An enrolled host that has reported in full."""

    def add(tx) -> str:
        uuid = hosts.enrol(tx, names.new_id(), name, "127.0.0.1:1", "key")
        tx.execute(hosts.hosts.update().where(hosts.hosts.c.uuid == uuid).values(seen_at=utc_now()))
        return uuid

    uuid = means.db.transact(add)
    with means.db.read() as tx:
        host = hosts.get(tx, uuid)
    reports.take(means, host, Report("boot1", Inventory(capacity), True, ()))
    with means.db.read() as tx:
        return hosts.get(tx, uuid)
