# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, as situations that a caller can act on.

    ZunError
    ├── Invalid            the request cannot be right; change it                 400
    │   ├── NotUsable      a named thing exists but cannot serve (volume, port)   400
    │   ├── NoSuchImage    the image is unknown                                   400
    │   └── TooLarge       more bytes than are taken                              413
    ├── Unauthorized       who are you?                                           401
    ├── Forbidden          you may not                                            403
    │   └── OverQuota      you may, but not that much                             403
    ├── NotFound           nothing there that you can see                         404
    ├── Conflict           not now, or not besides what is there                  409
    │   ├── WrongState     the object's state forbids the action                  409
    │   ├── InUse          something else holds it                                409
    │   └── Ambiguous      several objects bear that name                         409
    ├── NotAcceptable      no such version                                        406
    ├── TooMany            so many at once are not served; end some               429
    ├── Busy               lost a race too often; try again                       503
    ├── Unavailable        a service we need does not answer                      503
    └── Failed             we tried, and the other side failed                    500

The message is one sentence that says what, which one, and what would help. `kind` names the
situation on the wire where a service's clients read one (Neutron's "type", Zun's "code").
"""

from __future__ import annotations


class ZunError(Exception):
    """Base of all; message is for the user who asked."""

    status = 500

    def __init__(self, message: str, *, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or type(self).__name__


class Invalid(ZunError):
    status = 400


class NotUsable(Invalid):
    pass


class NoSuchImage(Invalid):
    pass


class TooLarge(Invalid):
    status = 413


class Unauthorized(ZunError):
    status = 401


class Forbidden(ZunError):
    status = 403


class OverQuota(Forbidden):
    pass


class NotFound(ZunError):
    status = 404


class NotAcceptable(ZunError):
    status = 406


class Conflict(ZunError):
    status = 409


class WrongState(Conflict):
    pass


class InUse(Conflict):
    pass


class Ambiguous(Conflict):
    pass


class TooMany(ZunError):
    status = 429


class Busy(ZunError):
    status = 503


class Unavailable(ZunError):
    status = 503


class Failed(ZunError):
    status = 500
