# SPDX-License-Identifier: Apache-2.0
"""Every option of every program, in one place.

Programs call load() once, in cmd/, and hand the values on; no other module reads files or
environment. Paths that are not given are derived from state_dir, so that one option moves
a whole installation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from oslo_config import cfg, types

from zun_lite.common import config_check, log

DEFAULT_STATE_DIR = "/var/lib/zun_lite"
POLICY_FILE = "/etc/zun_lite/policy.yaml"

core_opts = [
    cfg.StrOpt("state_dir", default=DEFAULT_STATE_DIR, help="Where this installation keeps everything it makes."),
    cfg.StrOpt(
        "cluster",
        default="zun",
        regex=r"^[a-z0-9]{1,16}$",
        help="Name of this installation; labels what it makes in Docker, so that two never touch each other's.",
    ),
    cfg.ListOpt(
        "programs",
        default=["netd", "api", "controller", "gateway", "agent"],
        item_type=types.String(choices=["netd", "api", "controller", "gateway", "agent"]),
        help="What `zun-lite up` runs here; a host that joined a fleet runs netd and agent.",
    ),
]
api_opts = [
    cfg.HostAddressOpt("bind", default="127.0.0.1", help="Address to listen on."),
    cfg.PortOpt("port", default=9517, help="The one port of every API."),
    cfg.IntOpt("workers", default=2, min=1, help="gunicorn worker processes."),
    cfg.IntOpt("threads", default=8, min=1, help="Threads a worker."),
    cfg.StrOpt("public_url", help="URL under which clients reach the API; default http://BIND:PORT."),
    cfg.IntOpt("max_limit", default=1000, min=1, help="Most records in one page."),
    cfg.IntOpt("max_body_bytes", default=1048576, min=1024, help="Largest accepted JSON body."),
    cfg.IntOpt(
        "silent_seconds",
        default=60,
        min=1,
        help="A client that sends, or takes, nothing for so long in the middle of a request is given up.",
    ),
    cfg.FloatOpt(
        "requests_per_second_of_address",
        default=500.0,
        min=0,
        help="What one address outside this machine may send to a worker; five times as many at once. 0 is no limit.",
    ),
    cfg.FloatOpt(
        "requests_per_second_of_host",
        default=50.0,
        min=0,
        help="What one host may send to a worker; five times as many at once. 16 KiB of a report count as one more.",
    ),
    cfg.FloatOpt(
        "changes_per_second_of_project",
        default=200.0,
        min=0,
        help="Changes that one project may send to a worker; five times as many at once. 0 is no limit.",
    ),
    cfg.ListOpt(
        "trusted_proxies",
        default=[],
        help="Addresses or networks of proxies that are believed about who sent a request (X-Forwarded-For).",
    ),
    cfg.ListOpt(
        "allowed_origins",
        default=[],
        help="Origins, like https://dashboard.example.org, whose pages may call the API; empty: none.",
    ),
    cfg.ListOpt(
        "metrics_networks", default=[], help="Who may read /metrics, besides this machine: addresses or networks."
    ),
    cfg.FloatOpt("host_key_hours", default=24.0, min=0.01, help="How often hosts exchange their keys for new ones."),
    cfg.FloatOpt(
        "host_key_days",
        default=30.0,
        min=0.01,
        help="A host's key that was not exchanged for so long is good for nothing; the host must join anew.",
    ),
    cfg.StrOpt("policy_file", help="Rules that override the built-in ones; default STATE_DIR/policy.yaml."),
]
tls_opts = [
    cfg.StrOpt("ca_file", help="CAs of our own programs' certificates, PEM; unset: those of the machine."),
    cfg.BoolOpt(
        "agents", help="Whether hosts are spoken to by TLS; default: if this file's [agent] has a certificate."
    ),
]


def _certificate_opts() -> list[cfg.Opt]:
    return [
        cfg.StrOpt("tls_cert_file", help="Certificate, PEM, up to its CA; with it TLS alone is spoken."),
        cfg.StrOpt("tls_key_file", help="The private key of tls_cert_file, PEM."),
    ]


audit_opts = [
    cfg.StrOpt("file", help="Where the API writes who did what; default STATE_DIR/log/audit.json, a record a line."),
]
database_opts = [
    cfg.StrOpt("connection", secret=True, help="SQLAlchemy URL; default SQLite under state_dir."),
]
identity_opts = [
    cfg.StrOpt(
        "provider",
        default="embedded",
        choices=["embedded", "keystone"],
        help="Who knows users and projects; keystone is asked as [keystone_authtoken] says.",
    ),
    cfg.StrOpt("admin_project_id", help="With Keystone: the project that owns the first network outside."),
    cfg.StrOpt("key_dir", help="Fernet keys of tokens; default STATE_DIR/keys/tokens."),
    cfg.IntOpt("token_ttl_seconds", default=14400, min=60, help="How long a token is good."),
    cfg.IntOpt("wrong_of_user", default=10, min=0, help="Wrong passwords that lock a user for a while; 0: never."),
    cfg.IntOpt(
        "wrong_from_address",
        default=200,
        min=0,
        help="Wrong passwords after which an address has to wait; 0: never, as where all come through one proxy.",
    ),
    cfg.IntOpt("wrong_seconds", default=300, min=1, help="How long wrong passwords count, and locks last."),
]
network_opts = [
    cfg.StrOpt("provider", default="embedded", choices=["embedded"], help="Who owns networks and ports."),
    cfg.IntOpt("mtu", default=1450, min=1280, max=9000, help="MTU of tenant networks, bytes."),
    cfg.StrOpt(
        "external_cidr",
        default="172.24.4.0/24",
        help="Addresses of the network outside that the first start makes, for routers and floating IPs; empty: none.",
    ),
    cfg.ListOpt(
        "docker_networks",
        default=[],
        item_type=types.String(regex=re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(@\S+)?$")),
        help="Networks, as ID or ID@HOST_NAME, that hosts may show their own Docker; see docs/docker-networks.md.",
    ),
    cfg.StrOpt(
        "external_cidr6",
        default="",
        help="IPv6 addresses of that network, which the host must have the way out for; empty: it has no IPv6.",
    ),
    cfg.StrOpt(
        "tenants_cidr6",
        default="",
        help="IPv6 prefix of a pool that the first start makes: subnets of it are led to from outside, untranslated.",
    ),
    cfg.IntOpt("quota_networks", default=100, min=-1, help="Networks a project; -1 is no limit."),
    cfg.IntOpt("quota_subnets", default=100, min=-1, help="Subnets a project."),
    cfg.IntOpt("quota_subnet_pools", default=-1, min=-1, help="Subnet pools a project."),
    cfg.IntOpt("quota_ports", default=500, min=-1, help="Ports a project."),
    cfg.IntOpt("quota_routers", default=10, min=-1, help="Routers a project."),
    cfg.IntOpt("quota_floating_ips", default=50, min=-1, help="Floating IPs a project."),
    cfg.IntOpt("quota_security_groups", default=100, min=-1, help="Security groups a project."),
    cfg.IntOpt("quota_security_group_rules", default=1000, min=-1, help="Rules of security groups a project."),
]
volume_opts = [
    cfg.StrOpt(
        "provider",
        default="embedded",
        choices=["embedded", "cinder"],
        help="Who owns containers' volumes; cinder is the one that section [cinder] names.",
    ),
    cfg.StrOpt("pool_dir", help="Where a host keeps its volume files; default STATE_DIR/volumes."),
    cfg.IntOpt("quota_volumes", default=100, min=-1, help="Volumes a project; -1 is no limit."),
    cfg.IntOpt("quota_gigabytes", default=10000, min=-1, help="GiB of volumes and snapshots a project."),
    cfg.IntOpt("quota_snapshots", default=100, min=-1, help="Snapshots a project."),
    cfg.IntOpt("quota_per_volume_gigabytes", default=-1, min=-1, help="GiB of the largest volume."),
]
cinder_opts = [
    cfg.URIOpt("auth_url", help="The root of the Keystone that knows Cinder's users."),
    cfg.StrOpt(
        "username", default="zun", help="The services' account: an administrator's, with the role service, too."
    ),
    cfg.StrOpt("password", secret=True, help="Its password."),
    cfg.StrOpt("project_name", default="service", help="Its project."),
    cfg.StrOpt("user_domain_name", default="Default", help="The domain of the account."),
    cfg.StrOpt("project_domain_name", default="Default", help="The domain of the project."),
    cfg.StrOpt("service_type", default="block-storage", help="Cinder's name in the catalogue."),
    cfg.StrOpt("interface", default="public", help="Which of its addresses in the catalogue is used."),
    cfg.StrOpt("region_name", help="Which region's."),
    cfg.URIOpt("endpoint_override", help="Cinder's address, /v3 included, whatever the catalogue says."),
    cfg.StrOpt("cafile", help="Certificates of authorities that are believed, PEM; default the system's."),
    cfg.IntOpt("timeout_seconds", default=60, min=1, help="Longest wait for an answer of Cinder's."),
    cfg.IntOpt("wait_seconds", default=600, min=1, help="How long Cinder may take to make a volume."),
]
image_opts = [
    cfg.StrOpt("dir", help="Where the image service keeps images; default STATE_DIR/images."),
    cfg.IntOpt("max_size_gib", default=16, min=1, help="Largest image, as it is sent and unpacked."),
    cfg.IntOpt("project_gib", default=64, min=1, help="GiB of images a project."),
    cfg.ListOpt(
        "allowed_registries",
        default=[],
        help="Registries, as HOST:PORT, that users may name though they are addresses or inner names.",
    ),
]
image_policy_opts = [
    cfg.ListOpt(
        "allowed",
        default=[],
        help="Repositories, like docker.io/library/* or registry.example.org/*, that users may use; empty: all. "
        "* stands for any text.",
    ),
    cfg.BoolOpt("require_digest", default=False, help="Take images by their digest only."),
    cfg.BoolOpt("image_service", default=True, help="Whether images of the image service may be used."),
    cfg.ListOpt(
        "public_keys",
        default=[],
        help="Files of cosign's public keys; with any, hosts use only images that one of them signed.",
    ),
    cfg.ListOpt("signed", default=["*"], help="Repositories whose images must be signed, where there are keys."),
    cfg.ListOpt(
        "insecure_registries", default=[], help="Registries, as HOST:PORT, whose signatures are fetched without TLS."
    ),
]
registry_opts = [
    cfg.StrOpt("key_file", help="Keys that lock registries' passwords; default STATE_DIR/keys/registry.key."),
]
controller_opts = [
    cfg.StrOpt("wake_socket", help="Datagram socket that wakes the controller; default STATE_DIR/run/controller.sock."),
    cfg.FloatOpt("interval_seconds", default=2.0, min=0.1, help="Look at everything this often, woken or not."),
]
agent_opts = [
    cfg.StrOpt("host_name", help="Name of this host; default the kernel's host name."),
    cfg.HostAddressOpt("bind", default="127.0.0.1", help="Address the agent listens on."),
    cfg.PortOpt("port", default=9518, help="Port the agent listens on."),
    cfg.StrOpt("address", help="host:port at which the API reaches this agent; default BIND:PORT."),
    cfg.StrOpt("api_url", help="URL of the API; default its public URL."),
    cfg.HostAddressOpt(
        "underlay_address", help="This host's address for tunnels between hosts; unset: it is alone and makes none."
    ),
    cfg.StrOpt(
        "external_bridge", help="A bridge of this machine that is on the external network; unset: by its own way out."
    ),
    cfg.StrOpt("docker_socket", default="/var/run/docker.sock", help="Socket of the Docker Engine."),
    cfg.StrOpt("docker_runtime", default="zun-lite", help="Name of the runtime wrapper in Docker."),
    cfg.StrOpt("key_file", help="This host's private key; default STATE_DIR/keys/host.key."),
    cfg.StrOpt("journal_dir", help="Where the agent remembers what it did; default STATE_DIR/agent."),
    cfg.FloatOpt("interval_seconds", default=5.0, min=0.1, help="Fetch the set this often, nudged or not."),
    cfg.FloatOpt("heartbeat_seconds", default=10.0, min=0.2, help="Heartbeat interval."),
    cfg.FloatOpt("resync_seconds", default=60.0, min=1.0, help="Compare everything with Docker this often."),
    cfg.IntOpt("parallel", default=4, min=1, help="Workloads worked on at once."),
    cfg.IntOpt("pull_timeout_seconds", default=600, min=1, help="An image pull may take this long."),
    cfg.FloatOpt(
        "pool_overcommit",
        default=2.0,
        min=1.0,
        help="GiB of volumes that may be promised for each that the pool can hold; they take up only what is written.",
    ),
    cfg.FloatOpt("pool_reserve_gib", default=2.0, min=0.0, help="GiB of the volume pool that are never promised."),
    cfg.BoolOpt(
        "pool_shared",
        default=False,
        help="The volume pool is a directory that other hosts share, so that volumes may move between them.",
    ),
    cfg.IntOpt("image_cache_max_gib", default=50, min=0, help="GiB of unused images that a host keeps."),
    cfg.IntOpt("image_cache_max_age_hours", default=336, min=0, help="Hours that a host keeps an unused image."),
]
netd_opts = [
    cfg.StrOpt("socket", help="netd's socket; default STATE_DIR/run/netd.sock."),
    cfg.FloatOpt(
        "answer_seconds",
        default=30.0,
        min=1.0,
        help="The agent gives up a question to netd after so long, a start of a container in Docker after half of it.",
    ),
    cfg.StrOpt("store_dir", help="What netd must remember; default STATE_DIR/netd."),
    cfg.StrOpt("mount_dir", help="Where volumes are mounted; default STATE_DIR/mounts."),
    cfg.BoolOpt(
        "libnetwork", default=False, help="Be a network driver for the host's own Docker; see docs/docker-networks.md."
    ),
    cfg.StrOpt("libnetwork_name", default="zun_lite", regex=r"^[a-z0-9_-]+$", help="What Docker calls that driver."),
    cfg.StrOpt("libnetwork_dir", default="/run/docker/plugins", help="Where Docker looks for drivers' sockets."),
    cfg.FloatOpt(
        "libnetwork_grace_seconds",
        default=120.0,
        min=1.0,
        help="A port that Docker asked for and has no container on is given back after so long.",
    ),
    cfg.BoolOpt("multipath", default=False, help="Connect Cinder's volumes by all paths that there are to them."),
    cfg.ListOpt(
        "local_volume_dirs",
        default=[],
        help="Folders in which Cinder's volumes of the kind `local` may be, besides the volume pool.",
    ),
    cfg.FloatOpt(
        "interval_seconds",
        default=10.0,
        min=0.1,
        help="Mend packet rules that others changed after so long, bridges, links and entries after three times.",
    ),
]
gateway_opts = [
    cfg.HostAddressOpt("bind", default="127.0.0.1", help="Address the gateway listens on."),
    cfg.PortOpt("port", default=9519, help="Port of terminals and other streams."),
    cfg.StrOpt("public_url", help="URL under which clients reach the gateway, ws or wss; default ws://BIND:PORT/."),
    cfg.ListOpt(
        "allowed_origins",
        default=[],
        help="Origins, like https://dashboard.example.org, whose pages may open streams, besides public_url's own.",
    ),
    cfg.StrOpt("api_url", help="URL of the API; default its public URL."),
    cfg.StrOpt("key_file", help="Private key by which the API knows gateways; default STATE_DIR/keys/gateway.key."),
    cfg.IntOpt("streams", default=1000, min=1, help="Most open streams of one gateway."),
    cfg.IntOpt("streams_per_workload", default=50, min=1, help="Most open streams of one container."),
    cfg.IntOpt("streams_per_project", default=500, min=1, help="Most open streams of one project."),
    cfg.FloatOpt(
        "check_seconds", default=20.0, min=0.2, max=25.0, help="Ask this often whether open streams may stay open."
    ),
]
notifications_opts = [
    cfg.URIOpt(
        "webhook_url",
        schemes=["http", "https"],
        help="Where each change of a container is sent, signed, in order and at least once; unset: nowhere.",
    ),
    cfg.StrOpt(
        "webhook_key_file",
        help="A file with the key that signs what is sent; default STATE_DIR/keys/webhook.key, made when missing.",
    ),
    cfg.FloatOpt("webhook_timeout_seconds", default=10.0, min=0.1, max=30.0, help="The webhook may take this long."),
]
grants_opts = [
    cfg.StrOpt("key_file", help="Private key with which the API signs grants; default STATE_DIR/keys/grant.key."),
]
quota_opts = [
    cfg.IntOpt("containers", default=40, min=-1, help="Containers a project; -1 is no limit."),
    cfg.FloatOpt("cpu", default=20, min=-1, help="CPUs a project."),
    cfg.IntOpt("memory", default=51200, min=-1, help="MiB of memory a project."),
    cfg.IntOpt("disk", default=100, min=-1, help="GiB of disk a project."),
]
scheduler_opts = [
    cfg.FloatOpt("cpu_ratio", default=16.0, min=0.1, help="CPUs that may be promised for each real one."),
    cfg.FloatOpt("memory_ratio", default=1.5, min=0.1, help="Memory that may be promised for each real MiB."),
    cfg.FloatOpt("disk_ratio", default=1.0, min=0.1, help="Disk that may be promised for each real GiB."),
    cfg.FloatOpt("host_timeout_seconds", default=40.0, min=1, help="A host unheard of for this long is Unknown."),
]
container_opts = [
    cfg.FloatOpt("default_cpu", default=1.0, help="CPUs when the user names none."),
    cfg.IntOpt("default_memory", default=512, help="MiB when the user names none."),
    cfg.IntOpt("minimum_memory", default=6, help="Least MiB; Docker's own limit."),
    cfg.IntOpt("maximum_memory", default=1048576, help="Most MiB; a host's size is checked besides."),
    cfg.IntOpt("pids_limit", default=1024, min=16, help="Processes a container."),
    cfg.IntOpt("log_max_mib", default=10, min=1, help="Size of one log file."),
    cfg.IntOpt("log_max_files", default=3, min=1, help="Log files kept a container."),
    cfg.IntOpt("execute_timeout_seconds", default=15, min=1, help="An execute may take this long."),
    cfg.StrOpt(
        "security_profiles",
        help="YAML file of the security profiles that users may pick; default STATE_DIR/security_profiles.yaml.",
    ),
]

GROUPS: dict[str | None, Sequence[cfg.Opt]] = {
    None: [*core_opts, *log.options()],
    "api": [*api_opts, *_certificate_opts()],
    "audit": audit_opts,
    "tls": tls_opts,
    "database": database_opts,
    "identity": identity_opts,
    "network": network_opts,
    "volume": volume_opts,
    "cinder": cinder_opts,
    "image": image_opts,
    "image_policy": image_policy_opts,
    "registry": registry_opts,
    "controller": controller_opts,
    "agent": [*agent_opts, *_certificate_opts()],
    "netd": netd_opts,
    "gateway": [*gateway_opts, *_certificate_opts()],
    "grants": grants_opts,
    "notifications": notifications_opts,
    "quota": quota_opts,
    "scheduler": scheduler_opts,
    "container": container_opts,
}


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """For oslo-config-generator."""
    return [(group or "DEFAULT", opts) for group, opts in GROUPS.items()]


def load(args: Sequence[str] = (), *, state_dir: str | None = None, prog: str = "zun-lite") -> cfg.ConfigOpts:
    """The configuration, with every derived path filled in.

    state_dir: overrides; else ZUN_LITE_STATE_DIR; else what the file says.
    The file is --config-file in args, else ZUN_LITE_CONFIG, else STATE_DIR/zun_lite.conf and
    /etc/zun_lite/zun_lite.conf where they exist. Invalid: what is in them cannot be understood.
    """
    conf = empty()
    state_dir = state_dir or os.environ.get("ZUN_LITE_STATE_DIR")
    found = files(state_dir)
    try:
        conf(list(args), project="zun_lite", prog=prog, default_config_files=found, default_config_dirs=[])
    except (cfg.Error, UnicodeDecodeError) as error:
        raise config_check.unreadable(error, found) from error
    config_check.check(conf, GROUPS)
    if state_dir:
        conf.set_override("state_dir", state_dir)
    derive(conf)
    return conf


def empty() -> cfg.ConfigOpts:
    """Every option, none of them read yet."""
    conf = cfg.ConfigOpts()
    for group, opts in GROUPS.items():
        conf.register_opts(opts, group=group)
    return conf


def files(state_dir: str | None = None) -> list[str]:
    """The files that are read unless --config-file names others."""
    named = os.environ.get("ZUN_LITE_CONFIG")
    if named:
        return [named]
    state_dir = state_dir or os.environ.get("ZUN_LITE_STATE_DIR")
    usual = [] if state_dir else ["/etc/zun_lite/zun_lite.conf"]
    usual.append(f"{state_dir or DEFAULT_STATE_DIR}/zun_lite.conf")
    return [path for path in usual if os.path.exists(path)]


def derive(conf: cfg.ConfigOpts) -> None:
    """Fill what was left to be derived from state_dir, bind and port."""
    state = os.path.abspath(conf.state_dir)
    scheme = "https" if conf.api.tls_cert_file else "http"
    conf.set_default("public_url", f"{scheme}://{conf.api.bind}:{conf.api.port}", group="api")
    conf.set_default("agents", conf.agent.tls_cert_file is not None, group="tls")
    conf.set_default("connection", f"sqlite:///{state}/zun_lite.sqlite", group="database")
    for group, option, path in (
        ("api", "policy_file", "policy.yaml"),
        ("audit", "file", "log/audit.json"),
        ("identity", "key_dir", "keys/tokens"),
        ("volume", "pool_dir", "volumes"),
        ("image", "dir", "images"),
        ("registry", "key_file", "keys/registry.key"),
        ("controller", "wake_socket", "run/controller.sock"),
        ("agent", "key_file", "keys/host.key"),
        ("agent", "journal_dir", "agent"),
        ("netd", "socket", "run/netd.sock"),
        ("netd", "store_dir", "netd"),
        ("netd", "mount_dir", "mounts"),
        ("gateway", "key_file", "keys/gateway.key"),
        ("grants", "key_file", "keys/grant.key"),
        ("notifications", "webhook_key_file", "keys/webhook.key"),
        ("container", "security_profiles", "security_profiles.yaml"),
    ):
        conf.set_default(option, f"{state}/{path}", group=group)
    if state == DEFAULT_STATE_DIR and os.path.exists(POLICY_FILE) and not os.path.exists(conf.api.policy_file):
        conf.set_default("policy_file", POLICY_FILE, group="api")
    conf.set_default("host_name", os.uname().nodename, group="agent")
    conf.set_default("address", f"{conf.agent.bind}:{conf.agent.port}", group="agent")
    conf.set_default("api_url", conf.api.public_url, group="agent")
    conf.set_default("api_url", conf.api.public_url, group="gateway")
    scheme = "wss" if conf.gateway.tls_cert_file else "ws"
    conf.set_default("public_url", f"{scheme}://{conf.gateway.bind}:{conf.gateway.port}/", group="gateway")
