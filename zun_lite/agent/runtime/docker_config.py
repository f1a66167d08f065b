# SPDX-License-Identifier: Apache-2.0
"""What a container is made of, in Docker's arguments: the one place where a spec becomes them.

An allow-list: what is not named here, a container does not get, and nothing of a spec gets in by
another way. Asks Docker nothing; what must be known of the host comes as Traits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import docker
import docker.types

from zun_lite.agent.runtime import docker_running, seccomp, words
from zun_lite.agent.runtime.base import Bind, Limits, Order
from zun_lite.domain import errors, names
from zun_lite.domain.security_profile import SecurityProfile
from zun_lite.domain.spec import Healthcheck

# lets any user ping without CAP_NET_RAW, where the ping program knows datagram sockets (busybox's does not)
SYSCTLS = {"net.ipv4.ping_group_range": "0 2147483647"}
# in a user namespace only groups that it has may be named
REMAPPED_SYSCTLS = {"net.ipv4.ping_group_range": "0 65535"}
# What of the machine's state containers neither see nor change; said here, as older engines' lists are shorter.
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
# Where programs write that expect to be able to; bounded by the container's memory.
SCRATCH = {"/tmp": "rw,nosuid,nodev,mode=1777", "/run": "rw,nosuid,nodev,mode=755"}
APPARMOR_PROFILE = "docker-default"
USUAL = SecurityProfile()
_OWNER = re.compile(r"(\d+)\.(\d+)")
_NANOSECONDS = 10**9
# storage drivers that hold a container's own disk to a size; overlay2 can on xfs with project quotas
_SIZED_DRIVERS = ("btrfs", "devicemapper", "zfs")


@dataclass(frozen=True)
class Traits:
    """What of a host matters for its containers. sizes_disks: Docker holds a container's disk to a size.

    apparmor: the host has AppArmor. root: who containers' root is on the host, as (user, group), where Docker
    maps users (userns-remap).
    """

    cpus: float
    sizes_disks: bool = False
    apparmor: bool = False
    root: tuple[int, int] | None = None


def traits(info: dict[str, Any]) -> Traits:
    """Out of what Docker says of itself."""
    driver, facts = info.get("Driver"), dict(info.get("DriverStatus") or ())
    sized = driver in _SIZED_DRIVERS or (
        driver == "overlay2"
        and facts.get("Backing Filesystem") == "xfs"
        and has_project_quotas(info.get("DockerRootDir") or "/")
    )
    security = {part for option in info.get("SecurityOptions") or () for part in option.split(",")}
    root = _mapped_root(info.get("DockerRootDir") or "") if "name=userns" in security else None
    return Traits(float(info["NCPU"]), sized, "name=apparmor" in security, root)


def _mapped_root(folder: str) -> tuple[int, int]:
    """Docker says it only by the name of its folder, USER.GROUP. Failed: it does not."""
    found = _OWNER.fullmatch(os.path.basename(folder))
    if found is None:
        raise errors.Failed(
            f"Docker maps users (userns-remap), but its folder {folder} is not named by whom root is mapped to, "
            "so that volumes cannot be given to containers."
        )
    return int(found[1]), int(found[2])


def has_project_quotas(folder: str, mounts: str = "/proc/self/mounts") -> bool:
    """Whether the file system of a folder was mounted with them."""
    best, options = "", ""
    with open(mounts, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            _, point, _, said, *_ = line.split()
            if len(point) >= len(best) and (folder + "/").startswith(point.rstrip("/") + "/"):
                best, options = point, said
    return not {"prjquota", "pquota"}.isdisjoint(options.split(","))


def free_cores(wanted: int, cpus: float, taken: Iterable[int]) -> tuple[int, ...]:
    """The lowest cores of the host that no dedicated container has. Invalid: so many are not left."""
    used = set(taken)
    free = [core for core in range(int(cpus)) if core not in used]
    if len(free) < wanted:
        raise errors.Invalid(
            f"{wanted} CPUs for this container alone were asked for, and its host has {len(free)} left; "
            "ask for fewer, or for cpu_policy shared."
        )
    return tuple(free[:wanted])


def cores_of(label: str | None) -> tuple[int, ...]:
    """The cores that a container's label names."""
    return tuple(int(text) for text in (label or "").split(",") if text.isdigit())


def docker_runtime(runtime: str | None, ours: str) -> str:
    """Docker's name of what a user calls a runtime; others than runc are wrapped as OURS-RUNTIME."""
    return ours if runtime in (None, names.RUNC) else f"{ours}-{runtime}"


def container_config(
    api: docker.APIClient,
    cluster: str,
    order: Order,
    host: dict[str, Any],
    cores: tuple[int, ...] = (),
    *,
    network_disabled: bool,
) -> dict[str, Any]:
    """host: what host_config() made of the same order."""
    spec = order.spec
    labels = words.labels(cluster, order)
    if cores:
        labels[names.LABEL_CORES] = ",".join(str(core) for core in cores)
    return api.create_container_config(
        order.image or spec.reference,
        list(spec.command) if spec.command is not None else None,
        hostname=None if order.joins else spec.hostname,
        environment=dict(spec.environment),
        labels=labels,
        working_dir=spec.workdir,
        entrypoint=list(spec.entrypoint) if spec.entrypoint is not None else None,
        stdin_open=spec.interactive,
        tty=spec.tty,
        ports=[_port(text) for text in spec.exposed_ports] or None,
        healthcheck=_healthcheck(spec.healthcheck),
        network_disabled=network_disabled and not order.joins,
        host_config=host,
    )


def host_config(
    api: docker.APIClient,
    order: Order,
    limits: Limits,
    runtime: str,
    traits: Traits,
    binds: tuple[Bind, ...],
    cores: tuple[int, ...] = (),
    profile: SecurityProfile = USUAL,
) -> dict[str, Any]:
    """All that a container may do to its host. binds: with those of the order's. profile: how it is confined."""
    spec = order.spec
    policy = spec.restart_policy
    made = api.create_host_config(
        runtime=docker_runtime(spec.runtime, runtime),
        network_mode=f"container:{order.joins}" if order.joins else "none",
        ipc_mode=f"container:{order.joins}" if order.joins else "shareable" if order.shareable else None,
        nano_cpus=docker_running.nano_cpus(spec.cpus, traits.cpus),
        cpu_shares=docker_running.cpu_shares(spec.cpus),
        cpuset_cpus=",".join(str(core) for core in cores) or None,
        mem_limit=f"{spec.memory_mib}m",
        memswap_limit=f"{spec.memory_mib}m",
        storage_opt={"size": f"{spec.disk_gib}G"} if spec.disk_gib and traits.sizes_disks else None,
        pids_limit=limits.pids,
        **({"privileged": True} if spec.privileged else _rights(profile, traits)),
        # Docker makes no privileged container whose users are mapped
        userns_mode="host" if spec.privileged and traits.root else None,
        sysctls=None if order.joins else dict(REMAPPED_SYSCTLS if traits.root else SYSCTLS),
        restart_policy={"Name": policy.name, "MaximumRetryCount": policy.maximum_retry_count} if policy else None,
        log_config=docker.types.LogConfig(
            type="json-file",
            config={"max-size": f"{limits.log_max_mib}m", "max-file": str(limits.log_max_files)},
        ),
        mounts=[
            docker.types.Mount(bind.target, bind.source, type="bind", read_only=bind.read_only, propagation="rprivate")
            for bind in binds
        ],
        dns=None if order.joins else list(order.dns) or None,
    )
    if not spec.privileged:
        # docker-py's own call knows neither
        made |= {"MaskedPaths": list(MASKED_PATHS), "ReadonlyPaths": list(READ_ONLY_PATHS)}
    return made


def _rights(profile: SecurityProfile, traits: Traits) -> dict[str, Any]:
    """Of everyone but the privileged, whom the operator's policy let have every right on the host."""
    options = ["no-new-privileges", f"seccomp={profile.seccomp or seccomp.profile()}"]
    if traits.apparmor:
        options.append(f"apparmor={profile.apparmor or APPARMOR_PROFILE}")
    return {
        "cap_drop": ["ALL"],
        "cap_add": list(profile.capabilities),
        "security_opt": options,
        "read_only": profile.read_only_root,
        "tmpfs": dict(SCRATCH) if profile.read_only_root else None,
    }


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol


def _healthcheck(asked: Healthcheck | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    return {
        "test": asked.test,
        "interval": asked.interval_seconds * _NANOSECONDS,
        "timeout": asked.timeout_seconds * _NANOSECONDS,
        "retries": asked.retries,
    }
