# SPDX-License-Identifier: Apache-2.0
"""Containers for openstacksdk: conn.container.containers() and the rest, by the SDK's vendor hook.

In clouds.yaml, beside a cloud's auth:  vendor_hook: "zun_lite.osc.sdk:add_container_service"
or in code: openstack.connect(cloud="demo", vendor_hook="zun_lite.osc.sdk:add_container_service").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from openstack import exceptions, proxy, resource, service_description
from openstack.connection import Connection

MICROVERSION = "1.40"


class Container(resource.Resource):
    """One container. Its attributes are the API's own; id is its uuid."""

    resources_key = "containers"
    base_path = "/containers"
    allow_create = True
    allow_fetch = True
    allow_commit = True
    allow_delete = True
    allow_list = True
    commit_method = "PATCH"
    _max_microversion = MICROVERSION
    _query_mapping = resource.QueryParameters(
        *("name", "image", "status", "host", "memory", "auto_remove", "task_state", "all_projects"),
        *("project_id", "user_id", "sort_key", "sort_dir"),
    )

    uuid = resource.Body("uuid", alternate_id=True)
    name = resource.Body("name")
    image = resource.Body("image")
    command = resource.Body("command", type=list)
    entrypoint = resource.Body("entrypoint", type=list)
    environment = resource.Body("environment", type=dict)
    labels = resource.Body("labels", type=dict)
    cpu = resource.Body("cpu")
    memory = resource.Body("memory")
    disk = resource.Body("disk")
    workdir = resource.Body("workdir")
    hostname = resource.Body("hostname")
    nets = resource.Body("nets", type=list)
    mounts = resource.Body("mounts", type=list)
    ports = resource.Body("ports", type=list)
    addresses = resource.Body("addresses", type=dict)
    exposed_ports = resource.Body("exposed_ports", type=dict)
    security_groups = resource.Body("security_groups", type=list)
    restart_policy = resource.Body("restart_policy", type=dict)
    healthcheck = resource.Body("healthcheck", type=dict)
    interactive = resource.Body("interactive", type=bool)
    tty = resource.Body("tty", type=bool)
    auto_remove = resource.Body("auto_remove", type=bool)
    auto_heal = resource.Body("auto_heal", type=bool)
    host = resource.Body("host")
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    status = resource.Body("status")
    status_detail = resource.Body("status_detail")
    status_reason = resource.Body("status_reason")
    task_state = resource.Body("task_state")
    created_at = resource.Body("created_at")
    updated_at = resource.Body("updated_at")


class Proxy(proxy.Proxy):
    """The container service, as conn.container."""

    def request(self, url: str, method: str, **options: Any) -> Any:
        # the SDK would write its own name of the service, application-container, which the service does not know
        options.setdefault("microversion_service_type", "container")
        return super().request(url, method, **options)

    def containers(self, **query: Any) -> Iterator[Container]:
        """All that this project has, or those that the query names, page by page."""
        return self._list(Container, **query)

    def get_container(self, container: str | Container) -> Container:
        """By id or name. NotFoundException: there is none."""
        ident = container.id if isinstance(container, Container) else container
        answer = self.get(f"/containers/{quote(ident, safe='')}", microversion=MICROVERSION)
        self._raise_for(answer)
        return Container.existing(**answer.json())

    def find_container(self, name_or_id: str, ignore_missing: bool = True) -> Container | None:
        try:
            return self.get_container(name_or_id)
        except exceptions.NotFoundException:
            if ignore_missing:
                return None
            raise

    def create_container(self, **attributes: Any) -> Container:
        """Made, not started; run_container starts it, too."""
        return self._create(Container, **attributes)

    def run_container(self, **attributes: Any) -> Container:
        return self._create(Container, base_path="/containers?run=true", **attributes)

    def update_container(self, container: str | Container, **attributes: Any) -> Container:
        return self._update(Container, container, **attributes)

    def delete_container(
        self, container: str | Container, *, stop: bool = False, force: bool = False, ignore_missing: bool = True
    ) -> None:
        ident = container.id if isinstance(container, Container) else container
        query = {key: "true" for key, wanted in (("stop", stop), ("force", force)) if wanted}
        answer = self.delete(f"/containers/{ident}", params=query, microversion=MICROVERSION)
        if not (ignore_missing and answer.status_code == 404):
            self._raise_for(answer)

    def start_container(self, container: str | Container) -> None:
        self._act(container, "start")

    def stop_container(self, container: str | Container, timeout_seconds: int = 10) -> None:
        self._act(container, "stop", timeout=timeout_seconds)

    def reboot_container(self, container: str | Container) -> None:
        self._act(container, "reboot")

    def execute_in_container(self, container: str | Container, command: str) -> tuple[str, int]:
        """Output and exit code of a short command, which is taken apart into words as a shell would."""
        said = self._act(container, "execute", command=command)
        return said["output"], said["exit_code"]

    def container_logs(self, container: str | Container, **query: Any) -> str:
        ident = container.id if isinstance(container, Container) else container
        answer = self.get(f"/containers/{ident}/logs", params=query, microversion=MICROVERSION)
        self._raise_for(answer)
        said: str = answer.json()
        return said

    def wait_for_container(
        self, container: Container, status: str = "Running", failures: tuple[str, ...] = ("Error",), wait: int = 300
    ) -> Container:
        return resource.wait_for_status(self, container, status, list(failures), 1, wait)

    def _act(self, container: str | Container, verb: str, **query: Any) -> Any:
        ident = container.id if isinstance(container, Container) else container
        answer = self.post(f"/containers/{ident}/{verb}", params=query, microversion=MICROVERSION)
        self._raise_for(answer)
        return answer.json() if answer.content else None

    @staticmethod
    def _raise_for(answer: Any) -> None:
        exceptions.raise_from_response(answer)


class ContainerService(service_description.ServiceDescription[Proxy]):
    supported_versions = {"1": Proxy}


def add_container_service(connection: Connection) -> None:
    """The vendor hook."""
    connection.add_service(ContainerService("container"))
