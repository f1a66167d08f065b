# SPDX-License-Identifier: Apache-2.0
"""What every container must be held to, as `docker inspect` shows it, whatever way it was made."""

from __future__ import annotations

import json
from typing import Any

from zun_lite.agent.runtime import docker_config
from zun_lite.domain.security_profile import CAPABILITIES

MIB = 1024**2
HOST_MODES = ("PidMode", "UTSMode", "UsernsMode", "CgroupParent")
LOOSE = ("Binds", "Devices", "DeviceRequests", "DeviceCgroupRules", "VolumesFrom", "PortBindings", "Links", "GroupAdd")


def loose_ends(found: dict[str, Any], *, runtime: str = "zun-lite", capabilities: tuple[str, ...] = CAPABILITIES):
    """What of an inspected container is not held as it should be; nothing, if all is well."""
    host = found["HostConfig"]
    options = host["SecurityOpt"] or []
    filters = [option.partition("=")[2] for option in options if option.startswith("seccomp=")]
    log = host["LogConfig"]["Config"]
    wanted = {
        "not privileged": not host["Privileged"],
        "only the listed capabilities": host["CapDrop"] == ["ALL"] and sorted(host["CapAdd"]) == sorted(capabilities),
        "no new privileges": "no-new-privileges" in options,
        "our seccomp filter": len(filters) == 1 and json.loads(filters[0])["defaultAction"] == "SCMP_ACT_ERRNO",
        "nothing unconfined": not any("unconfined" in option for option in options),
        "the engine's own label where it has SELinux": not any(option.startswith("label") for option in options),
        "masked paths": set(docker_config.MASKED_PATHS) <= set(host["MaskedPaths"] or ()),
        "read-only paths": set(docker_config.READ_ONLY_PATHS) <= set(host["ReadonlyPaths"] or ()),
        "bounded processes": 0 < (host["PidsLimit"] or 0) <= 1024,
        "bounded memory": 6 * MIB <= host["Memory"] == host["MemorySwap"],
        "bounded cpu": host["NanoCpus"] > 0,
        "killed when out of memory": not host["OomKillDisable"],
        "bounded log": host["LogConfig"]["Type"] == "json-file" and {"max-size", "max-file"} <= log.keys(),
        "the runtime": host.get("Runtime") == runtime,
        "no ways around": not any(host.get(name) for name in LOOSE),
        "namespaces of its own": not any(host.get(name) for name in HOST_MODES),
        "no network of the host": host["NetworkMode"] == "none" or host["NetworkMode"].startswith("container:"),
        "no memory of the host": host["IpcMode"] != "host",
        "mounts that do not spread": all(
            mount["Type"] == "bind" and mount["BindOptions"] == {"Propagation": "rprivate"}
            for mount in host.get("Mounts") or ()
        ),
    }
    return [what for what, holds in wanted.items() if not holds]
