# SPDX-License-Identifier: Apache-2.0
"""POST /v1/containers/{ident}/commit: an image of a container, known at once, made afterwards."""

from __future__ import annotations

import falcon

from zun_lite.api.container import parameters
from zun_lite.api.container.containers import find
from zun_lite.api.media import answer
from zun_lite.control import commit
from zun_lite.control.means import Means
from zun_lite.domain import errors


class Commits:
    def __init__(self, means: Means) -> None:
        self._means = means

    def on_post(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        given = parameters.of_both(req)
        parameters.refuse_unknown(given, ("repository", "tag"))
        repository, tag = parameters.text(given, "repository"), parameters.text(given, "tag") or "latest"
        if not repository:
            raise errors.Invalid("repository must be given: the name of the image to be made.", kind="InvalidValue")
        workload = find(self._means, req.context.caller, ident, "commit", {})
        answer(resp, {"uuid": commit.commit(self._means, req.context.caller, workload, repository, tag)}, 202)
