# SPDX-License-Identifier: Apache-2.0
"""/v1/networks: an administrator makes a network known, or forgets it. It is addressed by the network's own id."""

from __future__ import annotations

import falcon
import sqlalchemy as sa

from zun_lite.api import policy, versions
from zun_lite.api.container import parameters
from zun_lite.api.media import JSON, answer, is_json, read_object
from zun_lite.control.means import Means
from zun_lite.db import registered_networks
from zun_lite.db.registered_networks import RegisteredNetwork
from zun_lite.domain import errors, names

KEYS = ("name", "neutron_net_id")


class RegisteredNetworks:
    def __init__(self, means: Means) -> None:
        self._means = means

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        policy.enforce(caller, "network:create")
        if not is_json(req):
            raise falcon.HTTPUnsupportedMediaType(description=f"Send the network's description as {JSON}.")
        body = read_object(req)
        parameters.refuse_unknown(body, KEYS)
        name, ident = (_given(body.get(key), key) for key in KEYS)
        network_id = self._means.networks.resolve(caller, ident)
        made = RegisteredNetwork(names.new_id(), name, caller.project_id or "", caller.user_id, network_id)

        def work(tx: sa.Connection) -> None:
            if registered_networks.of_network(tx, network_id):
                raise errors.Conflict(f"Network {network_id} is known already.", kind="NetworkAlreadyExists")
            registered_networks.insert(tx, made)

        self._means.db.transact(work)
        answer(
            resp,
            {
                "uuid": made.uuid,
                "name": made.name,
                "project_id": made.project_id,
                "user_id": made.user_id,
                "network_id": made.neutron_net_id,
                "neutron_net_id": made.neutron_net_id,
            },
        )

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        versions.serve(req.context.minor, "Deleting a network", since=27)
        policy.enforce(req.context.caller, "network:delete")
        network_id = names.as_id(ident)
        if network_id is None or not self._means.db.transact(lambda tx: registered_networks.remove(tx, network_id)):
            raise errors.NotFound(f"Network {ident} is not known to this service.", kind="NetworkNotFound")
        resp.status = 204


def _given(value: object, key: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 255:
        raise errors.Invalid(f"{key} must be given, with 1 to 255 characters.", kind="SchemaValidationError")
    return value
