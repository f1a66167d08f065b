# SPDX-License-Identifier: Apache-2.0
"""Takes back all that an installation made on this machine, and nothing else.

Everything is found by its own marks: the cluster's label, names with the cluster's prefix, paths under the
installation's folders, the notes of docker_setup. Each step looks first, so that a clean that was
broken off can be run again. Debian packages and Docker's own data stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable

from zun_lite.cmd import docker_setup, images, installation
from zun_lite.cmd.engine import Engine
from zun_lite.cmd.installation import Installation
from zun_lite.domain import errors

# zun_lite.domain.names.LABEL_CLUSTER, without what that module imports.
LABEL_CLUSTER = "zun.cluster"
NETNS_DIR = "/run/netns"
Say = Callable[[str], None]


def clean(here: Installation, say: Say) -> None:
    """Undo the installation; its supervisor must be down."""
    engine = Engine(here.docker_socket)
    if engine.answers():
        _remove_containers(engine, here.cluster, say)
        removed, kept = images.remove_all(engine, here.cluster)
        if removed:
            say(f"images removed: {', '.join(removed)}")
        if kept:
            say(f"images that are still used stay: {', '.join(kept)}")
        _remove_brought_images(engine, here, say)
        _tell_of_networks(engine, here, say)
    else:
        say(f"no Docker Engine answers at {here.docker_socket}: its containers and images, if any, stay")
    _remove_driver(here)
    _close_way_out(here.cluster, say)
    _remove_namespaces(here.cluster, say)
    _release_mounts(here, say)
    docker_setup.take_back(here, say)
    _remove_folder(here, say)


def _remove_containers(engine: Engine, cluster: str, say: Say) -> None:
    found = engine.containers(f"{LABEL_CLUSTER}={cluster}")
    for container in found:
        engine.remove_container(container["Id"])
    if found:
        say(f"containers removed: {len(found)}")


def _tell_of_networks(engine: Engine, here: Installation, say: Say) -> None:
    left = engine.networks(here.docker_driver)
    if left:
        say(
            f"Docker's networks {', '.join(left)} were tenants' and stay: remove them and their containers, for which "
            "Docker takes up to a minute each without the driver"
        )


def _remove_driver(here: Installation) -> None:
    """Where Docker asked netd, which a netd that was killed leaves behind."""
    socket = os.path.join(here.docker_driver_dir, f"{here.docker_driver}.sock")
    try:
        with open(f"{socket}.lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in (socket, f"{socket}.half", f"{socket}.lock"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
    except FileNotFoundError:
        # it was never switched on
        return
    except BlockingIOError:
        # another installation's netd listens there
        return


def _remove_brought_images(engine: Engine, here: Installation, say: Say) -> None:
    """What the agent pulled or fetched, private images among it, but for what others' containers are made of."""
    try:
        with open(os.path.join(here.journal_dir, "images.json"), encoding="utf-8") as stream:
            names = {name for entry in json.load(stream)["images"].values() for name in entry["names"]}
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        say(f"which images were brought here cannot be read, they stay: {error}")
        return
    kept = []
    for name in sorted(names):
        try:
            engine.remove_image(name)
        except errors.Failed:
            kept.append(name)
    if len(names) > len(kept):
        say(f"images that were brought here removed: {len(names) - len(kept)}")
    if kept:
        say(f"images that are still used stay: {', '.join(kept)}")


def _close_way_out(cluster: str, say: Say) -> None:
    """Take back what let tenants' networks out by this machine: tables of packet rules, and lines in its firewall."""
    removed = False
    for family, firewall in (("ip", "iptables"), ("ip6", "ip6tables")):
        table = [family, f"zl_{cluster}"]
        listed = _output(["nft", "list", "set", *table, "uplinks"])
        if listed is None:
            continue
        for uplink in re.findall(r'"(zu[0-9a-f]+)"', listed):
            for direction in ("-i", "-o"):
                _output([firewall, "-w", "5", "-D", "FORWARD", direction, uplink, "-j", "ACCEPT"])
        _run(["nft", "delete", "table", *table], "the packet rules that let networks out cannot be taken away")
        removed = True
    if removed:
        say("packet rules removed")


def _remove_namespaces(cluster: str, say: Say) -> None:
    if not os.path.isdir(NETNS_DIR):
        return
    ours = re.compile(rf"^zl{re.escape(cluster)}-[rx]?[0-9a-f]{{12}}$")
    names = sorted(name for name in os.listdir(NETNS_DIR) if ours.match(name))
    for name in names:
        path = os.path.join(NETNS_DIR, name)
        subprocess.run(["umount", "-l", path], capture_output=True, check=False)
        os.unlink(path)
    if names:
        say(f"network namespaces removed: {len(names)}")


def _release_mounts(here: Installation, say: Say) -> None:
    # nothing of ours is mounted in the pool, and what the pool itself may be mounted on is the operator's
    roots = [os.path.realpath(path) for path in (here.state_dir, here.mount_dir)]
    released = 0
    for point in reversed(_mount_points()):
        if _is_under(point, roots):
            _run(["umount", point], f"{point} is still in use; end what uses it, then clean again")
            released += 1
    for device, backing in _loop_devices():
        if _is_under(backing, [*roots, os.path.realpath(here.pool_dir)]):
            _run(["losetup", "-d", device], f"{device} cannot be freed")
            released += 1
    if released:
        say(f"mounts and loop devices released: {released}")


def _mount_points() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        points = [line.split()[4] for line in stream]
    return [re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point) for point in points]


def _loop_devices() -> list[tuple[str, str]]:
    found = []
    for name in sorted(os.listdir("/sys/block")):
        try:
            with open(f"/sys/block/{name}/loop/backing_file") as stream:
                found.append((f"/dev/{name}", stream.read().strip().removesuffix(" (deleted)")))
        except OSError:
            continue
    return found


def _is_under(path: str, roots: list[str]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _output(command: list[str]) -> str | None:
    """What a command prints, or None where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _run(command: list[str], problem: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.Failed(f"{problem} ({done.stderr.strip()}).")


def _remove_folder(here: Installation, say: Say) -> None:
    if not installation.exists(here.state_dir):
        return
    for folder in (here.pool_dir, here.mount_dir):
        if not _is_under(os.path.abspath(folder), [here.state_dir]) and os.path.isdir(folder):
            say(f"{folder} lies outside {here.state_dir} and stays")
    if here.pool_shared and _is_under(os.path.abspath(here.pool_dir), [here.state_dir]) and _holds(here.pool_dir):
        _remove_around(here.state_dir, os.path.abspath(here.pool_dir))
        say(f"{here.pool_dir} is shared with other hosts and stays; the rest of {here.state_dir} is removed")
        return
    shutil.rmtree(here.state_dir)
    say(f"{here.state_dir} removed")


def _holds(folder: str) -> bool:
    return os.path.isdir(folder) and bool(os.listdir(folder))


def _remove_around(folder: str, kept: str) -> None:
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if path == kept:
            continue
        if _is_under(kept, [path]) and not os.path.islink(path):
            _remove_around(path, kept)
        elif os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
