# SPDX-License-Identifier: Apache-2.0
"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def moment():
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def text(length):
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def number():
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def document():
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "actions",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("workload_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=True),
        sa.Column("network_position", sa.Integer(), nullable=True),
        sa.Column("started_at", moment(), nullable=False),
        sa.Column("finished_at", moment(), nullable=True),
        sa.Column("message", sa.String(length=255), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("stage", sa.String(length=16), nullable=True),
        sa.Column("sifted", document(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_actions"),
    )
    op.create_index("ix_actions_request_id", "actions", ["request_id"], unique=False)
    op.create_index("ix_actions_workload_uuid", "actions", ["workload_uuid"], unique=False)

    op.create_table(
        "domains",
        sa.Column("id", text(64), nullable=False),
        sa.Column("name", text(64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("extra", document(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_domains"),
        sa.UniqueConstraint("name", name="uq_domains_name"),
    )
    op.create_table(
        "hosts",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("public_key", sa.String(length=64), nullable=False),
        sa.Column("previous_key", sa.String(length=64), nullable=True),
        sa.Column("key_made_at", moment(), nullable=False),
        sa.Column("key_wanted", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(length=255), nullable=True),
        sa.Column("forced_down", sa.Boolean(), nullable=False),
        sa.Column("report_count", sa.BigInteger(), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=True),
        sa.Column("inventory", document(), nullable=True),
        sa.Column("seen_at", moment(), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_hosts"),
        sa.UniqueConstraint("uuid", name="uq_hosts_uuid"),
        sa.UniqueConstraint("name", name="uq_hosts_name"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("project_id", text(64), nullable=False),
        sa.Column("user_id", text(64), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("body", document(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "join_tokens",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("host_name", text(255), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("expires_at", moment(), nullable=False),
        sa.Column("used_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_join_tokens"),
    )
    op.create_table(
        "qos_policies",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("default_of", sa.String(length=64), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_qos_policies"),
        sa.UniqueConstraint("uuid", name="uq_qos_policies_uuid"),
        sa.UniqueConstraint("default_of", name="uq_qos_policies_default_of"),
    )
    op.create_index("ix_qos_policies_project_id_name", "qos_policies", ["project_id", "name"], unique=False)
    op.create_table(
        "qos_limits",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("policy_uuid", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("max_kbps", sa.Integer(), nullable=False),
        sa.Column("max_burst_kbps", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["policy_uuid"], ["qos_policies.uuid"], name="fk_qos_limits_policy_uuid"),
        sa.PrimaryKeyConstraint("id", name="pk_qos_limits"),
        sa.UniqueConstraint("uuid", name="uq_qos_limits_uuid"),
        sa.UniqueConstraint("policy_uuid", "direction", name="uq_qos_limits_policy_uuid_direction"),
    )
    op.create_table(
        "networks",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("external", sa.Boolean(), nullable=False),
        sa.Column("mtu", sa.Integer(), nullable=False),
        sa.Column("vni", sa.Integer(), nullable=False),
        sa.Column("port_security", sa.Boolean(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("qos_policy", sa.String(length=36), nullable=True),
        sa.Column("zone_hints", document(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(["qos_policy"], ["qos_policies.uuid"], name="fk_networks_qos_policy"),
        sa.PrimaryKeyConstraint("id", name="pk_networks"),
        sa.UniqueConstraint("uuid", name="uq_networks_uuid"),
        sa.UniqueConstraint("vni", name="uq_networks_vni"),
    )
    op.create_index("ix_networks_qos_policy", "networks", ["qos_policy"], unique=False)
    op.create_index("ix_networks_project_id_name", "networks", ["project_id", "name"], unique=False)

    for table, key in (("quota_classes", sa.Column("name", text(255))), ("quotas", sa.Column("project_id", text(64)))):
        op.create_table(
            table,
            key,
            *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("containers", "cpu", "memory", "disk")),
            sa.PrimaryKeyConstraint(key.name, name=f"pk_{table}"),
        )
    op.create_table(
        "registered_networks",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("neutron_net_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name="pk_registered_networks"),
        sa.UniqueConstraint("neutron_net_id", name="uq_registered_networks_neutron_net_id"),
    )
    op.create_table(
        "revisions",
        sa.Column("scope", text(80), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_revisions"),
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("audit_id", text(32), nullable=False),
        sa.Column("expires_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name="pk_revoked_tokens"),
    )
    op.create_index("ix_revoked_tokens_expires_at", "revoked_tokens", ["expires_at"], unique=False)

    op.create_table(
        "roles",
        sa.Column("id", text(64), nullable=False),
        sa.Column("domain_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", document(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("domain_id", "name", name="uq_roles_domain_id_name"),
    )
    op.create_table(
        "security_groups",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("default_of", sa.String(length=64), nullable=True),
        sa.Column("workload_uuid", sa.String(length=36), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_security_groups"),
        sa.UniqueConstraint("workload_uuid", name="uq_security_groups_workload_uuid"),
        sa.UniqueConstraint("default_of", name="uq_security_groups_default_of"),
        sa.UniqueConstraint("uuid", name="uq_security_groups_uuid"),
    )
    op.create_index("ix_security_groups_project_id_name", "security_groups", ["project_id", "name"], unique=False)

    op.create_table(
        "status_events",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("workload_uuid", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("task_state", sa.String(length=32), nullable=True),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory_mib", sa.BigInteger(), nullable=False),
        sa.Column("disk_gib", sa.BigInteger(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_status_events"),
    )
    op.create_index("ix_status_events_created_at", "status_events", ["created_at"], unique=False)
    op.create_index("ix_status_events_project_id_revision", "status_events", ["project_id", "revision"], unique=False)

    op.create_table(
        "webhook_marks",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", moment(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", name="pk_webhook_marks"),
    )

    op.create_table(
        "stream_grants",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("workload_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("exec_id", sa.String(length=64), nullable=True),
        sa.Column("host_uuid", sa.String(length=36), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("locked", sa.Text(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("live_until", moment(), nullable=False),
        sa.Column("opened_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_stream_grants"),
    )
    op.create_index("ix_stream_grants_live_until", "stream_grants", ["live_until"], unique=False)
    op.create_index("ix_stream_grants_project_id", "stream_grants", ["project_id"], unique=False)
    op.create_index("ix_stream_grants_workload_uuid", "stream_grants", ["workload_uuid"], unique=False)

    op.create_table(
        "volumes",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=True),
        sa.Column("size_gib", sa.Integer(), nullable=False),
        sa.Column("wanted_gib", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("volume_type", text(255), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("fs_type", sa.String(length=16), nullable=False),
        sa.Column("formatted", sa.Boolean(), nullable=False),
        sa.Column("multiattach", sa.Boolean(), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("bootable", sa.Boolean(), nullable=False),
        sa.Column("snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("source_volid", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=36), nullable=True),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("file_wanted", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("made_for", sa.String(length=36), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_volumes"),
        sa.UniqueConstraint("uuid", name="uq_volumes_uuid"),
    )
    op.create_index("ix_volumes_host_status", "volumes", ["host", "status"], unique=False)
    op.create_index("ix_volumes_project_id_name", "volumes", ["project_id", "name"], unique=False)
    op.create_index("ix_volumes_snapshot_id", "volumes", ["snapshot_id"], unique=False)
    op.create_index("ix_volumes_source_volid", "volumes", ["source_volid"], unique=False)

    op.create_table(
        "workloads",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("image", text(255), nullable=False),
        sa.Column("registry_id", sa.String(length=36), nullable=True),
        sa.Column("spec", document(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("presence", sa.String(length=8), nullable=False),
        sa.Column("power", sa.String(length=8), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("build", sa.Integer(), nullable=False),
        sa.Column("stop_timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("reboot_run", sa.Integer(), nullable=False),
        sa.Column("signals", sa.Integer(), nullable=False),
        sa.Column("signal", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=36), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("ports_left", sa.Boolean(), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("wiring", document(), nullable=True),
        sa.Column("observed", document(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("task_state", sa.String(length=32), nullable=True),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("containers", sa.Integer(), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory_mib", sa.BigInteger(), nullable=False),
        sa.Column("disk_gib", sa.BigInteger(), nullable=False),
        sa.Column("dedicated_cpus", sa.Integer(), nullable=False),
        sa.Column("auto_remove", sa.Boolean(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workloads"),
        sa.UniqueConstraint("uuid", name="uq_workloads_uuid"),
    )
    op.create_index("ix_workloads_registry_id", "workloads", ["registry_id"], unique=False)
    op.create_index("ix_workloads_ports_left", "workloads", ["ports_left"], unique=False)
    op.create_index("ix_workloads_host", "workloads", ["host"], unique=False)
    op.create_index("ix_workloads_project_id_id", "workloads", ["project_id", "id"], unique=False)
    op.create_index("ix_workloads_project_id_name", "workloads", ["project_id", "name"], unique=False)
    op.create_index("ix_workloads_ready_presence", "workloads", ["ready", "presence"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        columns = ["project_id", "kind", "id", "uuid", "version", "host"]
        op.create_index("ix_workloads_marks", "workloads", columns, unique=False)

    op.create_table(
        "ports",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("network_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("device_id", text(255), nullable=False),
        sa.Column("device_owner", text(255), nullable=False),
        sa.Column("host", text(255), nullable=True),
        sa.Column("workload_uuid", sa.String(length=36), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("owned", sa.Boolean(), nullable=False),
        sa.Column("port_security", sa.Boolean(), nullable=False),
        sa.Column("address_pairs", document(), nullable=False),
        sa.Column("qos_policy", sa.String(length=36), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(["network_uuid"], ["networks.uuid"], name="fk_ports_network_uuid"),
        sa.ForeignKeyConstraint(["qos_policy"], ["qos_policies.uuid"], name="fk_ports_qos_policy"),
        sa.PrimaryKeyConstraint("id", name="pk_ports"),
        sa.UniqueConstraint("network_uuid", "mac", name="uq_ports_network_uuid_mac"),
        sa.UniqueConstraint("uuid", name="uq_ports_uuid"),
        sa.UniqueConstraint("workload_uuid", "position", name="uq_ports_workload_uuid_position"),
    )
    op.create_index("ix_ports_qos_policy", "ports", ["qos_policy"], unique=False)
    op.create_index("ix_ports_device_id", "ports", ["device_id"], unique=False)
    op.create_index("ix_ports_project_id_name", "ports", ["project_id", "name"], unique=False)
    op.create_index("ix_ports_host", "ports", ["host"], unique=False)
    op.create_index("ix_ports_network_uuid_project_id", "ports", ["network_uuid", "project_id"], unique=False)

    op.create_table(
        "projects",
        sa.Column("id", text(64), nullable=False),
        sa.Column("domain_id", text(64), nullable=False),
        sa.Column("parent_id", text(64), nullable=True),
        sa.Column("name", text(64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("extra", document(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name="fk_projects_domain_id"),
        sa.ForeignKeyConstraint(["parent_id"], ["projects.id"], name="fk_projects_parent_id"),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("domain_id", "name", name="uq_projects_domain_id_name"),
    )
    op.create_index("ix_projects_parent_id", "projects", ["parent_id"], unique=False)

    op.create_table(
        "subnet_pools",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("ip_version", sa.Integer(), nullable=False),
        sa.Column("prefixes", document(), nullable=False),
        sa.Column("default_prefixlen", sa.Integer(), nullable=False),
        sa.Column("min_prefixlen", sa.Integer(), nullable=False),
        sa.Column("max_prefixlen", sa.Integer(), nullable=False),
        sa.Column("default_quota", sa.Integer(), nullable=True),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("default_for", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subnet_pools"),
        sa.UniqueConstraint("uuid", name="uq_subnet_pools_uuid"),
        sa.UniqueConstraint("default_for", name="uq_subnet_pools_default_for"),
    )
    op.create_index("ix_subnet_pools_project_id_name", "subnet_pools", ["project_id", "name"], unique=False)
    op.create_table(
        "subnets",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("network_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("ip_version", sa.Integer(), nullable=False),
        sa.Column("cidr", sa.String(length=64), nullable=False),
        sa.Column("gateway_ip", sa.String(length=64), nullable=True),
        sa.Column("enable_dhcp", sa.Boolean(), nullable=False),
        sa.Column("pools", document(), nullable=False),
        sa.Column("dns", document(), nullable=False),
        sa.Column("routes", document(), nullable=False),
        sa.Column("ipv6_address_mode", sa.String(length=32), nullable=True),
        sa.Column("ipv6_ra_mode", sa.String(length=32), nullable=True),
        sa.Column("subnet_pool", sa.String(length=36), nullable=True),
        sa.Column("free_from", sa.String(length=40), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(["network_uuid"], ["networks.uuid"], name="fk_subnets_network_uuid"),
        sa.ForeignKeyConstraint(["subnet_pool"], ["subnet_pools.uuid"], name="fk_subnets_subnet_pool"),
        sa.PrimaryKeyConstraint("id", name="pk_subnets"),
        sa.UniqueConstraint("uuid", name="uq_subnets_uuid"),
    )
    op.create_index("ix_subnets_subnet_pool", "subnets", ["subnet_pool"], unique=False)
    op.create_index("ix_subnets_network_uuid", "subnets", ["network_uuid"], unique=False)
    op.create_index("ix_subnets_project_id_name", "subnets", ["project_id", "name"], unique=False)

    op.create_table(
        "users",
        sa.Column("id", text(64), nullable=False),
        sa.Column("domain_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("default_project_id", text(64), nullable=True),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("extra", document(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name="fk_users_domain_id"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("domain_id", "name", name="uq_users_domain_id_name"),
    )
    op.create_table(
        "volume_attachments",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("volume_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("workload_uuid", sa.String(length=36), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("instance", text(255), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.String(length=36), nullable=True),
        sa.Column("host_name", text(255), nullable=True),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("connector", document(), nullable=True),
        sa.Column("writer", sa.String(length=36), nullable=True),
        sa.Column("attached_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(["volume_uuid"], ["volumes.uuid"], name="fk_volume_attachments_volume_uuid"),
        sa.PrimaryKeyConstraint("id", name="pk_volume_attachments"),
        sa.UniqueConstraint("uuid", name="uq_volume_attachments_uuid"),
        sa.UniqueConstraint("workload_uuid", "position", name="uq_volume_attachments_workload_uuid_position"),
        sa.UniqueConstraint("writer", name="uq_volume_attachments_writer"),
    )
    op.create_index("ix_volume_attachments_project_id", "volume_attachments", ["project_id"], unique=False)
    op.create_index("ix_volume_attachments_volume_uuid", "volume_attachments", ["volume_uuid"], unique=False)

    op.create_table(
        "cinder_volumes",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("formatted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name="pk_cinder_volumes"),
    )
    op.create_table(
        "cinder_uses",
        sa.Column("workload_uuid", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("volume_uuid", sa.String(length=36), nullable=True),
        sa.Column("made", sa.Boolean(), nullable=False),
        sa.Column("host", sa.String(length=36), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("size_gib", sa.Integer(), nullable=False),
        sa.Column("multiattach", sa.Boolean(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("workload_uuid", "position", name="pk_cinder_uses"),
    )
    op.create_index("ix_cinder_uses_host", "cinder_uses", ["host"], unique=False)
    op.create_index("ix_cinder_uses_volume_uuid", "cinder_uses", ["volume_uuid"], unique=False)

    op.create_table(
        "volume_snapshots",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("volume_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=True),
        sa.Column("size_gib", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("host", sa.String(length=36), nullable=True),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=True),
        sa.ForeignKeyConstraint(["volume_uuid"], ["volumes.uuid"], name="fk_volume_snapshots_volume_uuid"),
        sa.PrimaryKeyConstraint("id", name="pk_volume_snapshots"),
        sa.UniqueConstraint("uuid", name="uq_volume_snapshots_uuid"),
    )
    op.create_index("ix_volume_snapshots_host_status", "volume_snapshots", ["host", "status"], unique=False)
    op.create_index("ix_volume_snapshots_project_id_name", "volume_snapshots", ["project_id", "name"], unique=False)
    op.create_index("ix_volume_snapshots_volume_uuid", "volume_snapshots", ["volume_uuid"], unique=False)

    op.create_table(
        "volume_snapshot_metadata",
        sa.Column("snapshot_uuid", sa.String(length=36), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("value", text(255), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_uuid"], ["volume_snapshots.uuid"], name="fk_volume_snapshot_metadata_snapshot_uuid"
        ),
        sa.PrimaryKeyConstraint("snapshot_uuid", "key", name="pk_volume_snapshot_metadata"),
    )
    op.create_table(
        "volume_types",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("extra_specs", document(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name="pk_volume_types"),
        sa.UniqueConstraint("name", name="uq_volume_types_name"),
    )
    op.create_table(
        "volume_type_access",
        sa.Column("type_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["type_uuid"], ["volume_types.uuid"], name="fk_volume_type_access_type_uuid"),
        sa.PrimaryKeyConstraint("type_uuid", "project_id", name="pk_volume_type_access"),
    )
    op.create_table(
        "volume_quotas",
        sa.Column("owner", text(80), nullable=False),
        sa.Column("resource", text(300), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "resource", name="pk_volume_quotas"),
    )

    op.create_table(
        "volume_metadata",
        sa.Column("volume_uuid", sa.String(length=36), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("value", text(255), nullable=False),
        sa.ForeignKeyConstraint(["volume_uuid"], ["volumes.uuid"], name="fk_volume_metadata_volume_uuid"),
        sa.PrimaryKeyConstraint("volume_uuid", "key", name="pk_volume_metadata"),
    )
    op.create_table(
        "addresses",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("network_uuid", sa.String(length=36), nullable=False),
        sa.Column("subnet_uuid", sa.String(length=36), nullable=False),
        sa.Column("port_uuid", sa.String(length=36), nullable=False),
        sa.Column(
            "ip", sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "after",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["port_uuid"], ["ports.uuid"], name="fk_addresses_port_uuid"),
        sa.ForeignKeyConstraint(["subnet_uuid"], ["subnets.uuid"], name="fk_addresses_subnet_uuid"),
        sa.PrimaryKeyConstraint("id", name="pk_addresses"),
        sa.UniqueConstraint("network_uuid", "ip", name="uq_addresses_network_uuid_ip"),
    )
    op.create_index("ix_addresses_port_uuid", "addresses", ["port_uuid"], unique=False)
    op.create_index("ix_addresses_subnet_uuid_ip", "addresses", ["subnet_uuid", "ip"], unique=False)

    op.create_table(
        "port_security_groups",
        sa.Column("port_uuid", sa.String(length=36), nullable=False),
        sa.Column("group_uuid", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["group_uuid"], ["security_groups.uuid"], name="fk_port_security_groups_group_uuid"),
        sa.ForeignKeyConstraint(["port_uuid"], ["ports.uuid"], name="fk_port_security_groups_port_uuid"),
        sa.PrimaryKeyConstraint("port_uuid", "group_uuid", name="pk_port_security_groups"),
    )
    op.create_index("ix_port_security_groups_group_uuid", "port_security_groups", ["group_uuid"], unique=False)

    op.create_table(
        "role_assignments",
        sa.Column("user_id", text(64), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("target_id", text(64), nullable=False),
        sa.Column("role_id", text(64), nullable=False),
        sa.Column("inherited", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_role_assignments_role_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_role_assignments_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "scope", "target_id", "role_id", "inherited", name="pk_role_assignments"),
    )
    op.create_index("ix_role_assignments_scope_target_id", "role_assignments", ["scope", "target_id"], unique=False)

    op.create_table(
        "user_groups",
        sa.Column("id", text(64), nullable=False),
        sa.Column("domain_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", document(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name="fk_user_groups_domain_id"),
        sa.PrimaryKeyConstraint("id", name="pk_user_groups"),
        sa.UniqueConstraint("domain_id", "name", name="uq_user_groups_domain_id_name"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", text(64), nullable=False),
        sa.Column("user_id", text(64), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["user_groups.id"], name="fk_group_members_group_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_group_members_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_group_members"),
    )
    op.create_index("ix_group_members_user_id", "group_members", ["user_id"], unique=False)

    op.create_table(
        "group_role_assignments",
        sa.Column("group_id", text(64), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("target_id", text(64), nullable=False),
        sa.Column("role_id", text(64), nullable=False),
        sa.Column("inherited", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name="fk_group_role_assignments_role_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_groups.id"], name="fk_group_role_assignments_group_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "group_id", "scope", "target_id", "role_id", "inherited", name="pk_group_role_assignments"
        ),
    )
    op.create_index(
        "ix_group_role_assignments_scope_target_id", "group_role_assignments", ["scope", "target_id"], unique=False
    )

    op.create_table(
        "implied_roles",
        sa.Column("prior_id", text(64), nullable=False),
        sa.Column("implied_id", text(64), nullable=False),
        sa.ForeignKeyConstraint(["prior_id"], ["roles.id"], name="fk_implied_roles_prior_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["implied_id"], ["roles.id"], name="fk_implied_roles_implied_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("prior_id", "implied_id", name="pk_implied_roles"),
    )
    op.create_table(
        "regions",
        sa.Column("id", text(255), nullable=False),
        sa.Column("parent_region_id", text(255), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", document(), nullable=False),
        sa.ForeignKeyConstraint(["parent_region_id"], ["regions.id"], name="fk_regions_parent_region_id"),
        sa.PrimaryKeyConstraint("id", name="pk_regions"),
    )
    op.create_table(
        "services",
        sa.Column("id", text(64), nullable=False),
        sa.Column("type", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("extra", document(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_services"),
    )
    op.create_table(
        "endpoints",
        sa.Column("id", text(64), nullable=False),
        sa.Column("service_id", text(64), nullable=False),
        sa.Column("region_id", text(255), nullable=True),
        sa.Column("interface", sa.String(length=8), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("extra", document(), nullable=False),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name="fk_endpoints_region_id"),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_endpoints_service_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_endpoints"),
    )
    op.create_index("ix_endpoints_service_id", "endpoints", ["service_id"], unique=False)

    op.create_table(
        "application_credentials",
        sa.Column("id", text(64), nullable=False),
        sa.Column("user_id", text(64), nullable=False),
        sa.Column("project_id", text(64), nullable=False),
        sa.Column("parent_id", text(64), nullable=True),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("secret_hash", sa.String(length=255), nullable=False),
        sa.Column("role_ids", document(), nullable=False),
        sa.Column("expires_at", moment(), nullable=True),
        sa.Column("unrestricted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_application_credentials_project_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_application_credentials_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_application_credentials"),
        sa.UniqueConstraint("user_id", "name", name="uq_application_credentials_user_id_name"),
    )
    op.create_index("ix_application_credentials_project_id", "application_credentials", ["project_id"], unique=False)
    op.create_index("ix_application_credentials_parent_id", "application_credentials", ["parent_id"], unique=False)

    op.create_table(
        "access_rules",
        sa.Column("id", text(64), nullable=False),
        sa.Column("user_id", text(64), nullable=False),
        sa.Column("service", text(64), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("path", text(255), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_access_rules_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_access_rules"),
    )
    op.create_index("ix_access_rules_user_id", "access_rules", ["user_id"], unique=False)

    op.create_table(
        "application_credential_rules",
        sa.Column("credential_id", text(64), nullable=False),
        sa.Column("rule_id", text(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["application_credentials.id"],
            name="fk_application_credential_rules_credential_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["rule_id"], ["access_rules.id"], name="fk_application_credential_rules_rule_id"),
        sa.PrimaryKeyConstraint("credential_id", "rule_id", name="pk_application_credential_rules"),
    )
    op.create_index(
        "ix_application_credential_rules_rule_id", "application_credential_rules", ["rule_id"], unique=False
    )

    op.create_table(
        "failed_sign_ins",
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("until", moment(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_failed_sign_ins"),
    )
    op.create_index("ix_failed_sign_ins_until", "failed_sign_ins", ["until"], unique=False)

    op.create_table(
        "host_images",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=36), nullable=False),
        sa.Column("repo", text(255), nullable=False),
        sa.Column("tag", text(255), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("image_id", sa.String(length=80), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_host_images"),
        sa.UniqueConstraint("host", "repo", "tag", name="uq_host_images_host_repo_tag"),
        sa.UniqueConstraint("uuid", name="uq_host_images_uuid"),
    )
    op.create_table(
        "images",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("container_format", sa.String(length=16), nullable=True),
        sa.Column("disk_format", sa.String(length=16), nullable=True),
        sa.Column("min_disk", sa.Integer(), nullable=False),
        sa.Column("min_ram", sa.Integer(), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("md5", sa.String(length=32), nullable=True),
        sa.Column("sha512", sa.String(length=128), nullable=True),
        sa.Column("location", sa.String(length=64), nullable=True),
        sa.Column("workload_uuid", sa.String(length=36), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint("uuid", name="uq_images_uuid"),
    )
    op.create_index("ix_images_project_id_name", "images", ["project_id", "name"], unique=False)
    op.create_index("ix_images_visibility", "images", ["visibility"], unique=False)
    op.create_index("ix_images_workload_uuid", "images", ["workload_uuid"], unique=False)

    op.create_table(
        "registries",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("domain", text(255), nullable=False),
        sa.Column("username", text(255), nullable=False),
        sa.Column("locked_password", sa.Text(), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_registries"),
        sa.UniqueConstraint("uuid", name="uq_registries_uuid"),
    )
    op.create_index("ix_registries_project_id_name", "registries", ["project_id", "name"], unique=False)

    op.create_table(
        "image_properties",
        sa.Column("image_uuid", sa.String(length=36), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_uuid"], ["images.uuid"], name="fk_image_properties_image_uuid"),
        sa.PrimaryKeyConstraint("image_uuid", "key", name="pk_image_properties"),
    )
    op.create_table(
        "image_tags",
        sa.Column("image_uuid", sa.String(length=36), nullable=False),
        sa.Column("tag", text(255), nullable=False),
        sa.ForeignKeyConstraint(["image_uuid"], ["images.uuid"], name="fk_image_tags_image_uuid"),
        sa.PrimaryKeyConstraint("image_uuid", "tag", name="pk_image_tags"),
    )

    op.create_table(
        "security_group_rules",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("group_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("ethertype", sa.String(length=4), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=True),
        sa.Column("port_min", sa.Integer(), nullable=True),
        sa.Column("port_max", sa.Integer(), nullable=True),
        sa.Column("remote_prefix", sa.String(length=64), nullable=True),
        sa.Column("remote_group", sa.String(length=36), nullable=True),
        sa.Column("meaning", sa.String(length=160), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(["group_uuid"], ["security_groups.uuid"], name="fk_security_group_rules_group_uuid"),
        sa.ForeignKeyConstraint(
            ["remote_group"], ["security_groups.uuid"], name="fk_security_group_rules_remote_group"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_security_group_rules"),
        sa.UniqueConstraint("uuid", name="uq_security_group_rules_uuid"),
        sa.UniqueConstraint("group_uuid", "meaning", name="uq_security_group_rules_group_uuid_meaning"),
    )
    op.create_index("ix_security_group_rules_project_id", "security_group_rules", ["project_id"], unique=False)
    op.create_index("ix_security_group_rules_remote_group", "security_group_rules", ["remote_group"], unique=False)

    op.create_table(
        "routers",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("enable_snat", sa.Boolean(), nullable=False),
        sa.Column("gateway_port", sa.String(length=36), nullable=True),
        sa.Column("routes", document(), nullable=False),
        sa.Column("host", sa.String(length=36), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(["gateway_port"], ["ports.uuid"], name="fk_routers_gateway_port"),
        sa.PrimaryKeyConstraint("id", name="pk_routers"),
        sa.UniqueConstraint("uuid", name="uq_routers_uuid"),
    )
    op.create_index("ix_routers_project_id_name", "routers", ["project_id", "name"], unique=False)
    op.create_index("ix_routers_host", "routers", ["host"], unique=False)

    op.create_table(
        "floating_ips",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", text(255), nullable=False),
        sa.Column("network_uuid", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("own_port", sa.String(length=36), nullable=False),
        sa.Column("fixed_port", sa.String(length=36), nullable=True),
        sa.Column("fixed_ip", sa.String(length=64), nullable=True),
        sa.Column("router_uuid", sa.String(length=36), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("updated_at", moment(), nullable=False),
        sa.ForeignKeyConstraint(["network_uuid"], ["networks.uuid"], name="fk_floating_ips_network_uuid"),
        sa.ForeignKeyConstraint(["own_port"], ["ports.uuid"], name="fk_floating_ips_own_port"),
        sa.ForeignKeyConstraint(["fixed_port"], ["ports.uuid"], name="fk_floating_ips_fixed_port"),
        sa.ForeignKeyConstraint(["router_uuid"], ["routers.uuid"], name="fk_floating_ips_router_uuid"),
        sa.PrimaryKeyConstraint("id", name="pk_floating_ips"),
        sa.UniqueConstraint("uuid", name="uq_floating_ips_uuid"),
        sa.UniqueConstraint("own_port", name="uq_floating_ips_own_port"),
        sa.UniqueConstraint("fixed_port", "fixed_ip", name="uq_floating_ips_fixed_port_fixed_ip"),
    )
    op.create_index("ix_floating_ips_project_id", "floating_ips", ["project_id"], unique=False)
    op.create_index("ix_floating_ips_router_uuid", "floating_ips", ["router_uuid"], unique=False)

    op.create_table(
        "network_quotas",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=32), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name="pk_network_quotas"),
    )
    op.create_table(
        "tags",
        sa.Column("object_uuid", sa.String(length=36), nullable=False),
        sa.Column("tag", text(255), nullable=False),
        sa.PrimaryKeyConstraint("object_uuid", "tag", name="pk_tags"),
    )
