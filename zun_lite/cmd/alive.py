# SPDX-License-Identifier: Apache-2.0
"""zun-lite-alive PROGRAM: whether a program on this machine does its work, for what starts it anew or alarms.

Asks where the configuration has the program listen. Sends no secret, and believes no answer but for a yes or a no.
Exit code 0: yes; 1: no, with the reason in one line.
"""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import socket
import ssl
import sys

from oslo_config import cfg

from zun_lite.cmd import begin

TIMEOUT_SECONDS = 5.0
_PATHS = {"api": "/healthcheck", "gateway": "/healthz"}
PROGRAMS = (*_PATHS, "controller")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="zun-lite-alive", description="Whether a program here does its work.")
    parser.add_argument("program", choices=PROGRAMS)
    program = parser.parse_args(argv).program
    conf = begin.configured("zun-lite-alive")
    reason = problem(conf, program)
    if reason:
        print(f"zun-lite-alive: {program}: {reason}", file=sys.stderr)
    return 1 if reason else 0


def problem(conf: cfg.ConfigOpts, program: str) -> str | None:
    """Why a program is not well; None if it is."""
    if program == "controller":
        return _knock(conf.controller.wake_socket)
    section = conf[program]
    return _ask(_near(section.bind), section.port, _PATHS[program], tls=section.tls_cert_file is not None)


def _ask(address: str, port: int, path: str, *, tls: bool) -> str | None:
    connection: http.client.HTTPConnection
    if tls:
        # which name the certificate is for is for clients to check, who come by that name
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(address, port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer at {address}:{port}: {error or type(error).__name__}"
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"{path} at {address}:{port} answers {status}"


def _knock(path: str) -> str | None:
    """Wake a controller: nobody may be there, or one that has taken no waking for long, whose queue is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as door:
        try:
            door.sendto(b"!", path)
        except BlockingIOError:
            return f"it takes nothing from {path} any more"
        except OSError as error:
            return f"nobody is at {path}: {error.strerror}"
    return None


def _near(bind: str) -> str:
    """Where this machine reaches who listens at an address, or at every one."""
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        return bind
    if not address.is_unspecified:
        return bind
    return "127.0.0.1" if address.version == 4 else "::1"


if __name__ == "__main__":
    sys.exit(main())
