# SPDX-License-Identifier: Apache-2.0
"""GET and HEAD /healthcheck: whether this process can do its work, for supervisors and load balancers.

Statuses are those of oslo.middleware's healthcheck.
"""

from __future__ import annotations

import falcon
import sqlalchemy as sa

from zun_lite.db.engine import Database
from zun_lite.domain import errors


class Health:
    def __init__(self, db: Database) -> None:
        self._db = db

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._check()
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "OK"

    def on_head(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._check()
        resp.status = falcon.HTTP_204

    def _check(self) -> None:
        """Unavailable: the database does not answer."""
        try:
            with self._db.read() as tx:
                tx.execute(sa.select(1))
        except sa.exc.SQLAlchemyError as error:
            raise errors.Unavailable("The database does not answer.") from error
