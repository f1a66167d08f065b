# SPDX-License-Identifier: Apache-2.0
"""The agent's rhythm: register, fetch, follow, compare, say that the host lives.

Nothing is fetched before the API has taken in what is here (the registration barrier), so that
it never places anew what still runs. A host whose API stays away goes by the last set it knew.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from zun_lite.agent import inventory
from zun_lite.agent.disks import Disks
from zun_lite.agent.events import EngineEvents
from zun_lite.agent.image_keeping import ImageKeeping, ImageSettings
from zun_lite.agent.image_sources import ImageApi
from zun_lite.agent.journal import Journal
from zun_lite.agent.looks import Looks
from zun_lite.agent.planes import PlaneApi, PlaneNetd, Planes
from zun_lite.agent.pool import Pool
from zun_lite.agent.progress import Progress
from zun_lite.agent.reconciler import Reconciler
from zun_lite.agent.removals import Removals
from zun_lite.agent.reporter import Orders, Reporter
from zun_lite.agent.runtime.base import Event, Runtime
from zun_lite.agent.runtime.image_base import EngineImages
from zun_lite.agent.steps import Netd, Performer
from zun_lite.agent.volume_keeping import VolumeKeeping
from zun_lite.agent.worklist import Worklist
from zun_lite.common import crash
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.domain.desired import VOLUME, DesiredSet, Inventory, Report, VolumeNews

LOG = logging.getLogger(__name__)

ALONE_AFTER_SECONDS = 10.0
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.2, 30.0
# an engine that hangs breaks no stream of events, so that nothing tells when it goes on
SILENT_ENGINE_RETRY_SECONDS = 5.0
# waiting for a container to stop holds a thread without work, so there are more threads than launches
_THREADS_A_LAUNCH = 4


class NodeApi(ImageApi, PlaneApi, Protocol):
    """What is asked of the API."""

    def fetch(self, known_revision: int | None) -> DesiredSet | None: ...

    report_wanted: bool
    plane_revision: int | None

    def heartbeat(self, boot_id: str, problem: str | None) -> int: ...

    def report(self, report: Report) -> Orders: ...


class HostNetd(Netd, PlaneNetd, Protocol):
    """What is asked of netd."""


@dataclass(frozen=True)
class Settings:
    """docker_runtime: what the engine must know by name for this host to take work.

    underlay_address, external_bridge, pool_shared: see Inventory. pool_overcommit, pool_reserve_gib: see Room.
    known_as: the host's name and address, as it enrolled.
    """

    pool_dir: str
    journal_dir: str
    boot_id: str
    docker_runtime: str = "zun-lite"
    interval_seconds: float = 5.0
    heartbeat_seconds: float = 10.0
    resync_seconds: float = 60.0
    silent_after_seconds: float = 40.0
    parallel: int = 4
    images: ImageSettings = ImageSettings()
    underlay_address: str | None = None
    external_bridge: str | None = None
    pool_overcommit: float = 2.0
    pool_reserve_gib: float = 2.0
    pool_shared: bool = False
    known_as: tuple[str, str] = ("", "")


class Agent:
    """One host's agent. start() returns at once; stop() leaves every container as it is."""

    def __init__(
        self, api: NodeApi, runtime: Runtime, images: EngineImages, netd: HostNetd, settings: Settings, clock: Clock
    ) -> None:
        self._api = api
        self._runtime = runtime
        self._settings = settings
        self._clock = clock
        self._pool = Pool(
            settings.pool_dir, netd, settings.pool_overcommit, settings.pool_reserve_gib, settings.pool_shared
        )
        self._disks = Disks(settings.pool_dir, netd, self._pool)
        self._journal = Journal(settings.journal_dir)
        self._looks = Looks(clock)
        self._worklist = Worklist(self._work, settings.parallel * _THREADS_A_LAUNCH, clock)
        self._reporter = Reporter(api, settings.boot_id, self._take_orders, clock)
        self._images = ImageKeeping(
            api,
            runtime,
            images,
            Path(settings.journal_dir),
            settings.images,
            clock,
            mark=self._worklist.mark,
            alone=self._worklist.alone,
            tell=self._reporter.image,
        )
        self.progress = Progress(clock, self._images.images.layers)
        self._volumes = VolumeKeeping(self._pool, self._reporter.volume)
        self._planes = Planes(api, netd, self._hears_the_api, settings.interval_seconds)
        performer = Performer(
            runtime,
            netd,
            self._disks,
            self._images.images,
            self._journal,
            settings.boot_id,
            self._hears_the_api,
            settings.parallel,
            self._planes.require,
        )
        self._reconciler = Reconciler(
            runtime,
            netd,
            self._disks,
            performer,
            self._journal,
            self._looks,
            Removals(clock, self._journal.removals_allowed_once),
            self._reporter,
            self.progress,
            settings.boot_id,
            clock,
        )
        self._events = EngineEvents(runtime, self._happened, self._engine_is_followed, clock)
        self._stopping = threading.Event()
        self._fetch_now = threading.Event()
        self._compare_now = threading.Event()
        self._beat_now = threading.Event()
        self._registered = threading.Event()
        self._begun = False
        self._revision: int | None = None
        self._unwritten: DesiredSet | None = None
        self._heard_at = float("-inf")
        self._missing_runtime: str | None = None
        self._silent_engine: str | None = None

    def start(self) -> None:
        for work in (self._keep_set, self._keep_alive, self._keep_compared, self._keep_plane):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()

    def stop(self, timeout_seconds: float = 3.0) -> bool:
        """Begin nothing more; whether all that was under way ended."""
        self._stopping.set()
        self._fetch_now.set()
        self._compare_now.set()
        self._beat_now.set()
        self._events.stop()
        self._planes.stop()
        self._volumes.stop()
        ended = self._worklist.stop(timeout_seconds)
        self._reporter.stop()
        return ended

    def nudge(self) -> None:
        """The API says: look now."""
        self._fetch_now.set()
        self._planes.look()

    def wait_until_registered(self, timeout_seconds: float) -> bool:
        return self._registered.wait(timeout_seconds)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        return self._worklist.wait_until_idle(timeout_seconds)

    # the set

    def _keep_set(self) -> None:
        remembered = self._journal.read_set()
        if remembered is not None:
            self._reconciler.accept(remembered, remembered=True)
        self._register()
        failures = 0
        while not self._stopping.is_set():
            self._fetch_now.clear()
            try:
                self._fetch()
                failures = 0
                self._fetch_now.wait(self._settings.interval_seconds)
            except errors.ZunError as error:
                failures += 1
                if failures == 1:
                    LOG.warning("the set cannot be fetched: %s", error.message)
                self._fetch_now.wait(_retry_seconds(failures))
            except Exception:
                failures += 1
                LOG.exception("the set that was fetched cannot be used, the last one stands")
                self._fetch_now.wait(_retry_seconds(failures))

    def _register(self) -> None:
        """Pass the registration barrier; work goes on without it when the API stays away."""
        began = self._clock.monotonic()
        failures = 0
        while not self._stopping.is_set():
            try:
                found = self._inventory()
                self._reporter.register(found, self._reconciler.survey(self._runtime.containers()))
                self._heard()
                self._begin_work()
                self._registered.set()
                self._beat_now.set()
                return
            except errors.ZunError as error:
                failures += 1
                if failures == 1:
                    LOG.warning("this host is not registered yet: %s", error.message)
            except Exception:
                failures += 1
                LOG.exception("registering broke")
            if self._clock.monotonic() - began > ALONE_AFTER_SECONDS:
                self._begin_work()
            self._stopping.wait(_retry_seconds(failures))

    def _begin_work(self) -> None:
        if self._begun or self._stopping.is_set():
            return
        self._begun = True
        self._worklist.start()
        self._reporter.start()
        self._events.start()
        for uuid in self._reconciler.uuids():
            self._worklist.mark(uuid)

    def _fetch(self) -> None:
        fetched = self._api.fetch(self._revision)
        self._heard()
        if fetched is None:
            self._write_set(self._unwritten)
            return
        crash.point("agent.fetched")
        for uuid in self._reconciler.accept(fetched):
            self._worklist.mark(uuid)
        self._images.accept(fetched)
        self._volumes.accept(fetched.volumes)
        self._revision = fetched.revision
        self._write_set(fetched)
        self._destroy(fetched.doomed_volumes)

    def _write_set(self, fetched: DesiredSet | None) -> None:
        """For a start without the API. A disk that is full must not keep from removing what fills it."""
        if fetched is None:
            return
        try:
            self._journal.write_set(fetched)
            self._unwritten = None
        except OSError as error:
            self._unwritten = fetched
            LOG.warning("the set cannot be kept on disk yet: %s", error)

    def _destroy(self, volumes: tuple[str, ...]) -> None:
        named = self._reconciler.named_volumes()
        for volume_id in volumes:
            if volume_id in named:
                continue
            try:
                self._disks.destroy(volume_id)
                self._reporter.removed_volume(volume_id)
            except errors.ZunError as error:
                # the same revision is asked for again, so that it is tried again
                self._revision = None
                LOG.warning("volume %s cannot be removed yet: %s", volume_id, error.message)
                if not isinstance(error, (errors.Unavailable, errors.Busy)):
                    self._reporter.volume(VolumeNews(volume_id, VOLUME, 0, error.message))

    def _keep_plane(self) -> None:
        self._registered.wait()
        self._planes.follow()

    # news

    def _happened(self, event: Event) -> None:
        if event.uuid and self._looks.concerned_by(event):
            self._worklist.mark(event.uuid)

    def _engine_is_followed(self, after_a_break: bool) -> None:
        """Compare once; what waits to be tried again does so now that the engine is back."""
        if after_a_break:
            for uuid in self._reconciler.uuids():
                self._worklist.mark(uuid)
        self._compare_now.set()
        self._beat_now.set()

    def _keep_compared(self) -> None:
        """Everything against the engine, now and then, for events can be lost."""
        self._registered.wait()
        while not self._stopping.is_set():
            again = self._settings.resync_seconds
            self._compare_now.wait(min(again, SILENT_ENGINE_RETRY_SECONDS) if self._silent_engine else again)
            self._compare_now.clear()
            if self._stopping.is_set():
                return
            try:
                self._compare()
                self._silent_engine = None
            except errors.ZunError as error:
                LOG.warning("the engine cannot be compared with the set: %s", error.message)
                self._silent_engine = error.message if isinstance(error, errors.Unavailable) else None
                self._beat_now.set()
            except Exception:
                LOG.exception("the comparison broke")

    def _compare(self) -> None:
        # the look that is cheapest and gives up first comes first
        found = self._inventory()
        for uuid in self._reconciler.compare(self._runtime.containers()):
            self._worklist.mark(uuid)
        self._reporter.report_all(found)
        if self._revision is not None:
            self._images.clean()

    # life

    def _keep_alive(self) -> None:
        while not self._stopping.is_set():
            self._beat_now.clear()
            registered = self._registered.is_set()
            try:
                revision = self._api.heartbeat(self._settings.boot_id, self._problem())
                self._heard()
                if registered and self._api.report_wanted:
                    # it had given this host up, by its own reckoning of the silence
                    self._compare_now.set()
                if revision != self._revision:
                    self._fetch_now.set()
                self._planes.heard(self._api.plane_revision)
            except errors.ZunError as error:
                LOG.debug("no heartbeat: %s", error.message)
            except Exception:
                LOG.exception("the heartbeat broke")
            # sooner when what keeps it from taking work has ended, so that nobody waits for a host that is ready
            self._beat_now.wait(self._settings.heartbeat_seconds)

    def _problem(self) -> str | None:
        """What keeps this host from taking work."""
        if not self._registered.is_set():
            return "The host is starting."
        return self._events.problem or self._silent_engine or self._missing_runtime

    def _inventory(self) -> Inventory:
        engine = self._runtime.inventory()
        known = self._settings.docker_runtime in engine.runtimes
        self._missing_runtime = (
            None if known else f"The host's Docker Engine does not know the runtime {self._settings.docker_runtime}."
        )
        settings = self._settings
        found = inventory.take(
            engine, settings.pool_dir, settings.docker_runtime, settings.underlay_address, settings.external_bridge
        )
        return replace(
            found,
            pool_dir=settings.pool_dir,
            pool_shared=settings.pool_shared,
            pool_free_gib=self._pool.free_gib(),
            connector=self._disks.connector(*settings.known_as),
        )

    def _heard(self) -> None:
        """The API answered. One that missed this host for long wants to know everything before it gives work."""
        if self._registered.is_set() and not self._hears_the_api():
            self._compare_now.set()
        self._heard_at = self._clock.monotonic()

    def _hears_the_api(self) -> bool:
        return self._clock.monotonic() - self._heard_at <= self._settings.silent_after_seconds

    # work

    def _work(self, uuid: str) -> float | None:
        return self._reconciler.reconcile(uuid)

    def _take_orders(self, orders: Orders) -> None:
        for uuid in self._reconciler.order_removals(orders):
            self._worklist.mark(uuid)


def _retry_seconds(failures: int) -> float:
    limit = min(MAX_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures, 10))
    return random.uniform(limit / 2, limit)
