# SPDX-License-Identifier: Apache-2.0
"""The main job before the user's eyes: a tenant's container on its own network with its own volume.

Everything goes over the public API as project demo, with the credentials of clouds.yaml, like any client's
requests. It may be run again: what is there and well is used as it is, what is broken is made anew.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

import requests
import yaml
from keystoneauth1 import exceptions, loading, session

from zun_lite.cmd.installation import DEFAULT_STATE_DIR, Installation
from zun_lite.domain import errors

CLOUD = "demo"
NETWORK, SUBNET, VOLUME, CONTAINER = "demo-network", "demo-subnet", "demo-volume", "demo-container"
CIDR = "10.20.30.0/24"
IMAGE = "demo:latest"
MOUNT_POINT = "/data"
COMMAND = ["sh", "-c", "echo hello from zun_lite; exec sleep 86400"]
VERSION = {"OpenStack-API-Version": "container 1.40"}
RUNNING_TIMEOUT_SECONDS = 60.0
GONE_TIMEOUT_SECONDS = 60.0
REQUEST_TIMEOUT_SECONDS = 60.0
Body = dict[str, Any]


def run(here: Installation) -> int:
    """Show the main job; answers the exit status."""
    stage = Stage()
    try:
        _play(Cloud(here.clouds_file), stage)
    except (exceptions.ClientException, errors.ZunError) as error:
        stage.close(_sentence(error))
        print(
            f"zun-lite: this step failed: {stage.step}. `zun-lite status` shows whether all is up, the logs are in "
            f"{here.path('log')}; when it is mended, `zun-lite demo` picks up here.",
            file=sys.stderr,
        )
        return 1
    _print_next(here)
    return 0


def _play(cloud: Cloud, stage: Stage) -> None:
    stage.open("token of project demo")
    stage.close(f"user {cloud.user_name}, good until {cloud.token_until()}")
    stage.open("network")
    network = cloud.settled("network", "/v2.0/networks", "network", NETWORK) or cloud.make(
        "network", "/v2.0/networks", "network", {"name": NETWORK}
    )
    stage.close(f"{NETWORK} {network['id']}")
    stage.open("subnet")
    subnet = _subnet(cloud, network["id"])
    stage.close(f"{SUBNET} {subnet['cidr']}, gateway {subnet['gateway_ip']}")
    stage.open("volume")
    volume = _volume(cloud)
    stage.close(f"{VOLUME} {volume['id']}, {volume['size']} GiB, {volume['status']}")
    stage.open("container")
    container, how = _container(cloud, network["id"], volume["id"])
    stage.close(f"{CONTAINER} {container['uuid']} of {IMAGE}, {how}")
    stage.open("wait until it runs")
    container = _wait_running(cloud, container["uuid"])
    stage.close(f"{container['status']}, {container['status_detail'] or 'just now'}")
    stage.open("address")
    stage.close(", ".join(_addresses(container)))
    stage.open("inside: ip addr show eth0")
    stage.close_with(_execute(cloud, container["uuid"], ["ip", "addr", "show", "eth0"]))
    stage.open(f"inside: write to the volume at {MOUNT_POINT}, and read it")
    script = f"date >> {MOUNT_POINT}/visits && df -h {MOUNT_POINT} | tail -1 && cat {MOUNT_POINT}/visits"
    stage.close_with(_execute(cloud, container["uuid"], ["sh", "-c", script]))
    stage.open("its log")
    stage.close_with(_log(cloud, container["uuid"]))


class Cloud:
    """The demo cloud of clouds.yaml, by service type."""

    def __init__(self, clouds_file: str) -> None:
        with open(clouds_file, encoding="utf-8") as stream:
            entry = yaml.safe_load(stream)["clouds"][CLOUD]
        self._auth: Any = loading.get_plugin_loader("password").load_from_options(**entry["auth"])
        self.user_name = entry["auth"].get("username", CLOUD)
        direct = requests.Session()
        # the cloud is on this machine, where a proxy that the environment names cannot reach it
        direct.trust_env = False
        self._session = session.Session(
            auth=self._auth, session=direct, verify=entry.get("cacert") or True, timeout=REQUEST_TIMEOUT_SECONDS
        )

    def token_until(self) -> str:
        return self._auth.get_access(self._session).expires.strftime("%Y-%m-%d %H:%M:%S UTC")

    def ask(self, service: str, method: str, path: str, body: Body | None = None, **query: str) -> Any:
        """The answer's JSON, or None where it has no content."""
        answer = self._session.request(
            path,
            method,
            endpoint_filter={"service_type": service, "interface": "public"},
            params=query or None,
            headers=VERSION if service == "container" else None,
            json=body,
        )
        return answer.json() if answer.content else None

    def named(self, service: str, path: str, name: str) -> list[Body]:
        """The records that bear the name."""
        collection = path.rsplit("/", 1)[-1]
        listed = "/volumes/detail" if path == "/volumes" else path
        return [record for record in self.ask(service, "GET", listed, name=name)[collection] if record["name"] == name]

    def settled(self, service: str, path: str, noun: str, name: str) -> Body | None:
        """The one record of the name, or None; several are for the user to sort out."""
        found = self.named(service, path, name)
        if len(found) > 1:
            raise errors.Ambiguous(f"{len(found)} {noun}s are named {name}; delete or rename all but one.")
        return found[0] if found else None

    def make(self, service: str, path: str, noun: str, body: Body) -> Body:
        return self.ask(service, "POST", path, {noun: body})[noun]


class Stage:
    """One line a step: the seconds since the beginning, what is done, and what came of it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.step = "read clouds.yaml"

    def open(self, step: str) -> None:
        self.step = step

    def close(self, result: str) -> None:
        print(f"[{time.monotonic() - self._began:6.2f} s] {self.step}: {result}", flush=True)

    def close_with(self, output: str) -> None:
        self.close("")
        for line in output.rstrip().splitlines():
            print(f"             {line}", flush=True)


def _subnet(cloud: Cloud, network_id: str) -> Body:
    found = cloud.settled("network", "/v2.0/subnets", "subnet", SUBNET)
    if found is None:
        body = {"name": SUBNET, "network_id": network_id, "ip_version": 4, "cidr": CIDR}
        return cloud.make("network", "/v2.0/subnets", "subnet", body)
    if found["network_id"] != network_id:
        raise errors.Conflict(f"{SUBNET} belongs to another network than {NETWORK}; delete or rename it.")
    return found


def _volume(cloud: Cloud) -> Body:
    found = cloud.settled("block-storage", "/volumes", "volume", VOLUME)
    if found is not None and found["status"].startswith("error"):
        cloud.ask("block-storage", "DELETE", f"/volumes/{found['id']}")
        _wait_gone(cloud, "block-storage", "/volumes", VOLUME)
        found = None
    return found or cloud.make("block-storage", "/volumes", "volume", {"name": VOLUME, "size": 1})


def _container(cloud: Cloud, network_id: str, volume_id: str) -> tuple[Body, str]:
    """The container, and how it came to be there."""
    found = cloud.settled("container", "/containers", "container", CONTAINER)
    how = "made"
    if found is not None:
        path = f"/containers/{found['uuid']}"
        if found["status"] in ("Running", "Creating", "Restarting"):
            return found, f"already there, {found['status']}"
        if found["status"] in ("Created", "Stopped"):
            cloud.ask("container", "POST", f"{path}/start", {})
            return found, f"was {found['status']}, started"
        if found["status"] != "Deleting":
            cloud.ask("container", "DELETE", path)
        _wait_gone(cloud, "container", "/containers", CONTAINER)
        how = f"made anew (was {found['status']})"
    body = {
        "name": CONTAINER,
        "image": IMAGE,
        "command": COMMAND,
        "nets": [{"network": network_id}],
        "mounts": [{"source": volume_id, "destination": MOUNT_POINT}],
        "cpu": 0.5,
        "memory": "64",
    }
    return cloud.ask("container", "POST", "/containers", body, run="true"), how


def _wait_running(cloud: Cloud, uuid: str) -> Body:
    record: Body = {}

    def runs() -> bool:
        nonlocal record
        record = cloud.ask("container", "GET", f"/containers/{uuid}")
        if record["status"] == "Error":
            raise errors.Failed(f"{CONTAINER} came to Error: {record['status_reason'] or 'no reason given'}")
        return record["status"] == "Running" and not record["task_state"]

    _wait(runs, RUNNING_TIMEOUT_SECONDS, f"{CONTAINER} does not run")
    return record


def _wait_gone(cloud: Cloud, service: str, path: str, name: str) -> None:
    _wait(lambda: not cloud.named(service, path, name), GONE_TIMEOUT_SECONDS, f"{name} is not gone")


def _wait(arrived: Callable[[], bool], timeout_seconds: float, problem: str) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not arrived():
        if time.monotonic() > deadline:
            raise errors.Failed(f"{problem} after {timeout_seconds:g} s.")
        time.sleep(0.1)


def _addresses(container: Body) -> list[str]:
    found = [address["addr"] for addresses in container["addresses"].values() for address in addresses]
    if not found:
        raise errors.Failed(f"{CONTAINER} runs but has no address; the log of the controller says why.")
    return found


def _execute(cloud: Cloud, uuid: str, command: list[str]) -> str:
    done = cloud.ask("container", "POST", f"/containers/{uuid}/execute", {}, command=shlex.join(command), run="true")
    if done["exit_code"]:
        raise errors.Failed(f"{shlex.join(command)} ended with status {done['exit_code']}: {done['output'].strip()}")
    return done["output"]


def _log(cloud: Cloud, uuid: str) -> str:
    text = cloud.ask("container", "GET", f"/containers/{uuid}/logs", stdout="True", stderr="True", tail="10")
    if "hello" not in text:
        raise errors.Failed(f"The log of {CONTAINER} lacks the line that it wrote: {text!r}")
    return text


def _sentence(error: Exception) -> str:
    if isinstance(error, errors.ZunError):
        return f"FAILED. {error.message}"
    return f"FAILED. {' '.join(str(error).split())}"


def _print_next(here: Installation) -> None:
    program = os.path.join(os.path.dirname(sys.executable), "zun-lite")
    if here.state_dir != DEFAULT_STATE_DIR:
        env = f"{program} env --state-dir {shlex.quote(here.state_dir)}"
    else:
        env = f"{program} env"
    print(
        f"""
It works. Go on with OpenStack's own client (pip install python-openstackclient python-zunclient):
  eval "$({env})"
  openstack appcontainer list
  openstack appcontainer exec {CONTAINER} ip addr
  openstack appcontainer logs {CONTAINER}
  openstack appcontainer run --name mine --net network={NETWORK} {IMAGE} sleep 3600
  openstack network list
  openstack volume list
and {program} status | down | up | clean."""
    )
