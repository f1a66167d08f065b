# SPDX-License-Identifier: Apache-2.0
"""Docker's words in ours: pure functions over what Docker answers.

A reason that reaches a tenant is one line without the host's paths, and says nothing of what a
registry answered beyond which of a few situations it is.
"""

from __future__ import annotations

import re
from typing import Any

from zun_lite.agent.runtime.base import Container, Order
from zun_lite.domain import errors, names
from zun_lite.domain.host_work import DONE, DOWNLOADED, DOWNLOADING, QUEUED, UNPACKING, Layer

MAX_REASON = 255
# 128 and the number of SIGKILL
KILLED = 137
_LAYERS = {
    "Pulling fs layer": QUEUED,
    "Waiting": QUEUED,
    "Downloading": DOWNLOADING,
    "Verifying Checksum": DOWNLOADED,
    "Download complete": DOWNLOADED,
    "Extracting": UNPACKING,
    "Pull complete": DONE,
    "Already exists": DONE,
}

_STATES = ("created", "running", "paused", "restarting", "exited", "dead")
# what runc says when the fault is in what the user asked to run
_USERS_FAULT = (
    re.compile(r'(?P<what>exec: ".*?"): (?P<why>[^:]*(?:in \$PATH)?)'),
    re.compile(r'(?P<what>chdir to cwd \(".*?"\)) set in config.json failed: (?P<why>[^:]*)'),
    re.compile(r"(?P<what>unable to find (?:user|group)) (?P<why>[^:]*)"),
    re.compile(r"(?P<what>exec (?:user process|/\S+))(?: caused)?: (?P<why>exec format error|permission denied)"),
)
_HOST_PATH = re.compile(r"(?<![\w.])/(?:[\w.@+:-]+/)+[\w.@+:-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_UNKNOWN_IMAGE = re.compile(r"not found|manifest unknown|denied|does not exist|unauthorized|no basic auth", re.I)
_DEAF_REGISTRY = re.compile(r"no such host|lookup|connection refused|timeout|unreachable|deadline|reset|EOF", re.I)
# what our runtime wrapper writes where it refuses
_OUR_RUNTIME = re.compile(r"\bzun_lite: (?P<why>.*)")
_NETD_AWAY = re.compile(r"netd .*(does|did) not answer")


def container(found: dict[str, Any]) -> Container:
    """A container out of what Docker's inspect answers."""
    config, status = found["Config"], found["State"]
    labels = config.get("Labels") or {}
    ever_started = not status.get("StartedAt", "0001-").startswith("0001-")
    shown = state("restarting" if status.get("Restarting") else status["Status"])
    ended = ever_started and shown in ("exited", "dead", "restarting")
    return Container(
        uuid=labels.get(names.LABEL_UUID, ""),
        container_id=found["Id"],
        state=shown,
        epoch=number(labels.get(names.LABEL_EPOCH)),
        build=number(labels.get(names.LABEL_BUILD)),
        started_at=status.get("StartedAt", ""),
        finished_at=status.get("FinishedAt", ""),
        exit_code=status.get("ExitCode") if ended else None,
        hostname=config.get("Hostname") or None,
        command=_texts(config.get("Cmd")),
        entrypoint=_texts(config.get("Entrypoint")),
        ports=tuple(sorted({number(port.split("/")[0]) for port in config.get("ExposedPorts") or ()})),
        health=_health(status) if shown == "running" else None,
        member=labels.get(names.LABEL_MEMBER, ""),
        out_of_memory=ended and bool(status.get("OOMKilled")) and status.get("ExitCode") == KILLED,
    )


def layer(line: dict[str, Any]) -> Layer | None:
    """What a line of Docker's about a pull says of one layer; None where it speaks of something else."""
    found, ident = _LAYERS.get(str(line.get("status", ""))), line.get("id")
    if found is None or not isinstance(ident, str):
        return None
    detail = line.get("progressDetail") or {}
    return Layer(one_line(ident)[:12], found, number(detail.get("current")), number(detail.get("total")))


def state(text: str) -> str:
    """One of our states; a container that Docker is removing is as good as dead."""
    return text if text in _STATES else "dead"


def number(text: Any) -> int:
    """A label's number; 0 where it is none, so that it is older than any order."""
    try:
        return int(text)
    except (TypeError, ValueError):
        return 0


def labels(cluster: str, order: Order) -> dict[str, str]:
    """The user's labels with ours, which a user cannot set.

    All of ours, empty ones too: Docker adds the labels of the image where a container has none of that name,
    and the image is the user's.
    """
    users = {key: value for key, value in order.spec.labels.items() if not key.startswith("zun.")}
    return {
        **users,
        names.LABEL_MEMBER: order.member,
        names.LABEL_CORES: "",
        names.LABEL_CLUSTER: cluster,
        names.LABEL_UUID: order.uuid,
        names.LABEL_EPOCH: str(order.epoch),
        names.LABEL_BUILD: str(order.build),
    }


def one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()


def reason(text: str) -> str:
    """Docker's text as it may be shown to a tenant."""
    shown = _HOST_PATH.sub("(a path)", one_line(text)).removesuffix(": unknown")
    return shown if len(shown) <= MAX_REASON else f"{shown[: MAX_REASON - 3]}..."


def create_error(error: errors.ZunError, image: str, runtime: str) -> errors.ZunError:
    if isinstance(error, errors.NotFound) and "image" in error.message.lower():
        return errors.Failed(f"Image {image!r} went away before the container was made.")
    if isinstance(error, errors.NotFound):
        return errors.Failed(reason(error.message))
    if isinstance(error, errors.Conflict):
        return error
    if "runtime" in error.message.lower() and runtime in error.message:
        return errors.Unavailable("The host's Docker Engine does not know the runtime that containers need.")
    if isinstance(error, errors.Invalid) and "bind source path does not exist" in error.message:
        return errors.Failed("A volume of the container is not mounted on its host.")
    return type(error)(reason(error.message))


def start_error(error: errors.ZunError) -> errors.ZunError:
    ours = _OUR_RUNTIME.search(error.message)
    if ours:
        kind = errors.Unavailable if _NETD_AWAY.search(ours["why"]) else errors.Failed
        return kind(reason(f"The container could not be connected: {ours['why']}"))
    for pattern in _USERS_FAULT:
        found = pattern.search(error.message)
        if found:
            said = one_line(f"{found['what']}: {found['why']}".strip().rstrip(":"))
            return errors.Invalid(f"The container could not be started: {said}"[:MAX_REASON])
    return errors.Failed(reason(f"The container could not be started: {error.message}"))


def limit_error(error: errors.ZunError, memory_mib: int) -> errors.ZunError:
    if "busy" in error.message or "unable to set memory limit" in error.message:
        return errors.Failed(f"The container uses more than {memory_mib} MiB of memory and was left at its old limits.")
    return errors.Failed(reason(f"The container's limits could not be changed: {error.message}"))


def pull_error(image: str, error: errors.ZunError) -> errors.ZunError:
    if isinstance(error, errors.Invalid):
        return errors.NoSuchImage(f"{image!r} is not the name of an image.")
    if isinstance(error, errors.NotFound) or _UNKNOWN_IMAGE.search(error.message):
        return errors.NoSuchImage(f"Image {image!r} was not found, or its registry wants a login.")
    if _DEAF_REGISTRY.search(error.message):
        return errors.Failed(f"Image {image!r} is not on the host, and its registry does not answer.")
    return errors.Failed(f"Image {image!r} could not be pulled.")


def _health(status: dict[str, Any]) -> str | None:
    """starting, healthy or unhealthy; None without a health check."""
    said = (status.get("Health") or {}).get("Status")
    return said if said in ("starting", "healthy", "unhealthy") else None


def _texts(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)
