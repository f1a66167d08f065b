# SPDX-License-Identifier: Apache-2.0
"""Which image a container is made of: what its user wrote becomes the one name by which hosts know it.

The name is found with the caller's rights, once, when the container is asked for or rebuilt.
"""

from __future__ import annotations

from dataclasses import replace

from zun_lite.control import registries
from zun_lite.control.means import Means
from zun_lite.domain import errors, image_reference
from zun_lite.domain.caller import Caller
from zun_lite.domain.spec import ContainerSpec

DOCKER, GLANCE = "docker", "glance"


def name_image(means: Means, caller: Caller, spec: ContainerSpec) -> ContainerSpec:
    """The spec with its image_reference (and image_id) as image, image_driver and registry_id mean them now.

    Invalid: no image's name, or its registry is not allowed. NoSuchImage, NotUsable, Ambiguous: the image
    service has no such image for this caller.
    """
    if spec.image_driver == GLANCE:
        if spec.registry_id is not None:
            raise errors.Invalid("An image of the image service comes by no registry; leave registry out.")
        means.image_policy.check_image_service()
        image_id = means.images.resolve(caller, spec.image)
        return replace(spec, image_id=image_id, image_reference=image_reference.embedded(image_id))
    reference = image_reference.parse(spec.image)
    if spec.registry_id is not None:
        domain = registries.find(means, caller, spec.registry_id, anywhere=caller.is_admin).domain
        if reference.registry not in ("", domain):
            raise errors.Invalid(
                f"Image {spec.image} lies in {reference.registry}, but the registry named is that of {domain}; "
                "its login is for no other."
            )
        reference = reference.at(domain)
    elif reference.registry:
        image_reference.check_registry(reference.registry, means.allowed_registries)
    means.image_policy.check(reference)
    return replace(spec, image_id=None, image_reference=str(reference))


def check_policy(means: Means, spec: ContainerSpec) -> None:
    """Invalid: the image that a container is made of is not allowed, now."""
    if spec.image_id is not None:
        means.image_policy.check_image_service()
    else:
        means.image_policy.check(image_reference.parse(spec.reference))
