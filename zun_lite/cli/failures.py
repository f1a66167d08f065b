# SPDX-License-Identifier: Apache-2.0
"""What ends a command that cannot be carried out: one sentence, and the id by which the operator finds the request."""

from __future__ import annotations


class Failure(Exception):
    """status: what the server answered, 0 where it is not the server's."""

    def __init__(self, message: str, *, status: int = 0, request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.request_id = request_id

    def __str__(self) -> str:
        told = f" (HTTP {self.status})" if self.status else ""
        asked = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.message}{told}{asked}"


class Unreachable(Failure):
    def __init__(self, url: str, error: Exception) -> None:
        super().__init__(f"No answer from {url.split('?')[0]}: {error}.")


class Ended(Exception):
    """The command ends with this status and has said all that there is to say."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ended with {code}")
        self.code = code
