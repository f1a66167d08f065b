# SPDX-License-Identifier: Apache-2.0
"""Makes the Docker Engine know our runtime, starts it where none runs, and takes both back.

dockerd's daemon.json belongs to the machine's owner: two settings are merged into it (the runtime and
live-restore), everything else stays, and a note in STATE_DIR/docker-setup.json says what was put in,
so that exactly that is taken out again. dockerd is told by SIGHUP, never restarted. An engine behind
another socket than the default one is configured by whoever runs it; it is only looked at.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from zun_lite.cmd import logs, processes
from zun_lite.cmd.engine import Engine
from zun_lite.cmd.installation import DEFAULT_DOCKER_SOCKET, Installation, write_file
from zun_lite.domain import errors

DAEMON_JSON = "/etc/docker/daemon.json"
DOCKER_PID_FILE = "/var/run/docker.pid"
START_TIMEOUT_SECONDS = 60.0
RELOAD_TIMEOUT_SECONDS = 15.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Note:
    """What was put into daemon.json."""

    path: str = DAEMON_JSON
    file_made: bool = False
    runtimes: dict[str, str] = field(default_factory=dict)
    live_restore_put: bool = False
    live_restore_was: bool | None = None


def merge(document: dict[str, Any], name: str, path: str, note: Note) -> tuple[dict[str, Any], Note]:
    """daemon.json with our two settings in it, and the note of what is ours; the argument is left alone."""
    merged = copy.deepcopy(document)
    runtimes = merged.setdefault("runtimes", {})
    if not isinstance(runtimes, dict):
        raise errors.Invalid(f'{note.path}: "runtimes" is not an object; correct it, then try again.')
    there = runtimes.get(name)
    if there is not None and there.get("path") != path and os.path.exists(str(there.get("path"))):
        raise errors.Conflict(
            f'{note.path} already has a runtime "{name}" at {there.get("path")}, of another installation; clean '
            "that one, or set [agent] docker_runtime in zun_lite.conf to another name."
        )
    if there is None or there.get("path") != path:
        runtimes[name] = {"path": path}
    ours = {**note.runtimes, name: path} if there is None or there.get("path") != path else note.runtimes
    if merged.get("live-restore") is True:
        return merged, Note(note.path, note.file_made, ours, note.live_restore_put, note.live_restore_was)
    merged["live-restore"] = True
    return merged, Note(note.path, note.file_made, ours, True, document.get("live-restore"))


def unmerge(document: dict[str, Any], note: Note) -> dict[str, Any]:
    """daemon.json without what the note says; what was changed since by others stays."""
    rest = copy.deepcopy(document)
    runtimes = rest.get("runtimes", {})
    for name, path in note.runtimes.items():
        if isinstance(runtimes.get(name), dict) and runtimes[name].get("path") == path:
            del runtimes[name]
    if not runtimes:
        rest.pop("runtimes", None)
    if note.live_restore_put and rest.get("live-restore") is True:
        del rest["live-restore"]
        if note.live_restore_was is not None:
            rest["live-restore"] = note.live_restore_was
    return rest


def prepare(here: Installation, say: Say) -> None:
    """An engine that answers and knows our runtime, or an error that says what is in the way."""
    engine = Engine(here.docker_socket)
    if os.path.realpath(here.docker_socket) != os.path.realpath(DEFAULT_DOCKER_SOCKET):
        _check_foreign(here, engine)
        return
    answers = engine.answers()
    if answers and _swarm_active(engine.info()):
        raise errors.Conflict(
            "This Docker Engine is in swarm mode, which excludes live-restore, and without it a dockerd restart would "
            "stop every container; leave the swarm (docker swarm leave) or name another engine with --docker-socket."
        )
    was_there = os.path.exists(DAEMON_JSON)
    before, note = _put_in(here)
    if not answers:
        _start_dockerd(here, engine, say)
    elif not _is_set_up(here, engine.info()):
        try:
            _reload(engine, lambda info: _is_set_up(here, info))
        except errors.ZunError:
            _write_daemon_json(note.path, before, remove=not was_there)
            raise
        say(f"dockerd knows the runtime {here.docker_runtime} ({note.path} extended, dockerd reloaded)")
    _check_registered(here, engine.info())


def take_back(here: Installation, say: Say) -> None:
    """Undo prepare(): stop the dockerd that we started, and take out of daemon.json what we put in."""
    stopped = _stop_dockerd(here, say)
    note = _read_note(here)
    if note is None:
        return
    document = _read_daemon_json(note.path)
    rest = unmerge(document, note)
    if rest != document:
        engine = Engine(DEFAULT_DOCKER_SOCKET)
        if not stopped and engine.answers():
            _unload(engine, note, document, rest)
        _write_daemon_json(note.path, rest, remove=note.file_made and not rest)
        say(f"{note.path}: our settings are out")
    os.unlink(here.path("docker-setup.json"))


def _check_foreign(here: Installation, engine: Engine) -> None:
    if not engine.answers():
        raise errors.Unavailable(
            f"No Docker Engine answers at {here.docker_socket}; start it, or leave --docker-socket out to use the "
            "machine's own."
        )
    info = engine.info()
    if _swarm_active(info):
        raise errors.Conflict(f"The Docker Engine at {here.docker_socket} is in swarm mode; it cannot be shared.")
    _check_registered(here, info)


def _check_registered(here: Installation, info: dict[str, Any]) -> None:
    path = info.get("Runtimes", {}).get(here.docker_runtime, {}).get("path")
    if path is None:
        raise errors.Failed(
            f"The Docker Engine at {here.docker_socket} does not know the runtime {here.docker_runtime}; start it with "
            f"--add-runtime {here.docker_runtime}={here.runtime_path}."
        )
    if os.path.realpath(path) != os.path.realpath(here.runtime_path):
        raise errors.Conflict(
            f"The Docker Engine at {here.docker_socket} has the runtime {here.docker_runtime} at {path}, not at "
            f"{here.runtime_path}; register that one."
        )


def _swarm_active(info: dict[str, Any]) -> bool:
    return info.get("Swarm", {}).get("LocalNodeState") in ("active", "pending", "locked")


def _is_set_up(here: Installation, info: dict[str, Any]) -> bool:
    runtime = info.get("Runtimes", {}).get(here.docker_runtime, {})
    return runtime.get("path") == here.runtime_path and bool(info.get("LiveRestoreEnabled"))


def _put_in(here: Installation) -> tuple[dict[str, Any], Note]:
    """What daemon.json said before, and the note of what is ours in it now."""
    made = not os.path.exists(DAEMON_JSON)
    before = _read_daemon_json(DAEMON_JSON)
    after, note = merge(before, here.docker_runtime, here.runtime_path, _read_note(here) or Note(file_made=made))
    if after != before:
        # The note first: a crash in between leaves a note of something that is not there, which does no harm.
        write_file(here.path("docker-setup.json"), json.dumps(asdict(note), indent=1) + "\n")
        _write_daemon_json(DAEMON_JSON, after)
    return before, note


def _read_note(here: Installation) -> Note | None:
    try:
        with open(here.path("docker-setup.json"), encoding="utf-8") as stream:
            return Note(**json.load(stream))
    except FileNotFoundError:
        return None


def _read_daemon_json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return {}
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise errors.Invalid(
            f"{path} is not JSON ({error}), so dockerd would not start with it; correct it."
        ) from error
    if not isinstance(document, dict):
        raise errors.Invalid(f"{path} does not hold a JSON object; correct it.")
    return document


def _write_daemon_json(path: str, document: dict[str, Any], *, remove: bool = False) -> None:
    real = os.path.realpath(path)
    if remove:
        if os.path.exists(real):
            os.unlink(real)
        return
    os.makedirs(os.path.dirname(real), exist_ok=True)
    mode = os.stat(real).st_mode & 0o777 if os.path.exists(real) else 0o644
    write_file(real, json.dumps(document, indent=2) + "\n", mode)


def _reload(engine: Engine, arrived: Callable[[dict[str, Any]], bool]) -> None:
    pid = _dockerd_pid()
    if pid is None:
        raise errors.Failed(
            f"A Docker Engine answers, but {DOCKER_PID_FILE} names no dockerd to reload; restart Docker and try again."
        )
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + RELOAD_TIMEOUT_SECONDS
    while not arrived(engine.info()):
        if time.monotonic() > deadline:
            raise errors.Failed(
                f"dockerd did not take {DAEMON_JSON} up when it was reloaded; its log says why (often a setting that "
                "is given on its command line too); mend that, then try again."
            )
        time.sleep(0.1)


def _unload(engine: Engine, note: Note, document: dict[str, Any], rest: dict[str, Any]) -> None:
    """A setting that merely vanishes from the file stays in the running dockerd, so it is first said to be off."""
    off = {**rest, "runtimes": rest.get("runtimes", {})}
    if "live-restore" in document:
        off["live-restore"] = rest.get("live-restore", False)
    _write_daemon_json(note.path, off)
    _reload(engine, lambda info: not set(note.runtimes) & set(info.get("Runtimes", {})))


def _dockerd_pid() -> int | None:
    try:
        with open(DOCKER_PID_FILE) as stream:
            pid = int(stream.read())
    except (OSError, ValueError):
        return None
    return pid if _is_dockerd(pid) else None


def _is_dockerd(pid: int) -> bool:
    return os.path.basename(processes.command_line(pid)[0]) == "dockerd" if processes.command_line(pid) else False


def _start_dockerd(here: Installation, engine: Engine, say: Say) -> None:
    log_path = here.path("log", "dockerd.log")
    started = time.monotonic()
    if _has_systemd_unit():
        subprocess.run(["systemctl", "start", "docker.service"], check=False)
        note: dict[str, Any] = {"systemd": True}
        process = None
    else:
        program = shutil.which("dockerd", path=_system_path())
        if program is None:
            raise errors.Failed("No Docker Engine is installed; `apt-get install docker.io` brings it.")
        with open(log_path, "ab") as log:
            process = subprocess.Popen(
                [program],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PATH": _system_path()},
            )
        note = {"pid": process.pid, "started_ticks": processes.started_ticks(process.pid)}
    write_file(here.path("run", "dockerd.json"), json.dumps(note) + "\n")
    while not engine.answers():
        if time.monotonic() - started > START_TIMEOUT_SECONDS or (process is not None and process.poll() is not None):
            if process is None:
                raise errors.Failed("dockerd did not come to answer; mend what `journalctl -u docker` says.")
            said = " | ".join(complaints(logs.last_lines(log_path, 100)))
            raise errors.Failed(f"dockerd did not come to answer; mend what {log_path} says: {said}")
        time.sleep(0.1)
    say(f"dockerd started in {time.monotonic() - started:.1f} s")


def complaints(lines: list[str]) -> list[str]:
    """The last lines of dockerd's log that tell what is wrong, or the last of all where none does."""
    wrong = [line for line in lines if "level=info" not in line and "level=debug" not in line]
    return wrong[-3:] or lines[-1:]


def _stop_dockerd(here: Installation, say: Say) -> bool:
    """Whether no dockerd of ours runs any more; one with containers of others is left to them."""
    path = here.path("run", "dockerd.json")
    try:
        with open(path, encoding="utf-8") as stream:
            note = json.load(stream)
    except (OSError, ValueError):
        return False
    running = not note.get("systemd") and processes.is_same(note["pid"], note["started_ticks"] or -1)
    if running or note.get("systemd"):
        engine = Engine(DEFAULT_DOCKER_SOCKET)
        others = engine.containers(running_only=True) if engine.answers() else []
        if others:
            say(f"dockerd stays: {len(others)} containers that are not ours run under it")
            return False
    if note.get("systemd"):
        subprocess.run(["systemctl", "stop", "docker.service", "docker.socket"], check=False)
    elif running:
        os.kill(note["pid"], signal.SIGTERM)
        if not processes.wait_gone(note["pid"], note["started_ticks"], 30.0):
            raise errors.Failed(f"dockerd (pid {note['pid']}) does not stop; stop it by hand, then clean again.")
        say("dockerd, which we had started, is stopped")
    os.unlink(path)
    return True


def _has_systemd_unit() -> bool:
    if not os.path.isdir("/run/systemd/system"):
        return False
    return subprocess.run(["systemctl", "cat", "docker.service"], capture_output=True, check=False).returncode == 0


def _system_path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
