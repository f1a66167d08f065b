# SPDX-License-Identifier: Apache-2.0
"""Which images an operator lets users make containers of, by their whole names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from zun_lite.domain import errors
from zun_lite.domain.image_reference import Reference


@dataclass(frozen=True)
class ImagePolicy:
    """allowed: patterns of REGISTRY/REPOSITORY in which * stands for any text, slashes too; none: all are.

    require_digest: only what is named by its digest. image_service: whether images of the image service are
    allowed, which are known by their checksums and carry no signatures.
    """

    allowed: tuple[str, ...] = ()
    require_digest: bool = False
    image_service: bool = True

    def check(self, reference: Reference) -> None:
        """Invalid: an image of a registry that is not allowed, and why."""
        if self.allowed and not matches(reference, self.allowed):
            raise errors.Invalid(
                f"Images from {reference.repository} are not allowed in this cloud; "
                f"these are: {', '.join(sorted(self.allowed))}.",
                kind="InvalidValue",
            )
        if self.require_digest and not reference.digest.startswith("sha256:"):
            raise errors.Invalid(
                f"This cloud takes images by their digest only, like {reference.repository}@sha256:..., "
                "so that what is run cannot change.",
                kind="InvalidValue",
            )

    def check_image_service(self) -> None:
        """Invalid: images of the image service are not allowed."""
        if not self.image_service:
            raise errors.Invalid("Images of the image service are not allowed in this cloud.", kind="InvalidValue")


def matches(reference: Reference, patterns: Collection[str]) -> bool:
    """Whether the repository is one of these."""
    return any(fnmatchcase(reference.repository, pattern) for pattern in patterns)
