# SPDX-License-Identifier: Apache-2.0
"""Builds what the control plane works with from the configuration, for every program that needs it."""

from __future__ import annotations

import logging

import sqlalchemy as sa
from oslo_config import cfg

from zun_lite.client.agents import AgentsClient
from zun_lite.cmd import begin
from zun_lite.common import grants
from zun_lite.common.clock import Clock
from zun_lite.common.secrets import SecretBox
from zun_lite.common.wake import Waker
from zun_lite.control.means import KeyAges, Means
from zun_lite.db import version
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.domain.image_policy import ImagePolicy
from zun_lite.domain.resources import Limits, Ratios
from zun_lite.image.embedded import EmbeddedImages
from zun_lite.network.embedded import EmbeddedNetworks
from zun_lite.network.quotas import NetworkQuotas
from zun_lite.volume.base import VolumeProvider
from zun_lite.volume.embedded import EmbeddedVolumes
from zun_lite.volume.quotas import VolumeQuotas

LOG = logging.getLogger(__name__)


def build_means(conf: cfg.ConfigOpts) -> Means:
    """Connects to nothing yet, so that it may be called before a fork."""
    clock = Clock()
    db = Database(conf.database.connection)
    quotas, of_volumes = network_quotas(conf), volume_quotas(conf)
    secrets = SecretBox(conf.registry.key_file)
    return Means(
        db=db,
        networks=EmbeddedNetworks(db, quotas),
        volumes=_volumes(conf, db, secrets, of_volumes),
        images=EmbeddedImages(db, conf.image.dir, conf.image.max_size_gib, conf.image.project_gib),
        secrets=secrets,
        agents=AgentsClient(
            grants.make_key(conf.grants.key_file), clock, tls=conf.tls.agents, ca_file=conf.tls.ca_file
        ),
        waker=Waker(conf.controller.wake_socket),
        clock=clock,
        limits=Limits(conf.quota.containers, conf.quota.cpu, conf.quota.memory, conf.quota.disk),
        ratios=Ratios(conf.scheduler.cpu_ratio, conf.scheduler.memory_ratio, conf.scheduler.disk_ratio),
        host_timeout_seconds=conf.scheduler.host_timeout_seconds,
        execute_timeout_seconds=conf.container.execute_timeout_seconds,
        allowed_registries=frozenset(name.lower() for name in conf.image.allowed_registries),
        network_quotas=quotas,
        volume_quotas=of_volumes,
        docker_networks=frozenset(conf.network.docker_networks),
        key_ages=KeyAges(conf.api.host_key_hours * 3600, conf.api.host_key_days * 86400),
        image_policy=ImagePolicy(
            tuple(conf.image_policy.allowed), conf.image_policy.require_digest, conf.image_policy.image_service
        ),
    )


def usable_means(conf: cfg.ConfigOpts) -> Means:
    """The same for a command, whose database is there. Invalid, Unavailable, Conflict: it cannot be used."""
    means = build_means(conf)
    means.db.reach()
    version.check(means.db)
    return means


def check_schema(program: str, db: Database) -> None:
    """End the process where the database is another version's; one that does not answer yet is waited for."""
    try:
        version.check(db)
    except (errors.Conflict, errors.Invalid) as error:
        begin.refuse(program, error)
    except sa.exc.SQLAlchemyError as error:
        LOG.warning("the database at %s does not answer yet: %s", db.name, error)
    finally:
        # Before a fork nothing may be connected.
        db.close()


def _volumes(conf: cfg.ConfigOpts, db: Database, secrets: SecretBox, quotas: VolumeQuotas) -> VolumeProvider:
    if conf.volume.provider == "embedded":
        return EmbeddedVolumes(db, quotas)
    # the library behind it is large, and of no use to most
    from zun_lite.volume import cinder, cinder_api

    return cinder.CinderVolumes(db, cinder_api.CinderApi(conf.cinder), secrets, conf.cinder.wait_seconds)


def network_quotas(conf: cfg.ConfigOpts) -> NetworkQuotas:
    """What a project may have of networking objects when nothing is set for it."""
    return NetworkQuotas(
        {
            "network": conf.network.quota_networks,
            "subnet": conf.network.quota_subnets,
            "subnetpool": conf.network.quota_subnet_pools,
            "port": conf.network.quota_ports,
            "router": conf.network.quota_routers,
            "floatingip": conf.network.quota_floating_ips,
            "security_group": conf.network.quota_security_groups,
            "security_group_rule": conf.network.quota_security_group_rules,
        }
    )


def volume_quotas(conf: cfg.ConfigOpts) -> VolumeQuotas:
    """What a project may have of volumes and snapshots when nothing is set for it."""
    return VolumeQuotas(
        {
            "volumes": conf.volume.quota_volumes,
            "gigabytes": conf.volume.quota_gigabytes,
            "snapshots": conf.volume.quota_snapshots,
            "per_volume_gigabytes": conf.volume.quota_per_volume_gigabytes,
        }
    )
