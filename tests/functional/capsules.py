# SPDX-License-Identifier: Apache-2.0
"""What tests of capsules on a whole cloud share: templates, waiting, and looks into the containers."""

from __future__ import annotations

from typing import Any

from tests.cloud import Cloud

REQUESTS = {"requests": {"cpu": 0.1, "memory": 16}}
PATIENT = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"


def container(script: str = PATIENT, *mounts: dict[str, Any], **more: Any) -> dict[str, Any]:
    item = {"image": "demo:latest", "command": ["sh", "-c"], "args": [script], "resources": REQUESTS, **more}
    return {**item, "volumeMounts": list(mounts)} if mounts else item


def template(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    parts = {"containers": list(containers or (container(),)), **spec}
    return {"kind": "capsule", "capsuleVersion": "beta", "metadata": {"name": name}, "spec": parts}


class Capsules:
    """The capsules of a cloud's demo project, as a test handles them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def create(self, body: dict[str, Any]) -> str:
        """The uuid of a capsule that is asked for."""
        return self._cloud.ask("POST", "/v1/capsules", {"template": body})["uuid"]

    def get(self, uuid: str) -> dict[str, Any] | None:
        answer = self._cloud.call("GET", f"/v1/capsules/{uuid}")
        return None if answer.status_code == 404 else answer.json()

    def wait_status(self, uuid: str, *statuses: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.get(uuid)
            return found if found and found["status"] in statuses else None

        return self._cloud.wait(look, lambda: f"{uuid} is {' or '.join(statuses)}; it is {self.get(uuid)}")

    def running(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self.wait_status(self.create(body), "Running", "Error")
        if found["status"] != "Running":
            raise AssertionError(f"{found['name']} is in error: {found['status_reason']}")
        return found

    def delete(self, uuid: str) -> None:
        """Gone when it returns; fine to say twice."""

        def ask() -> bool:
            return self._cloud.call("DELETE", f"/v1/capsules/{uuid}").status_code in (204, 404)

        self._cloud.wait(ask, f"the delete of {uuid} is accepted")
        self._cloud.wait(lambda: self.get(uuid) is None, lambda: f"{uuid} is gone; it is {self.get(uuid)}")

    def in_docker(self, uuid: str) -> dict[str, dict[str, Any]]:
        """Docker's record of each container of the capsule by its name, that of the sandbox as zun-<uuid>."""
        return {found["Name"].lstrip("/"): found for found in self._cloud.in_docker(uuid)}

    def run(self, member: dict[str, Any], command: str) -> str:
        """What a command in one of a capsule's containers prints."""
        # not by docker-py, whose exec_start loses what comes along with the answer's head
        done = self._cloud.engine.docker("exec", f"zun-{member['uuid']}", "sh", "-c", command, check=False)
        return done.stdout + done.stderr
