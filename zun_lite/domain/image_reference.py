# SPDX-License-Identifier: Apache-2.0
"""What an image is called: Docker's own grammar, [HOST[:PORT]/]NAME[:TAG][@DIGEST], and which names are refused.

Docker takes a short name for the beginning of an image's id as well, and 127.0.0.0/8 for a registry that
needs no TLS. So hosts are told whole names only, and names whose registry is an address, or lies in
somebody's inner network, are for the operator to allow.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from zun_lite.domain import errors

DEFAULT_REGISTRY = "docker.io"
# .invalid never resolves, so nothing can be pulled from here; hosts keep images without a registry under it.
RESERVED_REGISTRY = "zun-lite.invalid"

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?", re.ASCII)
_REST = re.compile(
    rf"(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*", re.ASCII)
_INNER = frozenset(("local", "localhost", "localdomain", "internal", "intranet", "lan", "home", "corp", "private"))


@dataclass(frozen=True)
class Reference:
    """An image's name in its parts; registry is empty where none was said."""

    registry: str
    path: str
    tag: str
    digest: str

    def __str__(self) -> str:
        """The whole name, which says one thing only: registry, path, and digest or tag."""
        end = f"@{self.digest}" if self.digest else f":{self.tag or 'latest'}"
        return f"{self.repository}{end}"

    @property
    def repository(self) -> str:
        """Registry and path."""
        registry = self.registry or DEFAULT_REGISTRY
        path = f"library/{self.path}" if registry == DEFAULT_REGISTRY and "/" not in self.path else self.path
        return f"{registry}/{path}"

    def at(self, registry: str) -> Reference:
        return replace(self, registry=registry.lower())


def is_reference(text: str) -> bool:
    return _read(text) is not None


def parse(text: str) -> Reference:
    """Invalid: it is no image's name."""
    found = _read(text)
    if found is None:
        raise errors.Invalid(
            "image must be a reference like nginx:1.27 or registry.example:5000/team/app@sha256:..., "
            f"in lower case up to the tag; '{text}' is not one.",
            kind="InvalidValue",
        )
    return found


def check_registry(registry: str, allowed: Collection[str]) -> None:
    """Invalid: not a registry's HOST[:PORT], or one that users may not send a host to. allowed: by the operator."""
    host = registry.partition(":")[0].lower()
    if not _HOST.fullmatch(registry) or host == RESERVED_REGISTRY:
        raise errors.Invalid(
            f"'{registry}' is not a registry; name it by its host and port, like registry.example:5000.",
            kind="InvalidValue",
        )
    if registry.lower() not in allowed and _is_inner(host):
        raise errors.Invalid(
            f"Images from the registry '{registry}' are not allowed: it is an address or an inner name. "
            "The operator can list it under allowed_registries.",
            kind="InvalidValue",
        )


def embedded(image_uuid: str) -> str:
    """The name by which a host keeps an image of the image service."""
    return f"{RESERVED_REGISTRY}/image:{image_uuid}"


def _read(text: str) -> Reference | None:
    if len(text) > 255:
        return None
    first, slash, rest = text.partition("/")
    # Docker's rule: the first part is a host only if it has a dot or a port, or is localhost.
    is_host = slash and (first == "localhost" or "." in first or ":" in first)
    registry, name = (first, rest) if is_host else ("", text)
    found = _REST.fullmatch(name)
    if found is None or (registry and not _HOST.fullmatch(registry)):
        return None
    registry = registry.lower()
    if registry == f"index.{DEFAULT_REGISTRY}":
        registry = DEFAULT_REGISTRY
    return Reference(registry, found["path"], found["tag"] or "", found["digest"] or "")


def _is_inner(host: str) -> bool:
    """A name without a dot, one that only an inner network knows, or an address: its last label is a number."""
    last = host.rpartition(".")[2]
    return "." not in host or last in _INNER or _NUMBER.fullmatch(last) is not None
