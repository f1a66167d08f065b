# SPDX-License-Identifier: Apache-2.0
"""Volumes: made and attached against the bare commands; snapshots of much against little; reads and writes.

Uses a pool and a netd without a cloud, as an agent does; a container's volume is a bind of the same mount.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import tempfile
from pathlib import Path

from tests.bench.measure import Row, background, in_turns, ratio_at_least, ratio_at_most, timed
from tests.system.netd.host import attachment, new_id
from tests.system.netd.pools import PoolHost, SmallPool

_GIB = 1024**3
_ROUNDS = 9
_LITTLE_GIB, _MUCH_GIB = 1, 10
# a piece of data, then a hole: as many extents as a file that was written at random
_PIECE_BYTES, _APART_BYTES = 64 * 1024, 256 * 1024
_FIO_SECONDS, _FIO_ROUNDS = 2, 5
_FIO = (
    ("sequential writes", "MiB/s", ("--rw=write", "--bs=1M", "--iodepth=4"), "write"),
    ("sequential reads", "MiB/s", ("--rw=read", "--bs=1M", "--iodepth=4"), "read"),
    ("random writes of 4 KiB", "MiB/s", ("--rw=randwrite", "--bs=4k", "--iodepth=16"), "write"),
    ("random reads of 4 KiB", "MiB/s", ("--rw=randread", "--bs=4k", "--iodepth=16"), "read"),
)


def run() -> list[Row]:
    with contextlib.ExitStack() as stack:
        small = SmallPool(40 * 1024)
        stack.callback(small.remove)
        host = PoolHost(small.point)
        stack.callback(host.clean)
        stack.callback(host.terminate)
        host.start()
        rows = [
            *made_and_attached(host),
            *snapshots(host),
            *reads_and_writes(host, "a volume", "the pool's file system"),
        ]
    with contextlib.ExitStack() as stack:
        host = PoolHost()
        stack.callback(host.clean)
        stack.callback(host.terminate)
        host.start()
        return [*rows, *reads_and_writes(host, "a volume on the machine's disk", "the disk's own file system")]


def made_and_attached(host: PoolHost) -> list[Row]:
    busy = background()
    bare = Path(tempfile.mkdtemp(prefix="zl-bare-", dir=host.pool_dir))
    commands = (
        f"truncate -s 1G {bare}/v && L=$(losetup --find --show --direct-io=on {bare}/v) && mkfs.xfs -q $L"
        f" && mkdir -p {bare}/m && mount $L {bare}/m"
    )

    def ours() -> float:
        volume_id = new_id()

        def work() -> None:
            host.pool.make(volume_id, 1, "xfs")
            host.client.attach(attachment(volume_id), host.pool.path(volume_id))

        taken = timed(work)
        host.pool.destroy(volume_id)
        return taken

    def theirs() -> float:
        taken = timed(lambda: subprocess.run(["sh", "-c", commands], check=True))
        subprocess.run(["sh", "-c", f"umount -d {bare}/m && rm {bare}/v"], check=True)
        return taken

    mine, others = in_turns(_ROUNDS, ours, theirs)
    words = "truncate, losetup, mkfs, mount"
    aim = "at most 1.5"
    return [
        Row("a volume of 1 GiB made and attached", "ms", mine, others, words, aim, ratio_at_most(1.5), background=busy)
    ]


def snapshots(host: PoolHost) -> list[Row]:
    busy = background()
    volumes = [_fragmented(host, size_gib) for size_gib in (_MUCH_GIB, _LITTLE_GIB)]

    def taken(volume_id: str) -> float:
        snapshot_id = new_id()
        milliseconds = timed(lambda: host.pool.snapshot(snapshot_id, volume_id))
        host.pool.destroy_snapshot(snapshot_id)
        return milliseconds

    much, little = in_turns(_ROUNDS, *(lambda volume_id=volume_id: taken(volume_id) for volume_id in volumes))
    for volume_id in volumes:
        host.pool.destroy(volume_id)
    what = f"a snapshot of a volume of {_MUCH_GIB} GiB, fragmented"
    words = f"of {_LITTLE_GIB} GiB"
    return [Row(what, "ms", much, little, words, "below 2", ratio_at_most(2.0), background=busy)]


def _fragmented(host: PoolHost, size_gib: int) -> str:
    """A volume that is attached, a quarter of which is data in as many pieces as there can be."""
    volume_id = new_id()
    host.pool.make(volume_id, size_gib, "xfs")
    source = host.client.attach(attachment(volume_id), host.pool.path(volume_id))
    piece = os.urandom(_PIECE_BYTES)
    places = list(range(0, int(size_gib * _GIB * 0.9) - _APART_BYTES, _APART_BYTES))
    random.Random(size_gib).shuffle(places)
    with open(f"{source}/data", "wb") as file:
        for at in places:
            os.pwrite(file.fileno(), piece, at)
        os.fsync(file.fileno())
    return volume_id


def reads_and_writes(host: PoolHost, where: str, against: str) -> list[Row]:
    """In a volume against a folder beside the pool's files, by direct I/O."""
    volume_id = new_id()
    host.pool.make(volume_id, 2, "xfs")
    inside = host.client.attach(attachment(volume_id), host.pool.path(volume_id))
    beside = tempfile.mkdtemp(prefix="zl-bare-", dir=host.pool_dir)
    rows = []
    for what, unit, options, direction in _FIO:
        busy = background()
        ours, theirs = in_turns(
            _FIO_ROUNDS,
            lambda options=options, direction=direction: _fio(inside, options, direction),
            lambda options=options, direction=direction: _fio(beside, options, direction),
        )
        aim = ratio_at_least(0.9)
        rows.append(Row(f"{what} in {where}", unit, ours, theirs, against, "at least 0.9", aim, background=busy))
    host.pool.destroy(volume_id)
    return rows


def _fio(folder: str, options: tuple[str, ...], direction: str) -> float:
    """MiB a second."""
    command = ["fio", "--name=x", f"--filename={folder}/fio", "--size=512M", "--direct=1", "--ioengine=libaio"]
    timing = [f"--runtime={_FIO_SECONDS}", "--time_based", "--output-format=json"]
    done = subprocess.run([*command, *timing, *options], check=True, capture_output=True)
    return json.loads(done.stdout)["jobs"][0][direction]["bw_bytes"] / 1024**2
