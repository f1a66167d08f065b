# SPDX-License-Identifier: Apache-2.0
"""`zun-lite`: start, look at and stop a whole installation on this machine.

Parses, then calls; modules that cost time to import are imported where they are used, so that
`zun-lite --help` and `zun-lite status` answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from zun_lite.cmd import installation
from zun_lite.cmd.installation import Installation
from zun_lite.domain import errors


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; answers the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except errors.ZunError as error:
        print(f"zun-lite: {error.message}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader, a pager perhaps, has left; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zun-lite", description="A container cloud on this machine.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state-dir", help="where all is kept (default ZUN_LITE_STATE_DIR, else /var/lib/zun_lite)")

    up = commands.add_parser("up", parents=[common], help="set up what is missing and run everything")
    up.add_argument("--port", type=int, help="port of the APIs, kept from the first time on (9517)")
    up.add_argument("--agent-port", type=int, help="port of the agent, kept likewise (9518)")
    up.add_argument("--gateway-port", type=int, help="port of the gateway for terminals, kept likewise (9519)")
    up.add_argument("--docker-socket", help="another Docker Engine than this machine's own, kept likewise")
    up.add_argument("--detach", action="store_true", help="return when it is ready")
    up.set_defaults(run=_up)

    join = commands.add_parser(
        "join", parents=[common], help="make this machine a host of a fleet, and run what it needs"
    )
    join.add_argument("api_url", metavar="URL", help="where the API is, like https://cloud.example.org:9517")
    join.add_argument("--token-file", metavar="FILE", help="a file with the token of `zun-lite-manage host token`")
    join.add_argument("--name", help="the host's name, that of the token; default the kernel's")
    join.add_argument(
        "--address", help="this machine's address, for the API and for other hosts; default by the way there"
    )
    join.add_argument("--agent-port", type=int, default=installation.Installation.agent_port, help="9518")
    join.add_argument("--docker-socket", help="another Docker Engine than this machine's own")
    join.add_argument("--ca-file", metavar="FILE", help="the CA of the API's certificate, PEM")
    join.add_argument("--insecure", action="store_true", help="over plain http though the API is not on this machine")
    join.add_argument("--detach", action="store_true", help="return when it has joined")
    join.set_defaults(run=_join)

    down = commands.add_parser("down", parents=[common], help="stop everything; containers live on")
    down.set_defaults(run=_down)
    status = commands.add_parser("status", parents=[common], help="show each process; exit 3 unless all is well")
    status.set_defaults(run=_status)
    env = commands.add_parser("env", parents=[common], help="print what makes the openstack client use this cloud")
    env.set_defaults(run=_env)
    demo = commands.add_parser("demo", parents=[common], help="run a container with network and volume, step by step")
    demo.set_defaults(run=_demo)

    image = commands.add_parser("image", help="make images without a registry")
    kinds = image.add_subparsers(metavar="COMMAND", required=True)
    imported = kinds.add_parser("import", parents=[common], help="from a root file system: a folder, or a tar of one")
    imported.add_argument("path")
    imported.add_argument("reference", metavar="NAME[:TAG]")
    imported.set_defaults(run=_image_import)
    made = kinds.add_parser("demo", parents=[common], help="the built-in demo:latest, of busybox")
    made.set_defaults(run=_image_demo)

    volume = commands.add_parser("volume", help="keep volumes elsewhere, and bring them back")
    kinds = volume.add_subparsers(metavar="COMMAND", required=True)
    export = kinds.add_parser("export", parents=[common], help="one moment of a volume of this host, to a new file")
    export.add_argument("volume", metavar="VOLUME", help="its id, or its name")
    export.add_argument("path", metavar="FILE")
    export.set_defaults(run=_volume_export)
    brought = kinds.add_parser("import", parents=[common], help="a new volume on this host, from an exported one")
    brought.add_argument("path", metavar="FILE")
    brought.add_argument("--project", required=True, help="whose it is to be: a project's id, or its name")
    brought.add_argument("--name", help="its name (default the one that it was exported with)")
    brought.set_defaults(run=_volume_import)

    clean = commands.add_parser("clean", parents=[common], help="stop, and take back all that was made, data too")
    clean.add_argument("--yes", action="store_true", help="mean it (needed at a terminal)")
    clean.set_defaults(run=_clean)
    return parser


def _up(parsed: argparse.Namespace) -> int:
    _need_root("up")
    from zun_lite.cmd import startup

    return startup.up(
        installation.chosen_state_dir(parsed.state_dir),
        port=parsed.port,
        agent_port=parsed.agent_port,
        gateway_port=parsed.gateway_port,
        docker_socket=parsed.docker_socket and os.path.abspath(parsed.docker_socket.removeprefix("unix://")),
        detach=parsed.detach,
    )


def _join(parsed: argparse.Namespace) -> int:
    _need_root("join")
    from zun_lite.cmd import join

    return join.join(
        installation.chosen_state_dir(parsed.state_dir),
        join.Wish(
            api_url=parsed.api_url,
            token=join.read_token(parsed.token_file),
            name=parsed.name or os.uname().nodename,
            address=parsed.address,
            agent_port=parsed.agent_port,
            docker_socket=parsed.docker_socket and os.path.abspath(parsed.docker_socket.removeprefix("unix://")),
            insecure=parsed.insecure,
            ca_file=parsed.ca_file,
        ),
        detach=parsed.detach,
    )


def _down(parsed: argparse.Namespace) -> int:
    from zun_lite.cmd import status

    _say(status.down(_here(parsed)))
    return 0


def _status(parsed: argparse.Namespace) -> int:
    from zun_lite.cmd import status

    lines, healthy = status.report(_here(parsed), time.time())
    print("\n".join(lines))
    return 0 if healthy else 3


def _env(parsed: argparse.Namespace) -> int:
    import shlex

    here = _made(parsed)
    print(f"export OS_CLIENT_CONFIG_FILE={shlex.quote(here.clouds_file)}")
    print("export OS_CLOUD=demo")
    return 0


def _demo(parsed: argparse.Namespace) -> int:
    from zun_lite.cmd import demo

    return demo.run(_made(parsed))


def _image_import(parsed: argparse.Namespace) -> int:
    from zun_lite.cmd import images
    from zun_lite.cmd.engine import Engine

    here = _here(parsed)
    image_id = images.import_image(Engine(here.docker_socket), parsed.path, parsed.reference, here.cluster)
    _say(f"image {':'.join(images.split_reference(parsed.reference))} made, {image_id}")
    return 0


def _image_demo(parsed: argparse.Namespace) -> int:
    from zun_lite.cmd import images
    from zun_lite.cmd.engine import Engine

    here = _here(parsed)
    images.make_demo(Engine(here.docker_socket), here.cluster, _say)
    _say("image demo:latest is there")
    return 0


def _volume_export(parsed: argparse.Namespace) -> int:
    _need_root("volume export")
    from zun_lite.cmd import volumes
    from zun_lite.common import config

    volumes.export(config.load([], state_dir=_here(parsed).state_dir), parsed.volume, parsed.path, _say)
    return 0


def _volume_import(parsed: argparse.Namespace) -> int:
    _need_root("volume import")
    from zun_lite.cmd import volumes
    from zun_lite.common import config

    conf = config.load([], state_dir=_here(parsed).state_dir)
    volumes.take_in(conf, parsed.path, parsed.project, parsed.name, _say)
    return 0


def _clean(parsed: argparse.Namespace) -> int:
    _need_root("clean")
    if not parsed.yes and sys.stdin is not None and sys.stdin.isatty():
        raise errors.Invalid("This removes every container, volume and record of zun_lite; say --yes if you mean it.")
    from zun_lite.cmd import clean, status

    state_dir = installation.chosen_state_dir(parsed.state_dir)
    if not installation.exists(state_dir):
        _say(f"nothing to clean: {state_dir} is no installation of zun_lite")
        return 0
    here = installation.read(state_dir)
    _say(status.down(here))
    clean.clean(here, _say)
    return 0


def _here(parsed: argparse.Namespace) -> Installation:
    return installation.read(installation.chosen_state_dir(parsed.state_dir))


def _made(parsed: argparse.Namespace) -> Installation:
    here = _here(parsed)
    if not os.path.exists(here.clouds_file):
        raise errors.NotFound(
            f"{here.clouds_file} is not there, or not yours to read; run `zun-lite up` as root. With a Keystone of "
            "your own, use what you use with that."
        )
    return here


def _need_root(command: str) -> None:
    if os.geteuid() != 0:
        raise errors.Forbidden(f"`zun-lite {command}` works on networks, mounts and Docker and needs root; use sudo.")


def _say(line: str) -> None:
    print(f"zun-lite: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
