# SPDX-License-Identifier: Apache-2.0
"""zun-lite-audit: whether SQL and this host agree. It reads, and changes nothing.

Exit code 0: nothing found; 1: findings; 2: not settled within --wait; 3: it could not look.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from zun_lite.agent.runtime.base import Limits as ContainerLimits
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.client.netd import NetdClient
from zun_lite.cmd import begin
from zun_lite.db import books, hosts, version
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.domain.audit import Books, ContainerFact, Finding, HostFacts, NetdFact, judge, unsettled
from zun_lite.domain.resources import Limits, Ratios

SUFFIX, SNAPSHOT_SUFFIX, NOTE_SUFFIXES = ".img", ".snap", (".made", ".img.lock")
NOT_SETTLED = "not settled: "
STRAYS_SECONDS = 5.0


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    conf = begin.configured("zun-lite-audit")
    try:
        found, read = audit(conf, arguments.wait)
    except errors.ZunError as error:
        print(f"zun-lite-audit: {error.message}", file=sys.stderr)
        return 3
    _print(found, read, as_json=arguments.json)
    if arguments.textfile:
        try:
            write_textfile(arguments.textfile, found, time.time())
        except OSError as error:
            print(f"zun-lite-audit: --textfile {arguments.textfile} cannot be written: {error}.", file=sys.stderr)
            return 3
    if any(finding.sentence.startswith(NOT_SETTLED) for finding in found):
        return 2
    return 1 if found else 0


def audit(conf: cfg.ConfigOpts, wait_seconds: float) -> tuple[list[Finding], Books]:
    """What is found, once nothing is under way or the time is over; and the books that were read."""
    db = Database(conf.database.connection)
    try:
        db.reach()
        version.check(db)
        waiting = _settle(db, wait_seconds)
        with db.read() as tx:
            host = hosts.by_name(tx, conf.agent.host_name)
        facts = [_look_patiently(conf, host.uuid, min(wait_seconds, STRAYS_SECONDS))] if host else []
        read = _read(db)
    finally:
        db.close()
    limits = Limits(conf.quota.containers, conf.quota.cpu, conf.quota.memory, conf.quota.disk)
    ratios = Ratios(conf.scheduler.cpu_ratio, conf.scheduler.memory_ratio, conf.scheduler.disk_ratio)
    found = judge(read, facts, limits, ratios)
    return found + [Finding("I1", f"{NOT_SETTLED}{sentence}") for sentence in waiting], read


def _settle(db: Database, seconds: float) -> list[str]:
    """Wait until nothing is under way; what still is when the time is over."""
    deadline = time.monotonic() + seconds
    while (waiting := unsettled(_read(db))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return waiting


def _read(db: Database) -> Books:
    with db.read() as tx:
        return books.read(tx)


def _look_patiently(conf: cfg.ConfigOpts, host_uuid: str, seconds: float) -> HostFacts:
    """What is on the host once nothing strays there, or still does after so long: netd may be about to remove it."""
    deadline = time.monotonic() + seconds
    while (facts := _look(conf, host_uuid)).strays and time.monotonic() < deadline:
        time.sleep(0.2)
    return facts


def _look(conf: cfg.ConfigOpts, host_uuid: str) -> HostFacts:
    runtime = DockerRuntime(conf.agent.docker_socket, conf.cluster, conf.agent.docker_runtime, ContainerLimits())
    said: dict[str, Any] = NetdClient(conf.netd.socket).list()
    pool = conf.volume.pool_dir
    files = os.listdir(pool) if os.path.isdir(pool) else []
    strays = [f"{kind} {name}" for kind, names in said["strays"].items() for name in names]
    strays += [f"foreign link {name}" for name in said.get("foreign", ())]
    staged = [name for name in files if name.endswith(".tmp")]
    return HostFacts(
        host=host_uuid,
        containers=tuple(
            ContainerFact(item.container_id, item.uuid, item.epoch, item.state, item.member)
            for item in runtime.containers()
        ),
        netd=tuple(
            NetdFact(
                record["container_id"],
                record["workload"],
                tuple(record["ports"]),
                tuple(record["volumes"]),
                record["wired"],
                record.get("by_docker", False),
            )
            for record in said["records"]
        ),
        mounted=tuple(volume["volume_id"] for volume in said["volumes"] if volume["mounted"]),
        volume_files=_ids(files, SUFFIX),
        strays=tuple(strays + [f"volume file {name}" for name in staged]),
        snapshot_files=_ids(files, SNAPSHOT_SUFFIX),
        volume_notes=tuple(volume_id for suffix in NOTE_SUFFIXES for volume_id in _ids(files, suffix)),
        pool_shared=conf.agent.pool_shared,
        docker_ports=tuple(said["docker_ports"]) if "docker_ports" in said else None,
    )


def write_textfile(path: str, found: Sequence[Finding], now: float) -> None:
    """For the textfile collector of Prometheus' node exporter; replaced as a whole. now: seconds since 1970.

    OSError: it cannot be written.
    """
    registry = CollectorRegistry()
    findings = Gauge("zun_lite_audit_findings", "What zun-lite-audit found last.", registry=registry)
    findings.set(len(found))
    ended = Gauge("zun_lite_audit_timestamp_seconds", "When zun-lite-audit last looked.", registry=registry)
    ended.set(now)
    write_to_textfile(path, registry)


def _ids(files: list[str], suffix: str) -> tuple[str, ...]:
    return tuple(name.removesuffix(suffix) for name in files if name.endswith(suffix))


def _print(found: list[Finding], read: Books, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"invariant": finding.invariant, "sentence": finding.sentence} for finding in found]))
        return
    for finding in found:
        print(f"{finding.invariant}: {finding.sentence}")
    print(
        f"{len(read.workloads)} workloads, {len(read.ports)} ports, {len(read.volumes)} volumes: {len(found)} findings"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zun-lite-audit", description="Check SQL against this host; changes nothing.")
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="wait so long for all to settle")
    parser.add_argument("--json", action="store_true", help="findings as a JSON list")
    parser.add_argument("--textfile", metavar="FILE", help="write how many, for Prometheus' node exporter: NAME.prom")
    return parser


if __name__ == "__main__":
    sys.exit(main())
