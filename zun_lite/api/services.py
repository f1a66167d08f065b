# SPDX-License-Identifier: Apache-2.0
"""What the resources of every API are built with; made once by cmd/, passed to constructors."""

from __future__ import annotations

from dataclasses import dataclass, field

from oslo_config import cfg

from zun_lite.api.metrics import Counts
from zun_lite.control.means import Means
from zun_lite.domain.origins import with_port
from zun_lite.identity.base import IdentityProvider
from zun_lite.identity.embedded import EmbeddedIdentity


@dataclass(frozen=True)
class Services:
    """tokens: who validates tokens. identity: the embedded Keystone behind /identity, if it is that.

    grant_public_key: base64 of the key with which hosts check what the API lets them do.
    gateway_public_key: likewise of the one by which gateways are known; without it there are none.
    counts: of requests, which all workers share that are forked after this was made.
    """

    conf: cfg.ConfigOpts
    means: Means
    tokens: IdentityProvider
    grant_public_key: str
    identity: EmbeddedIdentity | None = None
    gateway_public_key: str = ""
    counts: Counts = field(default_factory=Counts)

    @property
    def public_url(self) -> str:
        """Where clients reach the API, without a slash at its end."""
        return self.conf.api.public_url.rstrip("/")

    @property
    def streams_url(self) -> str:
        """Where clients reach the gateway."""
        return with_port(self.conf.gateway.public_url)
