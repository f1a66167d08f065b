# SPDX-License-Identifier: Apache-2.0
"""What the control plane works with, built once by each program and passed in."""

from __future__ import annotations

from dataclasses import dataclass

from zun_lite.client.agents import AgentsClient
from zun_lite.common.clock import Clock
from zun_lite.common.secrets import SecretBox
from zun_lite.common.wake import Waker
from zun_lite.db.engine import Database
from zun_lite.domain.image_policy import ImagePolicy
from zun_lite.domain.resources import Limits, Ratios
from zun_lite.image.base import ImageProvider
from zun_lite.network.base import NetworkProvider
from zun_lite.network.quotas import NetworkQuotas
from zun_lite.volume.base import VolumeProvider
from zun_lite.volume.quotas import VolumeQuotas


@dataclass(frozen=True)
class KeyAges:
    """After how long a host's key is to be exchanged for another, and after how long without that it is no key."""

    exchange_seconds: float = 86400.0
    end_seconds: float = 30 * 86400.0


@dataclass(frozen=True)
class Means:
    """limits: the quota of a project without its own. ratios: how much a host may promise.

    secrets: locks what users entrust. allowed_registries: those besides public ones that users may name.
    docker_networks: those that hosts may show their own Docker, NETWORK_ID or NETWORK_ID@HOST_NAME.
    image_policy: which images the operator allows.
    """

    db: Database
    networks: NetworkProvider
    volumes: VolumeProvider
    images: ImageProvider
    secrets: SecretBox
    agents: AgentsClient
    waker: Waker
    clock: Clock
    limits: Limits = Limits()
    ratios: Ratios = Ratios()
    host_timeout_seconds: float = 40.0
    execute_timeout_seconds: int = 15
    allowed_registries: frozenset[str] = frozenset()
    network_quotas: NetworkQuotas = NetworkQuotas()
    image_policy: ImagePolicy = ImagePolicy()
    volume_quotas: VolumeQuotas = VolumeQuotas()
    docker_networks: frozenset[str] = frozenset()
    key_ages: KeyAges = KeyAges()
