# SPDX-License-Identifier: Apache-2.0
"""The whole API on one screen: (path, resource, suffix of its responders or None).

Paths are in the form that paths.normalise() makes. Identity, networks, volumes and hosts' own paths
are listed where their resources are.
"""

from __future__ import annotations

from zun_lite.api import identity, image, network, node, openapi, volume
from zun_lite.api.cloud_metrics import Cloud
from zun_lite.api.container.capsules import Capsule, Capsules
from zun_lite.api.container.commits import Commits
from zun_lite.api.container.connections import Connections
from zun_lite.api.container.containers import Container, Containers
from zun_lite.api.container.documents import ContainerRoot, ContainerV1
from zun_lite.api.container.explanations import Explanations
from zun_lite.api.container.history import History
from zun_lite.api.container.hosts import AvailabilityZones, Hosts
from zun_lite.api.container.images import HostImages, ImageSearch, OneHostImage
from zun_lite.api.container.life import Life
from zun_lite.api.container.networks import RegisteredNetworks
from zun_lite.api.container.quotas import QuotaClasses, Quotas
from zun_lite.api.container.registries import OneRegistry, Registries
from zun_lite.api.container.services import HostServices
from zun_lite.api.container.streams import Streams, Terminals
from zun_lite.api.container.verbs import Verbs
from zun_lite.api.health import Health
from zun_lite.api.image.transfers import Transfers
from zun_lite.api.metrics import Metrics
from zun_lite.api.node import docker as node_docker
from zun_lite.api.node import images as node_images
from zun_lite.api.node import streams as node_streams
from zun_lite.api.policy import Policy
from zun_lite.api.services import Services
from zun_lite.api.token_cache import TokenCache
from zun_lite.api.waits import Waits
from zun_lite.common import tls

Route = tuple[str, object, str | None]
CONNECTING = ("network_list", "network_attach", "network_detach", "add_security_group", "remove_security_group")
LIFE = ("start", "stop", "reboot", "pause", "unpause", "kill", "rebuild", "resize_container", "rename")


def routes(services: Services, cache: TokenCache, rules: Policy) -> list[Route]:
    waits = Waits(services.conf.api.threads)
    cloud = _cloud_metrics(services)
    transfers = Transfers(services.conf.api.threads // 2, waits)
    return [
        ("/healthcheck", Health(services.means.db), None),
        ("/metrics", Metrics(services.counts, cloud, services.conf.api.metrics_networks), None),
        *_container(services, waits),
        *identity.resources(services, cache),
        *network.resources(services),
        *volume.resources(services),
        *image.resources(services, transfers),
        *node_docker.resources(services.means),
        *node_images.resources(services.means, transfers),
        *node.resources(services.means, services.grant_public_key, _cas(services)),
        *node_streams.resources(services, rules, waits),
    ]


def _cloud_metrics(services: Services) -> Cloud:
    conf = services.conf
    certificates = {name: conf[name].tls_cert_file for name in ("api", "gateway", "agent") if conf[name].tls_cert_file}
    return Cloud(services.means.db, services.means.clock, certificates, conf.api.host_key_days)


def _cas(services: Services) -> bytes | None:
    ca_file = services.conf.tls.ca_file
    return tls.read_cas(ca_file) if ca_file else None


def _container(services: Services, waits: Waits) -> list[Route]:
    one = "/v1/containers/{ident}"
    life = Life(services)
    verbs, history = Verbs(services.means, Terminals(services), waits), History(services.means)
    streams, connections = Streams(services, waits), Connections(services.means)
    return [
        ("/", ContainerRoot(services.public_url), None),
        ("/v1", ContainerV1(services.public_url, services.streams_url), None),
        (openapi.PATH, openapi.OpenApi(services.public_url), None),
        ("/v1/containers", Containers(services), None),
        (one, Container(services), None),
        ("/v1/capsules", Capsules(services), None),
        ("/v1/capsules/{ident}", Capsule(services), None),
        *((f"{one}/{verb}", life, verb) for verb in LIFE),
        *((f"{one}/{verb}", connections, verb) for verb in CONNECTING),
        (f"{one}/execute", verbs, "execute"),
        (f"{one}/logs", verbs, "logs"),
        (f"{one}/top", streams, "top"),
        (f"{one}/stats", streams, "stats"),
        (f"{one}/explanation", Explanations(services.means, waits), None),
        (f"{one}/get_archive", streams, "get_archive"),
        (f"{one}/put_archive", streams, "put_archive"),
        (f"{one}/attach", streams, "attach"),
        (f"{one}/resize", streams, "resize"),
        (f"{one}/execute_resize", streams, "execute_resize"),
        (f"{one}/commit", Commits(services.means), None),
        ("/v1/images", HostImages(services), None),
        ("/v1/images/{ident}", OneHostImage(services), None),
        ("/v1/images/{ident}/search", ImageSearch(services), None),
        ("/v1/registries", Registries(services), None),
        ("/v1/registries/{ident}", OneRegistry(services), None),
        (f"{one}/container_actions", history, "list"),
        (f"{one}/container_actions/{{request_id}}", history, "one"),
        *_cloud(services),
    ]


def _cloud(services: Services) -> list[Route]:
    quotas, hosts, binaries = Quotas(services.means), Hosts(services), HostServices(services.means)
    known = RegisteredNetworks(services.means)
    return [
        ("/v1/hosts", hosts, None),
        ("/v1/hosts/{ident}", hosts, "one"),
        ("/v1/services", binaries, None),
        ("/v1/services/enable", binaries, "enable"),
        ("/v1/services/disable", binaries, "disable"),
        ("/v1/services/force_down", binaries, "force_down"),
        ("/v1/availability_zones", AvailabilityZones(services), None),
        ("/v1/networks", known, None),
        ("/v1/networks/{ident}", known, "one"),
        ("/v1/quotas/{project_id}", quotas, None),
        ("/v1/quotas/{project_id}/defaults", quotas, "defaults"),
        ("/v1/quota_classes/{name}", QuotaClasses(services.means), None),
    ]
