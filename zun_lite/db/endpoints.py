# SPDX-License-Identifier: Apache-2.0
"""The services that users find in the catalogue: services, their endpoints, and regions."""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.db.engine import Json, metadata, text_type

regions = sa.Table(
    "regions",
    metadata,
    sa.Column("id", text_type(255), primary_key=True),
    sa.Column("parent_region_id", text_type(255), sa.ForeignKey("regions.id")),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("extra", Json, nullable=False),
)

services = sa.Table(
    "services",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("type", text_type(255), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("extra", Json, nullable=False),
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column(
        "service_id", text_type(64), sa.ForeignKey("services.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("region_id", text_type(255), sa.ForeignKey("regions.id")),
    sa.Column("interface", sa.String(8), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("extra", Json, nullable=False),
)
