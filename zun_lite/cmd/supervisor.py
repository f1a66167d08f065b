# SPDX-License-Identifier: Apache-2.0
"""Keeps the programs of one installation running, and stops them together.

It is one thread and knows nothing of containers: a program is a name, an environment and a module
of ours or a command line. Modules are forked from it, once the libraries that they share are imported,
so that they share their memory; where that is not possible, or newer libraries were installed meanwhile,
they are started like any command. A program that ends is started again, after 0.5 s that
double up to 10 s, and from 0.5 s again once it had lived for 1 s. Each has a process group of its
own, so that nothing of it is left when it is gone; and each is told by the kernel to end when the
supervisor itself is killed. Containers and the Docker Engine are not its business: they live on.

`zun-lite up` takes the lock, sets everything up, and hands the lock on to this program by exec.
"""

from __future__ import annotations

import ctypes
import glob
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from zun_lite.cmd import installation, lock, processes
from zun_lite.cmd.installation import Installation
from zun_lite.cmd.offspring import Born, Forked, Nursery
from zun_lite.domain import errors

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 1.0
GRACE_SECONDS = 10.0
ALL_GRACE_SECONDS = 25.0
LOG_LIMIT_BYTES = 20 * 1024 * 1024
LOG_CHECK_SECONDS = 60.0
TOKEN_TIMEOUT_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1
_HEEDED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


@dataclass(frozen=True)
class Program:
    """Something to keep running; extra() gives what to add to its environment at each start.

    module: what to fork with, in place of the arguments; the arguments do the same.
    """

    name: str
    arguments: list[str]
    environment: dict[str, str]
    extra: Callable[[], dict[str, str]] = dict
    module: str | None = None


@dataclass
class Child:
    program: Program
    process: Forked | subprocess.Popen[bytes] | None = None
    state: str = "waiting"
    since: float = field(default_factory=time.time)
    started: float = 0.0
    start_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    restarts: int = 0
    last_exit: str | None = None

    def record(self) -> dict[str, Any]:
        pid = self.process.pid if self.process else None
        return {
            "pid": pid,
            "started_ticks": processes.started_ticks(pid) if pid else None,
            "state": self.state,
            "since": self.since,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
        }


class Supervisor:
    """Programs start in the order given and stop in the reverse order."""

    def __init__(
        self, programs: list[Program], log_dir: str, state_file: str, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._children = [Child(program) for program in programs]
        self._log_dir = log_dir
        self._state_file = state_file
        self._grace_seconds = grace_seconds
        self._since = time.time()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._nursery = Nursery()

    def run(self) -> int:
        """Until SIGTERM or SIGINT; answers the exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)
        self._end_leftovers()
        logs_due = time.monotonic() + LOG_CHECK_SECONDS
        while True:
            self._start_due()
            heard = signal.sigtimedwait(_HEEDED, self._idle_seconds(logs_due))
            if heard is not None and heard.si_signo != signal.SIGCHLD:
                break
            self._reap()
            if time.monotonic() >= logs_due:
                self._shorten_logs()
                logs_due = time.monotonic() + LOG_CHECK_SECONDS
        self._stop_all()
        return 0

    def _idle_seconds(self, logs_due: float) -> float:
        due = [child.start_at for child in self._children if child.process is None] + [logs_due]
        return max(0.0, min(due) - time.monotonic())

    def _start_due(self) -> None:
        for child in self._children:
            if child.process is None and child.start_at <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        name = child.program.name
        try:
            environment = {**child.program.environment, **child.program.extra()}
            log = os.open(
                os.path.join(self._log_dir, f"{name}.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            try:
                child.process = self._fork(child.program, environment, log) or self._execute(
                    child.program, environment, log
                )
            finally:
                os.close(log)
        except (OSError, subprocess.SubprocessError, errors.ZunError) as error:
            self._put_off(child, f"could not be started: {error}")
            return
        child.started = time.monotonic()
        self._turn(child, "running", f"started, pid {child.process.pid}")

    def _fork(self, program: Program, environment: dict[str, str], log: int) -> Forked | None:
        """None: it has to be started as a command."""
        if program.module is None or not self._nursery.is_current():
            return None
        try:
            return self._nursery.fork(f"zun-lite-{program.name}", program.module, environment, log)
        except ImportError as error:
            self._say(f"{program.name}: not forked: {error}")
            return None
        except Born:
            self._in_child()
            raise

    def _execute(self, program: Program, environment: dict[str, str], log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            program.arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=self._in_child,
        )

    def _in_child(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEEDED)

    def _reap(self) -> None:
        """Learn who ended. A dead leader's group is killed before its number can be given to another."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            child = self._child_of(ended.si_pid)
            if child is None or child.process is None:
                # A stranger, such as a dockerd that this process started before it became the supervisor.
                os.waitpid(ended.si_pid, 0)
                continue
            _kill_group(ended.si_pid)
            code = child.process.wait()
            if time.monotonic() - child.started >= STEADY_SECONDS:
                child.pause_seconds = FIRST_PAUSE_SECONDS
            self._put_off(child, _how(code))

    def _child_of(self, pid: int) -> Child | None:
        return next((child for child in self._children if child.process and child.process.pid == pid), None)

    def _put_off(self, child: Child, reason: str) -> None:
        pause_seconds = child.pause_seconds
        child.process = None
        child.last_exit = reason
        child.restarts += 1
        child.start_at = time.monotonic() + pause_seconds
        child.pause_seconds = min(LONGEST_PAUSE_SECONDS, pause_seconds * 2)
        self._turn(child, "waiting", f"{reason}; again in {pause_seconds:g} s")

    def _stop_all(self) -> None:
        deadline = time.monotonic() + ALL_GRACE_SECONDS
        for child in reversed(self._children):
            if child.process is not None:
                self._stop(child, min(deadline, time.monotonic() + self._grace_seconds))
        self._say("all stopped; containers live on")

    def _stop(self, child: Child, deadline: float) -> None:
        process = child.process
        assert process is not None
        process.terminate()
        manner = "stopped"
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            manner = "did not stop when asked; killed"
        _kill_group(process.pid)
        process.wait()
        child.process = None
        self._turn(child, "stopped", manner)

    def _end_leftovers(self) -> None:
        """End programs that a killed supervisor left and that did not heed the kernel's signal."""
        for name, was in (read_state(self._state_file) or {}).get("children", {}).items():
            if was["pid"] and was["started_ticks"] and processes.is_same(was["pid"], was["started_ticks"]):
                if processes.wait_gone(was["pid"], was["started_ticks"], 2.0):
                    continue
                self._say(f"{name}: pid {was['pid']} is left of an earlier supervisor; killed")
                _kill_group(was["pid"])
                processes.wait_gone(was["pid"], was["started_ticks"], 5.0)

    def _shorten_logs(self) -> None:
        """Whoever writes one, a dockerd of ours too, appends to it, so a full one is copied aside and emptied."""
        for path in glob.glob(os.path.join(glob.escape(self._log_dir), "*.log")):
            try:
                if os.path.getsize(path) > LOG_LIMIT_BYTES:
                    shutil.copyfile(path, f"{path}.1")
                    os.truncate(path, 0)
            except OSError as error:
                # A full disk must not take the programs down with it.
                self._say(f"{path} could not be shortened: {error}")

    def _turn(self, child: Child, state: str, line: str) -> None:
        child.state, child.since = state, time.time()
        self._say(f"{child.program.name}: {line}")
        children = {each.program.name: each.record() for each in self._children}
        record = {"pid": os.getpid(), "since": self._since, "children": children}
        try:
            installation.write_file(self._state_file, json.dumps(record, indent=1) + "\n")
        except OSError as error:
            # A full disk must not take the programs down with it.
            self._say(f"{self._state_file} could not be written: {error}")

    def _say(self, line: str) -> None:
        try:
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)
        except OSError:
            # The terminal that showed these lines is gone; the programs must not go with it.
            sys.stdout = open(os.devnull, "w")


def read_state(state_file: str) -> dict[str, Any] | None:
    """What the supervisor last wrote, or None."""
    try:
        with open(state_file, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def programs_of(here: Installation) -> list[Program]:
    """What an installation on one machine consists of, in the order of starting."""

    def program(name: str, extra: Callable[[], dict[str, str]] = dict) -> Program:
        module = f"zun_lite.cmd.{name}"
        return Program(name, [sys.executable, "-m", module], here.environment, extra, module)

    extra: dict[str, Callable[[], dict[str, str]]] = {"agent": lambda: _join_token(here)}
    return [program(name, extra.get(name, dict)) for name in here.programs]


def _join_token(here: Installation) -> dict[str, str]:
    """A one-time token for an agent that has not enrolled yet or is to do so again; nothing for one that has."""
    has_joined = os.path.exists(here.identity_file)
    if has_joined and not (here.wants_to_join if here.is_joined else _is_host_key_old(here)):
        return {}
    if here.is_joined:
        try:
            with open(here.join_token_file, encoding="ascii") as file:
                return {"ZUN_LITE_JOIN_TOKEN": file.read().strip()}
        except FileNotFoundError as error:
            raise errors.Failed("this host has not joined; run `zun-lite join` with a new token") from error
    command = [sys.executable, "-m", "zun_lite.cmd.manage", "host", "token", "--name", here.host_name]
    made = subprocess.run(
        command,
        env=here.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TOKEN_TIMEOUT_SECONDS,
    )
    token = made.stdout.strip().splitlines()[-1:] if made.returncode == 0 else []
    if not token:
        said = made.stderr.strip()[-500:] or "nothing was printed"
        raise errors.Failed(f"no token for host {here.host_name}: {said}")
    return {"ZUN_LITE_JOIN_TOKEN": token[0]}


def _is_host_key_old(here: Installation) -> bool:
    """Whether the key of a machine that was off for long may have ended, or will before it is exchanged."""
    try:
        made = os.stat(here.host_key_file).st_mtime
    except FileNotFoundError:
        return True
    return time.time() - made > here.host_key_days * 86400 / 2


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def main(arguments: list[str] | None = None) -> int:
    """zun_lite.cmd.supervisor STATE_DIR [LOCK_FD]: the lock is taken here unless it was handed on."""
    given = sys.argv[1:] if arguments is None else arguments
    here = installation.read(os.path.abspath(given[0]))
    held = lock.adopt(int(given[1])) if len(given) > 1 else lock.take(here.lock_file)
    if held is None:
        print(f"another supervisor holds {here.lock_file}", file=sys.stderr)
        return 1
    lock.sign(held)
    try:
        return Supervisor(programs_of(here), here.path("log"), here.state_file).run()
    except Born as child:
        module = child.module
    return importlib.import_module(module).main()


if __name__ == "__main__":
    sys.exit(main())
