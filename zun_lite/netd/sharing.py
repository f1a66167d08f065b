# SPDX-License-Identifier: Apache-2.0
"""Several attachments of one volume on one host: one mount, which goes with the last of them. Pure."""

from __future__ import annotations

from dataclasses import replace

from zun_lite.domain import errors
from zun_lite.domain.wiring import EVERY_EPOCH, Attachment
from zun_lite.netd.store import VolumeRecord


def joined(record: VolumeRecord | None, attachment: Attachment, path: str) -> VolumeRecord:
    """The record once this attachment is among those of the volume; Conflict where it may not be."""
    own = (attachment.epoch,) if attachment.shared else ()
    if record is None or not (attachment.shared and record.attachment.shared):
        if record is not None and attachment.epoch < record.epoch:
            raise errors.Conflict(
                f"volume {attachment.volume_id} is held at epoch {record.epoch}; epoch {attachment.epoch} is over"
            )
        return VolumeRecord(attachment, path, own)
    epochs = tuple(sorted({*record.epochs, *own}))
    mount_read_only = record.attachment.read_only
    if epochs == own:
        mount_read_only = attachment.read_only
    elif mount_read_only and not attachment.read_only:
        raise errors.Conflict(
            f"volume {attachment.volume_id} is attached here for reading only; "
            "whoever writes to it must come before its readers, or after them"
        )
    newest = max(record.epoch, attachment.epoch)
    return VolumeRecord(replace(attachment, epoch=newest, read_only=mount_read_only), path, epochs)


def without(record: VolumeRecord, epoch: int) -> VolumeRecord | None:
    """The record once an attachment has ended, while others stay; None where the volume is to be detached.

    One that is not among them has ended before, or never was; EVERY_EPOCH ends them all.
    """
    left = tuple(other for other in record.epochs if other != epoch)
    if not left or epoch >= EVERY_EPOCH:
        return None
    return replace(record, attachment=replace(record.attachment, epoch=max(left)), epochs=left)
