# SPDX-License-Identifier: Apache-2.0
"""Volumes of this host's pool as files to be kept elsewhere: export, and import as a new volume.

An export is of one moment, also while containers write: the pool takes a snapshot, which is open here and has no name
any more once it is there, so that nothing is left of it however this ends. An import is checked to its last byte before
anything is made; its file is in the pool before there is a record, and a note, locked while its import lives, tells the
next one of an import that was cut off in between. Runs where the volume's file is, with the database at hand.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from oslo_config import cfg

from zun_lite.agent import volume_archive
from zun_lite.agent.pool import Pool
from zun_lite.agent.room import GIB
from zun_lite.agent.volume_archive import Header
from zun_lite.client.netd import NetdClient
from zun_lite.cmd.means import volume_quotas
from zun_lite.common import crash
from zun_lite.db import hosts, identity, volume_types, volumes
from zun_lite.db.engine import Database
from zun_lite.db.volumes import Volume
from zun_lite.domain import errors, names
from zun_lite.volume import imports
from zun_lite.volume.quotas import VolumeQuotas

_NETD_SECONDS = 3600.0
_NOTE, _SCRATCH = ".importing", ".snap.tmp"


class VolumeFiles:
    """What the commands work with, on one host."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        crash.arm(conf.state_dir)
        self._db = Database(conf.database.connection)
        self._quotas: VolumeQuotas = volume_quotas(conf)
        self._folder = Path(os.path.realpath(conf.volume.pool_dir))
        agent = conf.agent
        netd = NetdClient(conf.netd.socket, _NETD_SECONDS)
        self._pool = Pool(str(self._folder), netd, agent.pool_overcommit, agent.pool_reserve_gib, agent.pool_shared)
        self._host_name = agent.host_name
        self._shared = agent.pool_shared

    def export(self, ident: str, path: str) -> str:
        """Write the volume of that id or name to a new file at path; a sentence of what was done.

        Conflict: there is something at path. NotFound, Ambiguous: the volume. Failed: it cannot be read here.
        """
        with self._db.read() as tx:
            volume = _named(tx, ident)
            host = hosts.get(tx, volume.host) if volume.host else None
        if host is None or not volume.formatted:
            raise errors.NotUsable(f"Volume {volume.uuid} was never attached, and holds nothing to export.")
        if not self._pool.exists(volume.uuid):
            raise errors.NotFound(f"Volume {volume.uuid} is on host {host.name}; run the command there.")
        taken_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        with _new_file(path) as target_fd, self._one_moment(volume.uuid) as source_fd:
            size_bytes = os.fstat(source_fd).st_size
            header = Header(size_bytes, volume.fs_type, volume.name, volume.uuid, taken_at)
            with os.fdopen(os.dup(target_fd), "wb") as target:
                amount = volume_archive.write(source_fd, header, target)
        return f"volume {volume.uuid} of {size_bytes // GIB} GiB is in {path}, {amount / 1024**2:.1f} MiB of data"

    def take_in(self, path: str, project: str, name: str | None) -> str:
        """A new volume of the project, by its id or name, with what is in the file at path; a sentence.

        Invalid: the file is damaged. TooLarge: the project may not have that much. Failed: no room in the pool.
        """
        header, amount = volume_archive.check(path)
        self._sweep()
        volume_id = names.new_id()
        size_gib = -(-header.size_bytes // GIB)
        with self._db.read() as tx:
            project_id = _project(tx, project)
            host = hosts.by_name(tx, self._host_name)
            kind = volume_types.default(tx)
        if host is None:
            raise errors.NotFound(f"This host, {self._host_name}, is not known to the API; let its agent enrol first.")
        wanted = imports.Imported(
            volume_id, project_id, host.uuid, name or header.name, size_gib, header.fs_type, kind, self._shared
        )
        self._db.transact(lambda tx: imports.refuse_over_quota(tx, self._quotas, wanted))
        with self._noted(volume_id):
            self._fill(volume_id, path, header, amount)
            crash.point("volume.import.filled")
            self._db.transact(lambda tx: imports.record(tx, self._quotas, wanted))
            crash.point("volume.import.recorded")
        return f"volume {volume_id} of {size_gib} GiB is made for project {project}"

    @contextmanager
    def _one_moment(self, volume_id: str) -> Iterator[int]:
        """The volume's file as it was at one moment, open for reading."""
        snapshot_id = names.new_id()
        try:
            self._pool.snapshot(snapshot_id, volume_id)
            source_fd = os.open(self._pool.snapshot_path(snapshot_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        finally:
            self._pool.destroy_snapshot(snapshot_id)
        try:
            yield source_fd
        finally:
            os.close(source_fd)

    def _fill(self, volume_id: str, path: str, header: Header, amount: int) -> None:
        scratch = self._folder / f"{volume_id}{_SCRATCH}"
        self._pool.require(amount)
        scratch_fd = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(scratch_fd, header.size_bytes)
            volume_archive.unpack(path, scratch_fd)
            self._pool.copy(volume_id, -(-header.size_bytes // GIB), str(scratch))
        finally:
            os.close(scratch_fd)
            scratch.unlink()

    @contextmanager
    def _noted(self, volume_id: str) -> Iterator[None]:
        """While the volume's file may be there without a record."""
        note = self._folder / f"{volume_id}{_NOTE}"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(note):
            try:
                yield
            except Exception:
                self._pool.destroy(volume_id)
                raise
            finally:
                note.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Take away the files of imports that were cut off before there was a record."""
        for note in self._folder.glob(f"*{_NOTE}"):
            volume_id = note.name.removesuffix(_NOTE)
            # one that is locked is of an import that goes on; a look at the record is good for nothing before that
            with contextlib.suppress(FileNotFoundError, BlockingIOError), note.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with self._db.read() as tx:
                    is_recorded = volumes.get(tx, volume_id) is not None
                if not is_recorded:
                    self._pool.destroy(volume_id)
                (self._folder / f"{volume_id}{_SCRATCH}").unlink(missing_ok=True)
                note.unlink(missing_ok=True)


def export(conf: cfg.ConfigOpts, ident: str, path: str, say: Callable[[str], None]) -> None:
    say(VolumeFiles(conf).export(ident, path))


def take_in(conf: cfg.ConfigOpts, path: str, project: str, name: str | None, say: Callable[[str], None]) -> None:
    say(VolumeFiles(conf).take_in(path, project, name))


def _named(tx: sa.Connection, ident: str) -> Volume:
    """Of any project: the operator sees all."""
    uuid = names.as_id(ident)
    found = volumes.get(tx, uuid) if uuid else None
    if found is not None:
        return found
    bearing = volumes.page(tx, [volumes.volumes.c.name == ident])
    if not bearing:
        raise errors.NotFound(f"There is no volume {ident}.")
    if len(bearing) > 1:
        raise errors.Ambiguous(f"{len(bearing)} volumes are named {ident}; use the id of one.")
    return bearing[0]


def _project(tx: sa.Connection, ident: str) -> str:
    found = identity.project(tx, ident)
    if found is not None:
        return found.id
    bearing = identity.find_projects(tx, name=ident)
    if not bearing:
        raise errors.NotFound(f"There is no project {ident}.")
    if len(bearing) > 1:
        raise errors.Ambiguous(f"{len(bearing)} projects are named {ident}; use the id of one.")
    return bearing[0].id


@contextmanager
def _locked(note: Path) -> Iterator[None]:
    """The note is there, and nobody takes it for one that was left behind."""
    is_ours = False
    while not is_ours:
        with note.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # a sweep that came between the two took it away
            with contextlib.suppress(FileNotFoundError):
                is_ours = os.path.samestat(os.fstat(file.fileno()), note.stat())
            if is_ours:
                yield


@contextmanager
def _new_file(path: str) -> Iterator[int]:
    """A file that is at path once the block has ended well, and whole. Conflict: there is one already."""
    if os.path.lexists(path):
        raise errors.Conflict(f"{path} is there already; name a file that is not.")
    staged = f"{path}.part"
    try:
        file_fd = os.open(staged, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.Failed(f"{path} cannot be written: {error.strerror}.") from error
    try:
        yield file_fd
        os.fsync(file_fd)
        os.rename(staged, path)
    except OSError as error:
        raise errors.Failed(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        os.close(file_fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)
