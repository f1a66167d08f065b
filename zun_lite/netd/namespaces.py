# SPDX-License-Identifier: Apache-2.0
"""Network namespaces by name, registered under /run/netns as `ip netns` does, and by process.

A namespace lives as long as its registration. Knows nothing of what is in one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from zun_lite.domain import errors
from zun_lite.netd import kernel

FOLDER = "/run/netns"
_OWN = "/proc/thread-self/ns/net"

Answer = TypeVar("Answer")


def prepare_folder() -> None:
    """Make the folder a shared mount, as `ip netns` would later, hiding what was registered before it."""
    os.makedirs(FOLDER, mode=0o755, exist_ok=True)
    try:
        kernel.mount("", FOLDER, None, kernel.MS_SHARED | kernel.MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        kernel.mount(FOLDER, FOLDER, None, kernel.MS_BIND | kernel.MS_REC)
        kernel.mount("", FOLDER, None, kernel.MS_SHARED | kernel.MS_REC)


def names(prefix: str) -> list[str]:
    """Registered names that begin with the prefix, half-made ones too."""
    try:
        return sorted(name for name in os.listdir(FOLDER) if name.startswith(prefix))
    except FileNotFoundError:
        return []


def exists(name: str) -> bool:
    """Whether the name stands for a live namespace; the mere file does not, as after a reboot."""
    try:
        return os.stat(os.path.join(FOLDER, name)).st_dev == os.stat(_OWN).st_dev
    except FileNotFoundError:
        return False


@contextmanager
def opened(name: str) -> Iterator[int]:
    """A descriptor of the named namespace."""
    descriptor = os.open(os.path.join(FOLDER, name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def of_process(pid: int) -> Iterator[int]:
    """A descriptor of a process's namespace, which must not be the host's own."""
    try:
        descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise errors.NotFound(f"no process {pid} to wire; it ended already") from error
    try:
        if is_host(descriptor):
            raise errors.Invalid(f"process {pid} is in the host's own network namespace, which is never wired")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def of_most_threads(pid: int) -> Iterator[int]:
    """A descriptor of the namespace that most of a process's threads are in, for some may be visiting others."""
    folder = f"/proc/{pid}/task"
    try:
        places = [f"{folder}/{thread}/ns/net" for thread in os.listdir(folder)]
    except FileNotFoundError:
        places = []
    opened: dict[tuple[int, int], list[int]] = {}
    try:
        for place in places:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
                found = os.fstat(descriptor)
                opened.setdefault((found.st_dev, found.st_ino), []).append(descriptor)
        if not opened:
            raise errors.NotFound(f"process {pid} has ended")
        yield max(opened.values(), key=len)[0]
    finally:
        for descriptor in (each for every in opened.values() for each in every):
            os.close(descriptor)


def create(name: str) -> None:
    """Register a new namespace in which interfaces have no IPv6 of their own (bridges need none)."""
    prepare_folder()
    path = os.path.join(FOLDER, name)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))

    def make() -> None:
        kernel.leave_network_namespace()
        write_setting("ipv6/conf/default/disable_ipv6", "1")
        kernel.mount(_OWN, path, None, kernel.MS_BIND)

    in_thread(make)


def remove(name: str) -> None:
    """Take the registration away; the kernel takes down what was in the namespace."""
    path = os.path.join(FOLDER, name)
    while True:
        try:
            kernel.unmount(path, kernel.MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            break
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def inside(namespace_fd: int, work: Callable[[], Answer]) -> Answer:
    """Do the work in a thread of its own that has entered the namespace."""

    def enter_and_work() -> Answer:
        kernel.enter_network_namespace(namespace_fd)
        return work()

    return in_thread(enter_and_work)


def write_setting(name: str, value: str) -> None:
    """Write /proc/sys/net/NAME of the calling thread's namespace; a kernel without it is left alone."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/net/{name}", "w") as setting:
        setting.write(value)


def in_thread(work: Callable[[], Answer]) -> Answer:
    """Do the work in a thread that ends with it, so that what it did to itself ends too."""
    answers: list[Answer] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="netns", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


def is_host(namespace_fd: int) -> bool:
    """Whether it is the namespace that this program runs in."""
    own, other = os.stat("/proc/self/ns/net"), os.fstat(namespace_fd)
    return (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)
