# SPDX-License-Identifier: Apache-2.0
"""What netd can be asked, by name: the table between a request and what does it.

    hello    {}                                                → {"version", "boot_id", "plane_revision"}
    plug     {container_id, workload, epoch, endpoints, volumes} → {}
    prepare  {container_id}                                    → {"sources": {volume_id: folder}, "mount_dir"}
    wire     {container_id, pid}                               → {"interfaces": [{name, port_id, mac, addresses}]}
    unplug   {container_id}                                    → {}
    plane    {"plane": a HostPlane as JSON}                    → {"revision", "problems": [sentence]}
    stats    {container_id}                                    → {"ports": {port_id: counts}}
    attach   {an attachment's fields, path}                    → {"source": folder to bind}
    ready    {an attachment's fields, path}                    → {}
    connector {host, address}                                  → {"connector": what os-brick says of the host}
    detach   {volume_id, epoch}                                → {}
    freeze   {volume_id, path, seconds}                        → {}
    thaw     {volume_id}                                       → {"held": whether it was still until now}
    grow     {volume_id}                                       → {"grown": false: when it is next mounted}
    settle   {volume_id, path, fs_type}                        → {}
    socket   {container_id, family: 4 or 6}                    → {}, and a TCP socket of the container's namespace
    list     {}                                                → see census.py

Each may carry request_id besides: for which request it is asked, for the log.
The runtime wrapper asks prepare before a container is made and wire before its process runs.
"""

from __future__ import annotations

from typing import Any

from zun_lite.common import crash, request_ids
from zun_lite.common.request_ids import RequestIds
from zun_lite.domain import errors
from zun_lite.netd import requests
from zun_lite.netd.census import Census
from zun_lite.netd.copying import Copying
from zun_lite.netd.dataplane import Dataplane
from zun_lite.netd.reach import Reach
from zun_lite.netd.server import DESCRIPTOR
from zun_lite.netd.volumes import Volumes
from zun_lite.netd.wiring import Switchboard

Body = dict[str, Any]


class Operations:
    """Carries out one request; raises the errors of domain/errors.py."""

    def __init__(
        self,
        version: str,
        boot_id: str,
        switchboard: Switchboard,
        dataplane: Dataplane,
        volumes: Volumes,
        reach: Reach,
        copying: Copying,
        census: Census,
    ) -> None:
        self._about = {"version": version, "boot_id": boot_id}
        self._switchboard = switchboard
        self._dataplane = dataplane
        self._volumes = volumes
        self._reach = reach
        self._copying = copying
        self._census = census
        self._table = {
            "hello": self._hello,
            "plug": self._plug,
            "prepare": self._prepare,
            "wire": self._wire,
            "unplug": self._unplug,
            "plane": self._plane,
            "stats": self._stats,
            "attach": self._attach,
            "ready": self._ready,
            "connector": self._connector,
            "detach": self._detach,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "grow": self._grow,
            "settle": self._settle,
            "socket": self._socket,
            "list": self._list,
        }

    def perform(self, request: Any) -> Body:
        if not isinstance(request, dict) or not isinstance(request.get("op"), str):
            raise errors.Invalid('a request is one JSON object with the name of an operation in "op"')
        operation = self._table.get(request["op"])
        if operation is None:
            raise errors.Invalid(f"no operation {request['op'][:40]!r}; there are {', '.join(self._table)}")
        request_ids.begin(RequestIds(given=request_ids.as_given(request.get("request_id"))))
        return operation({name: value for name, value in request.items() if name not in ("op", "request_id")})

    def _hello(self, body: Body) -> Body:
        requests.nothing(body, "hello")
        return {**self._about, "plane_revision": self._dataplane.revision}

    def _plug(self, body: Body) -> Body:
        self._switchboard.plug(requests.container_record(body))
        return {}

    def _prepare(self, body: Body) -> Body:
        container_id = requests.only_container(body, "prepare")
        crash.point("netd.prepare")
        record = self._switchboard.current(container_id)
        return {
            "sources": {
                volume.attachment.volume_id: self._volumes.attach(volume.attachment, volume.path)
                for volume in record.volumes
            },
            "mount_dir": self._volumes.mount_dir,
        }

    def _wire(self, body: Body) -> Body:
        return {"interfaces": self._switchboard.wire(*requests.process(body))}

    def _unplug(self, body: Body) -> Body:
        self._switchboard.unplug(requests.only_container(body, "unplug"))
        return {}

    def _plane(self, body: Body) -> Body:
        return self._dataplane.accept(requests.plane(body))

    def _stats(self, body: Body) -> Body:
        record = self._switchboard.current(requests.only_container(body, "stats"))
        return {"ports": self._dataplane.counters(record.endpoints)}

    def _attach(self, body: Body) -> Body:
        volume = requests.volume(body)
        return {"source": self._volumes.attach(volume.attachment, volume.path)}

    def _ready(self, body: Body) -> Body:
        self._volumes.make_ready(requests.volume(body).attachment)
        return {}

    def _connector(self, body: Body) -> Body:
        return {"connector": self._reach.connector(*requests.host(body))}

    def _detach(self, body: Body) -> Body:
        self._volumes.detach(*requests.detachment(body))
        return {}

    def _freeze(self, body: Body) -> Body:
        self._copying.freeze(*requests.freezing(body))
        return {}

    def _thaw(self, body: Body) -> Body:
        return {"held": self._copying.thaw(requests.only_volume(body, "thaw"))}

    def _grow(self, body: Body) -> Body:
        return {"grown": self._copying.grow(requests.only_volume(body, "grow"))}

    def _settle(self, body: Body) -> Body:
        self._copying.settle(*requests.settling(body))
        return {}

    def _socket(self, body: Body) -> Body:
        return {DESCRIPTOR: self._switchboard.socket_in(*requests.socket_wanted(body))}

    def _list(self, body: Body) -> Body:
        requests.nothing(body, "list")
        return self._census.take()
