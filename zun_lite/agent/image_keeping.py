# SPDX-License-Identifier: Apache-2.0
"""All that a host does about images, put together: bring, keep, make of containers, clean up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from zun_lite.agent.commits import Commits
from zun_lite.agent.image_book import ImageBook
from zun_lite.agent.image_cache import CacheLimits, ImageCache
from zun_lite.agent.image_sources import ImageApi, ImageSources
from zun_lite.agent.images import Images
from zun_lite.agent.kept_images import KeptImages
from zun_lite.agent.registry_addresses import RegistryAddresses
from zun_lite.agent.registry_reader import RegistryReader
from zun_lite.agent.runtime.base import Runtime
from zun_lite.agent.runtime.image_base import EngineImages
from zun_lite.agent.signatures import PublicKey, Signatures
from zun_lite.common.clock import Clock
from zun_lite.domain import errors, image_reference
from zun_lite.domain.capsule import CapsuleSpec
from zun_lite.domain.desired import Desired, DesiredSet, ImageNews
from zun_lite.domain.spec import ContainerSpec

GIB = 1024**3


@dataclass(frozen=True)
class ImageSettings:
    """most_gib: of one image. cache_gib, cache_hours: of images that nobody needs now.

    signing_keys: who must have signed what is used of the repositories that are like one of signed.
    insecure_registries: where signatures are fetched without TLS.
    """

    pull_timeout_seconds: float = 600.0
    most_gib: int = 16
    cache_gib: int = 50
    cache_hours: int = 336
    allowed_registries: tuple[str, ...] = ()
    signing_keys: tuple[PublicKey, ...] = ()
    signed: tuple[str, ...] = ("*",)
    insecure_registries: tuple[str, ...] = ()


class ImageKeeping:
    """One host's. mark: a workload waited for an image that is there, or failed, now."""

    def __init__(
        self,
        api: ImageApi,
        runtime: Runtime,
        engine: EngineImages,
        folder: Path,
        settings: ImageSettings,
        clock: Clock,
        *,
        mark: Callable[[str], None],
        alone: Callable[[str], AbstractContextManager[None]],
        tell: Callable[[ImageNews], None],
    ) -> None:
        self._mark = mark
        book = ImageBook(folder / "images.json", engine, clock)
        sources = ImageSources(api, engine, folder / "images", settings.most_gib * GIB)
        addresses = RegistryAddresses(settings.allowed_registries)
        reader = RegistryReader(addresses.check, settings.insecure_registries)
        self.images = Images(
            engine,
            book,
            sources,
            settings.pull_timeout_seconds,
            self._wake,
            addresses,
            Signatures(reader, settings.signing_keys, settings.signed),
        )
        limits = CacheLimits(settings.cache_gib * GIB, settings.cache_hours * 3600.0)
        self._cache = ImageCache(engine, book, limits, clock)
        self._kept = KeptImages(lambda: self.images, engine, tell, self._let_go)
        self._commits = Commits(runtime, engine, book, sources, alone, tell)
        self._wanted: frozenset[str] = frozenset()

    def accept(self, desired: DesiredSet) -> None:
        """A new set."""
        self._wanted = frozenset(_references(desired.workloads))
        self._kept.accept(desired.kept_images)
        self._commits.accept(desired.commits)

    def clean(self) -> None:
        """Remove images that nobody needs; to be called now and then, once there is a set."""
        self._cache.clean(self._all_wanted())

    def _wake(self, uuid: str) -> None:
        if not self._kept.woken(uuid):
            self._mark(uuid)

    def _let_go(self, reference: str) -> None:
        self._cache.let_go(reference, self._all_wanted())

    def _all_wanted(self) -> set[str]:
        return {*self._wanted, *self._kept.references(), *self._commits.references()}


def _references(workloads: Iterable[Desired]) -> set[str]:
    """The whole names of the images of all containers."""
    specs: list[ContainerSpec] = []
    for workload in workloads:
        spec = workload.spec
        specs += [member.spec for member in spec.every_member] if isinstance(spec, CapsuleSpec) else [spec]
    found = set()
    for spec in specs:
        if spec.image_id:
            found.add(image_reference.embedded(spec.image_id))
        else:
            try:
                found.add(str(image_reference.parse(spec.reference)))
            except errors.Invalid:
                continue
    return found
