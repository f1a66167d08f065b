# SPDX-License-Identifier: Apache-2.0
"""What `zun-lite up` does before, and around, the supervisor: set up, hand over, wait until it is ready.

The lock is taken first, so that two of them never set up side by side. The work is done in this
process, which then becomes the supervisor by exec and so sheds all that it imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time

from zun_lite.cmd import docker_setup, images, installation, lock, logs, status, supervisor
from zun_lite.cmd.engine import Engine
from zun_lite.cmd.installation import Installation
from zun_lite.domain import errors

READY_TIMEOUT_SECONDS = 20.0
BOOTSTRAP_TIMEOUT_SECONDS = 120.0


def up(
    state_dir: str,
    *,
    port: int | None,
    agent_port: int | None,
    docker_socket: str | None,
    detach: bool,
    gateway_port: int | None = None,
) -> int:
    """Set up and run; in the foreground it does not return, with detach it returns when all is ready."""
    started = time.monotonic()
    installation.make_folders(state_dir)
    here = installation.settle(
        state_dir, port=port, agent_port=agent_port, docker_socket=docker_socket, gateway_port=gateway_port
    )
    return run(here, started, detach=detach)


def run(here: Installation, started: float, *, detach: bool) -> int:
    """Set up and run an installation whose configuration is written. started: by the monotonic clock, seconds."""
    held = lock.take(here.lock_file)
    if held is None:
        return _already_up(here)
    check_ports(here)
    _set_up(here)
    os.set_inheritable(held, True)
    command = [sys.executable, "-m", "zun_lite.cmd.supervisor", here.state_dir, str(held)]
    if not detach:
        _say(f"running {_where(here)}; Ctrl-C or `zun-lite down` stops it")
        os.execve(sys.executable, command, here.environment)
    with open(here.path("log", "supervisor.log"), "ab") as log:
        process = subprocess.Popen(
            command,
            env=here.environment,
            pass_fds=[held],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(held)
    if here.is_joined:
        _wait_joined(here, process)
    else:
        _wait_ready(here, process, started)
    _say(f"up in {time.monotonic() - started:.1f} s {_where(here)} (pid {process.pid})")
    return 0


def _where(here: Installation) -> str:
    if here.is_joined:
        return f"as host {here.host_name} of {here.api_url}"
    return f"at {here.own_api_url}"


def check_ports(here: Installation) -> None:
    """Refuse early when another program listens where ours would; it would even be taken for ours."""
    for program, option, host, port in (
        ("api", "port", here.bind, here.port),
        ("agent", "agent-port", here.agent_bind, here.agent_port),
        ("gateway", "gateway-port", here.gateway_bind, here.gateway_port),
    ):
        if program not in here.programs:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError as error:
                raise errors.Conflict(
                    f"{host}:{port} cannot be listened on ({error.strerror}); end what has it (ss -ltnp shows "
                    f"it), or choose another: --{option} the first time, later in {here.config_file}."
                ) from error


def _already_up(here: Installation) -> int:
    pid = lock.holder(here.lock_file)
    lines, healthy = status.report(here, time.time())
    if healthy:
        _say(f"already up (pid {pid})")
        return 0
    _say(f"already up (pid {pid}), but not all is well:")
    print("\n".join(lines), flush=True)
    _say(f"logs are in {here.path('log')}; `zun-lite down`, then `zun-lite up`, starts afresh")
    return 1


def _set_up(here: Installation) -> None:
    if here.is_joined:
        install_runtime(here)
        docker_setup.prepare(here, _say)
        return
    log_path = here.path("log", "bootstrap.log")
    with open(log_path, "ab") as log:
        bootstrap = subprocess.Popen(
            [sys.executable, "-m", "zun_lite.cmd.manage", "bootstrap"],
            env=here.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        install_runtime(here)
        docker_setup.prepare(here, _say)
        images.make_demo(Engine(here.docker_socket), here.cluster, _say)
    finally:
        # Whatever else fails, it is let come to its end: half a first identity would be in the way later.
        _finish(bootstrap)
    if bootstrap.returncode:
        raise errors.Failed(
            "The database, keys and first users could not be set up: "
            f"{logs.last_lines(log_path, 1)[0]} ({log_path} tells more). Correct {here.config_file} if it is to blame, "
            "then try again."
        )


def _finish(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=BOOTSTRAP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def install_runtime(here: Installation) -> None:
    """The program that Docker runs for each container, where this installation keeps it. Failed: there is no runc."""
    from zun_lite.netd import runtime

    real = shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin")
    if real is None:
        raise errors.Failed("runc is not installed; `apt-get install docker.io` brings it.")
    # it asks twice, and is to say why before whoever started the container gives up itself
    patience = here.netd_answer_seconds / 2
    python = os.path.realpath(sys.executable)
    runtime.install(here.runtime_path, real, here.netd_socket, python, answer_seconds=patience)


def _wait_ready(here: Installation, process: subprocess.Popen[bytes], started: float) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while not status.api_answers(here):
        _still_going(
            here,
            process,
            deadline,
            f"the API does not answer at {here.own_api_url}",
        )
        time.sleep(0.1)
    _say(f"the API answers, after {time.monotonic() - started:.1f} s")
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while (state := _host_state(here)) != "ready":
        _still_going(here, process, deadline, f"host {here.host_name} is not ready: {state}")
        time.sleep(0.3)


def _wait_joined(here: Installation, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while here.wants_to_join or not os.path.exists(here.identity_file):
        state = supervisor.read_state(here.state_file) or {}
        # what an earlier supervisor wrote is not about this one
        if state.get("pid") == process.pid and state["children"]["agent"]["restarts"]:
            last = " ".join(logs.last_lines(here.path("log", "agent.log"), 1))
            status.down(here)
            raise errors.Failed(
                f"{here.api_url} did not take this host: {last} Make a token with `zun-lite-manage host token --name "
                f"{here.host_name}` where the API runs, and join again."
            )
        _still_going(here, process, deadline, f"{here.api_url} does not answer this host")
        time.sleep(0.1)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(here.join_token_file)


def _still_going(here: Installation, process: subprocess.Popen[bytes], deadline: float, problem: str) -> None:
    if process.poll() is not None:
        log = here.path("log", "supervisor.log")
        raise errors.Failed(
            f"The supervisor ended: {' | '.join(logs.last_lines(log, 4))}; mend that, then `zun-lite up` again."
        )
    if time.monotonic() < deadline:
        return
    children = (supervisor.read_state(here.state_file) or {}).get("children", {})
    ailing = [name for name, child in children.items() if child["restarts"] or child["state"] != "running"]
    suspects = ailing or (["api"] if problem.startswith("the API") else ["agent"])
    for name in suspects:
        print(f"--- the end of {here.path('log', name)}.log", file=sys.stderr)
        print("\n".join(logs.last_lines(here.path("log", f"{name}.log"), 12)), file=sys.stderr)
    raise errors.Failed(
        f"After {READY_TIMEOUT_SECONDS:g} s {problem}; look at: {', '.join(suspects)} (above). It goes on trying: "
        "`zun-lite status` shows how far it is, `zun-lite down` stops it."
    )


def _host_state(here: Installation) -> str:
    command = [sys.executable, "-m", "zun_lite.cmd.manage", "host", "list", "--json"]
    asked = subprocess.run(command, env=here.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if asked.returncode:
        return f"unknown ({asked.stderr.strip()[-300:]})"
    try:
        hosts = {host["name"]: host.get("problem") or host["state"] for host in json.loads(asked.stdout)}
    except (ValueError, KeyError, TypeError):
        return f"unknown ({asked.stdout.strip()[-300:]})"
    return hosts.get(here.host_name, "not enrolled")


def _say(line: str) -> None:
    print(f"zun-lite: {line}", flush=True)
