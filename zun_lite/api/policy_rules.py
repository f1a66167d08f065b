# SPDX-License-Identifier: Apache-2.0
"""Every rule of the container and identity APIs, with what it allows by default and where it is asked.

A rule that is not listed here denies, and a route of the container API without a rule here keeps the
API from starting. oslopolicy-sample-generator and its kin read list_rules().
"""

from __future__ import annotations

from oslo_policy.policy import DocumentedRuleDefault, Operation, RuleDefault

from zun_lite.api import policy_identity

OWNER = "is_admin:True or project_id:%(project_id)s"
# as OWNER, but for who may only look
CHANGER = "is_admin:True or (project_id:%(project_id)s and not rule:only_reader)"
ADMIN = "rule:context_is_admin"
ROLE = "role:admin"
NOBODY = "!"

_ONE = "/v1/containers/{container}"

_BASE = (
    ("context_is_admin", ROLE, "Who is an administrator: sees and does what only administrators may."),
    ("admin_or_owner", OWNER, "An administrator, or a member of the project that owns the object."),
    ("only_reader", "role:reader and not role:member", "Who may look at a project's objects and change none."),
    ("admin_api", ROLE, "Administrators; for rules of an operator's own to refer to."),
    ("deny_everybody", NOBODY, "Nobody. Rules that are not known at all are judged by it."),
)

# name, default, what it allows, where
_CONTAINERS = (
    ("container:create", CHANGER, "Create a container.", "POST /v1/containers"),
    ("container:create:runtime", ADMIN, "Name the runtime of a new container.", "POST /v1/containers"),
    ("container:create:privileged", NOBODY, "Ask for a privileged container.", "POST /v1/containers"),
    ("container:create:requested_destination", ADMIN, "Name the host of a new container.", "POST /v1/containers"),
    ("container:create:image_pull_policy", ADMIN, "Name the pull policy of a new container.", "POST /v1/containers"),
    (
        "container:create:security_profile",
        CHANGER,
        "Pick one of the operator's security profiles.",
        "POST /v1/containers; POST /v1/capsules",
    ),
    ("container:delete", CHANGER, "Delete a container.", f"DELETE {_ONE}"),
    ("container:delete_all_projects", ADMIN, "Delete a container of any project.", f"DELETE {_ONE}"),
    ("container:delete_force", ADMIN, "Delete a container by force.", f"DELETE {_ONE}"),
    ("container:get_one", OWNER, "Show a container.", f"GET {_ONE}"),
    ("container:get_one_all_projects", ADMIN, "Show a container of any project.", f"GET {_ONE}"),
    ("container:get_one:host", ADMIN, "See and filter by the host of containers.", f"GET {_ONE}; GET /v1/containers"),
    (
        "container:get_one:image_pull_policy",
        ADMIN,
        "See the pull policy of containers.",
        f"GET {_ONE}; GET /v1/containers",
    ),
    (
        "container:get_one:privileged",
        ADMIN,
        "See whether containers are privileged.",
        f"GET {_ONE}; GET /v1/containers",
    ),
    ("container:get_one:runtime", ADMIN, "See the runtime of containers.", f"GET {_ONE}; GET /v1/containers"),
    ("container:get_all", OWNER, "List a project's containers.", "GET /v1/containers"),
    ("container:get_all_all_projects", ADMIN, "List the containers of all projects.", "GET /v1/containers"),
    ("container:update", CHANGER, "Change a container's name, size or healing.", f"PATCH {_ONE}"),
    ("container:start", CHANGER, "Start a container.", f"POST {_ONE}/start"),
    ("container:stop", CHANGER, "Stop a container.", f"POST {_ONE}/stop"),
    ("container:reboot", CHANGER, "Restart a container.", f"POST {_ONE}/reboot"),
    ("container:pause", CHANGER, "Pause a container.", f"POST {_ONE}/pause"),
    ("container:unpause", CHANGER, "Let a paused container go on.", f"POST {_ONE}/unpause"),
    ("container:kill", CHANGER, "Send a container a signal.", f"POST {_ONE}/kill"),
    ("container:rebuild", CHANGER, "Make a container anew from an image.", f"POST {_ONE}/rebuild"),
    ("container:rename", CHANGER, "Give a container another name.", f"POST {_ONE}/rename"),
    ("container:resize_container", CHANGER, "Change what a container may use.", f"POST {_ONE}/resize_container"),
    ("container:logs", OWNER, "Read a container's output.", f"GET {_ONE}/logs"),
    ("container:execute", CHANGER, "Run a command in a container.", f"POST {_ONE}/execute"),
    ("container:execute_resize", CHANGER, "Resize the terminal of such a command.", f"POST {_ONE}/execute_resize"),
    ("container:attach", CHANGER, "Attach to a container's main process.", f"GET {_ONE}/attach"),
    ("container:resize", CHANGER, "Resize the terminal of a main process.", f"POST {_ONE}/resize"),
    ("container:top", OWNER, "List a container's processes.", f"GET {_ONE}/top"),
    ("container:stats", OWNER, "See what a container uses.", f"GET {_ONE}/stats"),
    ("container:explain", OWNER, "Read why a container is as it is.", f"GET {_ONE}/explanation"),
    ("container:explain:hosts", ADMIN, "See there which hosts could not take it, and why.", f"GET {_ONE}/explanation"),
    ("container:get_archive", OWNER, "Read files of a container.", f"GET {_ONE}/get_archive"),
    ("container:port_forward", CHANGER, "Reach a TCP port of a container.", f"GET {_ONE}/port-forward"),
    ("container:put_archive", CHANGER, "Write files of a container.", f"POST {_ONE}/put_archive"),
    ("container:commit", CHANGER, "Make an image of a container.", f"POST {_ONE}/commit"),
    ("container:add_security_group", CHANGER, "Give a container a security group.", f"POST {_ONE}/add_security_group"),
    (
        "container:remove_security_group",
        CHANGER,
        "Take a security group from a container.",
        f"POST {_ONE}/remove_security_group",
    ),
    ("container:network_list", OWNER, "List a container's networks.", f"GET {_ONE}/network_list"),
    ("container:network_attach", CHANGER, "Join a container to a network.", f"POST {_ONE}/network_attach"),
    ("container:network_detach", CHANGER, "Take a container off a network.", f"POST {_ONE}/network_detach"),
    (
        "container:actions",
        OWNER,
        "Read what was asked of a container.",
        f"GET {_ONE}/container_actions; GET {_ONE}/container_actions/{{request}}",
    ),
    (
        "container:action:events",
        ADMIN,
        "See why an action failed, within.",
        f"GET {_ONE}/container_actions/{{request}}",
    ),
)
_CAPSULES = (
    ("capsule:create", CHANGER, "Create a capsule.", "POST /v1/capsules"),
    ("capsule:delete", CHANGER, "Delete a capsule.", "DELETE /v1/capsules/{capsule}"),
    ("capsule:delete_all_projects", ADMIN, "Delete a capsule of any project.", "DELETE /v1/capsules/{capsule}"),
    ("capsule:get", OWNER, "Show a capsule.", "GET /v1/capsules/{capsule}"),
    ("capsule:get_one_all_projects", ADMIN, "Show a capsule of any project.", "GET /v1/capsules/{capsule}"),
    ("capsule:get:host", ADMIN, "See the host of capsules.", "GET /v1/capsules/{capsule}; GET /v1/capsules"),
    ("capsule:get_all", OWNER, "List a project's capsules.", "GET /v1/capsules"),
    ("capsule:get_all_all_projects", ADMIN, "List the capsules of all projects.", "GET /v1/capsules"),
)
_IMAGES = (
    ("image:pull", ADMIN, "Have a host pull an image.", "POST /v1/images"),
    ("image:get_all", ADMIN, "List the images of hosts.", "GET /v1/images"),
    ("image:get_one", ADMIN, "Show an image of a host.", "GET /v1/images/{image}"),
    ("image:delete", ADMIN, "Remove an image from a host.", "DELETE /v1/images/{image}"),
    ("image:search", OWNER, "Search for an image.", "GET /v1/images/{image}/search"),
)
_CLOUD = (
    ("host:get_all", ADMIN, "List hosts.", "GET /v1/hosts"),
    ("host:get", ADMIN, "Show a host.", "GET /v1/hosts/{host}"),
    ("zun-service:get_all", ADMIN, "List services.", "GET /v1/services"),
    ("zun-service:delete", ADMIN, "Forget a service.", "DELETE /v1/services"),
    ("zun-service:enable", ADMIN, "Let a service get work.", "PUT /v1/services/enable"),
    ("zun-service:disable", ADMIN, "Keep new work from a service.", "PUT /v1/services/disable"),
    ("zun-service:force_down", ADMIN, "Say that a service is down.", "PUT /v1/services/force_down"),
    ("network:create", ROLE, "Make a network known.", "POST /v1/networks"),
    ("network:delete", ROLE, "Forget a network.", "DELETE /v1/networks/{network}"),
    (
        "network:attach_external_network",
        ROLE,
        "Join a container to an external network that is not shared.",
        f"POST /v1/containers; POST {_ONE}/network_attach",
    ),
    ("availability_zones:get_all", OWNER, "List availability zones.", "GET /v1/availability_zones"),
)
_EMBEDDED = (
    (
        "embedded:change",
        "not rule:only_reader",
        "Change anything of the embedded networks, volumes and images.",
        "POST /network/v2.0; PUT /network/v2.0; DELETE /network/v2.0; POST /volume/v3; PUT /volume/v3; "
        "DELETE /volume/v3; POST /image/v2; PUT /image/v2; PATCH /image/v2; DELETE /image/v2",
    ),
)
_QUOTAS = (
    ("quota:get", OWNER, "Show a project's quota.", "GET /v1/quotas/{project}"),
    ("quota:get_default", OWNER, "Show the quota of a project without its own.", "GET /v1/quotas/{project}/defaults"),
    ("quota:update", ADMIN, "Set a project's quota.", "PUT /v1/quotas/{project}"),
    ("quota:delete", ADMIN, "Reset a project's quota.", "DELETE /v1/quotas/{project}"),
    ("quota_class:get", ADMIN, "Show a quota class.", "GET /v1/quota_classes/{class}"),
    ("quota_class:update", ADMIN, "Set a quota class.", "PUT /v1/quota_classes/{class}"),
)
_REGISTRIES = (
    ("registry:create", CHANGER, "Make a registry known.", "POST /v1/registries"),
    ("registry:delete", CHANGER, "Forget a registry.", "DELETE /v1/registries/{registry}"),
    ("registry:get_one", OWNER, "Show a registry.", "GET /v1/registries/{registry}"),
    ("registry:get_all", OWNER, "List a project's registries.", "GET /v1/registries"),
    ("registry:get_all_all_projects", ADMIN, "List the registries of all projects.", "GET /v1/registries"),
    ("registry:update", CHANGER, "Change a registry.", "PATCH /v1/registries/{registry}"),
)
_DOCUMENTED = (*_CONTAINERS, *_CAPSULES, *_IMAGES, *_CLOUD, *_EMBEDDED, *_QUOTAS, *_REGISTRIES, *policy_identity.RULES)


def list_rules() -> list[RuleDefault]:
    """All rules, as oslo.policy registers and documents them."""
    base: list[RuleDefault] = [
        RuleDefault(name, check, description) for name, check, description in (*_BASE, *policy_identity.BASE)
    ]
    return base + [
        DocumentedRuleDefault(name, check, description, [_operation(item) for item in where.split("; ")])
        for name, check, description, where in _DOCUMENTED
    ]


def _operation(text: str) -> Operation:
    method, path = text.split(" ")
    return {"path": path, "method": method}
