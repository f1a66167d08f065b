# SPDX-License-Identifier: Apache-2.0
"""What the tests of the stock commands share."""

from __future__ import annotations

from typing import Any

from tests.functional.case import ClientsTestCase

V2 = "/network/v2.0"


class CommandsTestCase(ClientsTestCase):
    network: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network("10.60.0.0/24", name="home")

    def say(self, *words: str, cloud: str = "demo", check: bool = True) -> str:
        """What a command prints, both ways."""
        done = self.clients.openstack(*words, cloud=cloud, check=check)
        return done.stdout + done.stderr

    def got(self, path: str, *, cloud: str = "demo") -> Any:
        """What Networking says of something, asked plainly."""
        return self.cloud.ask("GET", f"{V2}/{path}", cloud=cloud)

    def project(self) -> str:
        """The id of the project that has the network `home`."""
        return self.got(f"networks/{self.network}")["network"]["project_id"]

    def accepted(self, *words: str, cloud: str = "demo") -> None:
        said = self.say(*words, cloud=cloud)
        self.assertIn("has been accepted", said)

    def made(self, verb: str, *words: str, cloud: str = "demo") -> dict[str, Any]:
        """What create or run print. All that follows the image is the container's command, so -f comes first."""
        done = self.clients.openstack("appcontainer", verb, "-f", "json", *words, cloud=cloud)
        made: dict[str, Any] = done.json()
        self.addCleanup(self.delete, made["uuid"])
        return made

    def docker_state(self, uuid: str) -> dict[str, Any]:
        return self.one_in_docker(uuid)["State"]

    def record(self, uuid: str) -> dict[str, Any]:
        return self.cloud.ask("GET", f"/v1/containers/{uuid}")

    def actions(self, uuid: str) -> list[str]:
        rows = self.cloud.ask("GET", f"/v1/containers/{uuid}/container_actions")["containerActions"]
        return [row["action"] for row in rows]
