# SPDX-License-Identifier: Apache-2.0
"""The other nouns: capsules, networks and actions of a container, images, registries, quotas, hosts, services."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from zun_lite.cli.command import RECORD, TABLE, Command, Table, table_of
from zun_lite.cli.containers import addresses, path
from zun_lite.cli.failures import Failure
from zun_lite.cli.session import Session, one

_PAGES = ("marker", "limit", "sort_key", "sort_dir")
_QUOTAS = ("containers", "cpu", "memory", "disk")


def _takes(*names: str, options: tuple[str, ...] = (), many: str = "") -> Callable[[ArgumentParser], None]:
    """Positional names, options with a value, and one name of which there may be several."""

    def configure(parser: ArgumentParser) -> None:
        for name in names:
            parser.add_argument(name, metavar=name.upper())
        if many:
            parser.add_argument(many, metavar=many.upper(), nargs="+")
        for option in options:
            parser.add_argument(f"--{option.replace('_', '-')}", metavar=option.rpartition("_")[2].upper())

    return configure


def _listing(address: str, key: str, columns: tuple[str, ...], *more: str) -> Callable[[Session, Namespace], Table]:
    def run(session: Session, args: Namespace) -> Table:
        query = {name: getattr(args, name, None) for name in (*_PAGES, *more)}
        return table_of(session.ask("GET", address, query=query)[key], columns)

    return run


def _showing(address: str, name: str, key: str | None = None) -> Callable[[Session, Namespace], dict[str, Any]]:
    def run(session: Session, args: Namespace) -> dict[str, Any]:
        found = session.ask("GET", f"{address}/{one(getattr(args, name))}")
        shown: dict[str, Any] = found[key] if key else found
        return {name: value for name, value in shown.items() if name != "links"}

    return run


def _deleting(address: str, noun: str) -> Callable[[Session, Namespace], int]:
    def run(session: Session, args: Namespace) -> int:
        for ident in getattr(args, noun):
            session.ask("DELETE", f"{address}/{one(ident)}")
            print(f"{noun.capitalize()} {ident} is to be deleted.")
        return 0

    return run


def _capsule_options(parser: ArgumentParser) -> None:
    parser.add_argument("-f", "--file", metavar="FILE", required=True, help="its template, YAML or JSON")


def _capsule_create(session: Session, args: Namespace) -> dict[str, Any]:
    import yaml

    try:
        with open(args.file, encoding="utf-8") as file:
            template = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as error:
        raise Failure(f"{args.file} cannot be read: {error}") from error
    found: dict[str, Any] = session.ask("POST", "/capsules", {"template": template})
    return {**found, "addresses": addresses(found), "links": [item["href"] for item in found.get("links") or ()]}


def _capsule_list(session: Session, args: Namespace) -> Table:
    query = {"all_projects": 1 if args.all_projects else None}
    found = session.ask("GET", "/capsules", query=query)["capsules"]
    return table_of([{**item, "addresses": addresses(item)} for item in found], ("uuid", "name", "status", "addresses"))


def _all_projects(parser: ArgumentParser) -> None:
    parser.add_argument("--all-projects", action="store_true", help="of all projects (administrators)")


def _capsule_show(session: Session, args: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = session.ask("GET", f"/capsules/{one(args.capsule)}")
    containers = [f"{item['name']}: {item['status']}" for item in found.get("containers") or ()]
    return {**found, "addresses": addresses(found), "containers": containers, "links": None}


def _network_options(parser: ArgumentParser) -> None:
    parser.add_argument("container", metavar="CONTAINER")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--network", metavar="NETWORK")
    which.add_argument("--port", metavar="PORT")
    parser.add_argument("--fixed-ip", metavar="ADDRESS")


def _network_verb(verb: str) -> Callable[[Session, Namespace], int]:
    def run(session: Session, args: Namespace) -> int:
        query = {"network": args.network, "port": args.port}
        if verb == "network_attach":
            query["fixed_ip"] = args.fixed_ip
        session.ask("POST", path(args.container, verb), query=query)
        print(f"Container {args.container}: {verb.replace('_', ' ')} is under way.")
        return 0

    return run


def _network_list(session: Session, args: Namespace) -> Table:
    found = session.ask("GET", path(args.container, "network_list"))["networks"]
    return table_of(found, ("net_id", "port_id", "fixed_ips"))


def _action_list(session: Session, args: Namespace) -> Table:
    found = session.ask("GET", path(args.container, "container_actions"))["containerActions"]
    return table_of(found, ("request_id", "action", "message", "start_time", "finish_time", "user_id"))


def _action_show(session: Session, args: Namespace) -> dict[str, Any]:
    found = session.ask("GET", path(args.container, f"container_actions/{one(args.request)}"))
    shown: dict[str, Any] = found.get("containerAction", found)
    return shown


def _image_pull(session: Session, args: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = session.ask("POST", "/images", {"repo": args.image, "host": args.host})
    return {name: value for name, value in found.items() if name != "links"}


def _search_options(parser: ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("--image-driver", metavar="DRIVER", choices=("docker", "glance"))
    parser.add_argument("--exact-match", action="store_true")


def _image_search(session: Session, args: Namespace) -> Table:
    query = {"image_driver": args.image_driver, "exact_match": str(args.exact_match)}
    found = session.ask("GET", f"/images/{one(args.image)}/search", query=query)
    return table_of(found, ("id", "name", "tags", "status", "size", "metadata"))


def _registry(args: Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in ("name", "username", "password", "domain")}
    return {"registry": {name: value for name, value in given.items() if value is not None}}


def _registry_create(session: Session, args: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = session.ask("POST", "/registries", _registry(args))["registry"]
    return found


def _registry_update(session: Session, args: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = session.ask("PATCH", f"/registries/{one(args.registry)}", _registry(args))["registry"]
    return found


def _service_verb(verb: str) -> Callable[[Session, Namespace], int]:
    def run(session: Session, args: Namespace) -> int:
        query: dict[str, Any] = {"host": args.host, "binary": args.binary}
        if verb == "disable":
            query["disabled_reason"] = args.reason
        if verb == "force_down":
            query["forced_down"] = str(not args.unset)
        if verb == "delete":
            session.ask("DELETE", "/services", query=query)
        else:
            session.ask("PUT", f"/services/{verb}", query=query)
        print(f"Service {args.binary} on {args.host}: {verb.replace('_', ' ')} is done.")
        return 0

    return run


def _forcedown_options(parser: ArgumentParser) -> None:
    _takes("host", "binary")(parser)
    parser.add_argument("--unset", action="store_true", help="take it back")


def _quota_options(parser: ArgumentParser) -> None:
    parser.add_argument("project_id", metavar="PROJECT", nargs="?", help="this user's own where none is named")
    parser.add_argument("--usages", action="store_true", help="with what is in use")


def _quota_get(session: Session, args: Namespace) -> dict[str, Any]:
    query = {"usages": "True"} if args.usages else None
    found: dict[str, Any] = session.ask("GET", f"/quotas/{one(args.project_id or session.project_id)}", query=query)
    return found


def _quota_default(session: Session, args: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = session.ask("GET", f"/quotas/{one(args.project_id)}/defaults")
    return found


def _quota_delete(session: Session, args: Namespace) -> int:
    session.ask("DELETE", f"/quotas/{one(args.project_id)}")
    print(f"Project {args.project_id} has the default quota again.")
    return 0


def _quota_put(address: str, name: str) -> Callable[[Session, Namespace], dict[str, Any]]:
    def run(session: Session, args: Namespace) -> dict[str, Any]:
        body = {key: getattr(args, key) for key in _QUOTAS if getattr(args, key) is not None}
        found: dict[str, Any] = session.ask("PUT", f"{address}/{one(getattr(args, name))}", body)
        return found

    return run


_SERVICE_COLUMNS = ("id", "host", "binary", "state", "disabled", "disabled_reason", "updated_at", "availability_zone")
_HOST_COLUMNS = ("uuid", "hostname", "mem_total", "mem_used", "cpus", "cpu_used", "disk_total", "total_containers")
_IMAGE_COLUMNS = ("uuid", "image_id", "repo", "tag", "size")
_REGISTRY = ("name", "username", "password", "domain")
_A = "appcontainer"

COMMANDS = (
    Command("capsule create", "make a capsule of a template", _capsule_create, _capsule_options, RECORD),
    Command("capsule list", "list capsules", _capsule_list, _all_projects, TABLE),
    Command("capsule show", "show a capsule", _capsule_show, _takes("capsule"), RECORD),
    Command("capsule delete", "delete capsules", _deleting("/capsules", "capsule"), _takes(many="capsule")),
    Command(f"{_A} network attach", "join a network", _network_verb("network_attach"), _network_options),
    Command(f"{_A} network detach", "leave a network", _network_verb("network_detach"), _network_options),
    Command(f"{_A} network list", "list a container's networks", _network_list, _takes("container"), TABLE),
    Command(f"{_A} action list", "list what was done to a container", _action_list, _takes("container"), TABLE),
    Command(f"{_A} action show", "show what one request did", _action_show, _takes("container", "request"), RECORD),
    Command(
        f"{_A} image list",
        "list images that hosts were told to pull",
        _listing("/images", "images", _IMAGE_COLUMNS),
        _takes(options=_PAGES),
        TABLE,
    ),
    Command(f"{_A} image show", "show such an image", _showing("/images", "image"), _takes("image"), RECORD),
    Command(f"{_A} image pull", "have a host pull an image", _image_pull, _takes("image", "host"), RECORD),
    Command(f"{_A} image delete", "have a host forget images", _deleting("/images", "image"), _takes(many="image")),
    Command(f"{_A} image search", "search images", _image_search, _search_options, TABLE),
    Command(f"{_A} registry create", "name a registry", _registry_create, _takes(options=_REGISTRY), RECORD),
    Command(
        f"{_A} registry list",
        "list registries",
        _listing("/registries", "registries", ("uuid", *_REGISTRY)),
        _takes(options=_PAGES),
        TABLE,
    ),
    Command(
        f"{_A} registry show",
        "show a registry",
        _showing("/registries", "registry", "registry"),
        _takes("registry"),
        RECORD,
    ),
    Command(
        f"{_A} registry update", "change a registry", _registry_update, _takes("registry", options=_REGISTRY), RECORD
    ),
    Command(
        f"{_A} registry delete", "forget registries", _deleting("/registries", "registry"), _takes(many="registry")
    ),
    Command(f"{_A} host list", "list hosts", _listing("/hosts", "hosts", _HOST_COLUMNS), _takes(options=_PAGES), TABLE),
    Command(f"{_A} host show", "show a host", _showing("/hosts", "host"), _takes("host"), RECORD),
    Command(
        f"{_A} service list",
        "list the hosts' services",
        _listing("/services", "services", _SERVICE_COLUMNS),
        shape=TABLE,
    ),
    Command(f"{_A} service enable", "use a host again", _service_verb("enable"), _takes("host", "binary")),
    Command(
        f"{_A} service disable",
        "place nothing on a host",
        _service_verb("disable"),
        _takes("host", "binary", options=("reason",)),
    ),
    Command(f"{_A} service forcedown", "take a host for lost", _service_verb("force_down"), _forcedown_options),
    Command(f"{_A} service delete", "forget a host", _service_verb("delete"), _takes("host", "binary")),
    Command(f"{_A} quota get", "show a project's quota", _quota_get, _quota_options, RECORD),
    Command(f"{_A} quota default", "show the default quota", _quota_default, _takes("project_id"), RECORD),
    Command(
        f"{_A} quota update",
        "change a project's quota",
        _quota_put("/quotas", "project_id"),
        _takes("project_id", options=_QUOTAS),
        RECORD,
    ),
    Command(f"{_A} quota delete", "give a project the default quota", _quota_delete, _takes("project_id")),
    Command(
        f"{_A} quota class get",
        "show a class of quotas",
        _showing("/quota_classes", "quota_class"),
        _takes("quota_class"),
        RECORD,
    ),
    Command(
        f"{_A} quota class update",
        "change a class of quotas",
        _quota_put("/quota_classes", "quota_class"),
        _takes("quota_class", options=_QUOTAS),
        RECORD,
    ),
    Command(
        f"{_A} availability zone list",
        "list availability zones",
        _listing("/availability_zones", "availability_zones", ("availability_zone",)),
        shape=TABLE,
    ),
)
