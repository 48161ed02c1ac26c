"""What a provider's answer says about a volume: pure, so that one rule decides what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from gpurent.domain.evidence import LISTING_DELAY
from gpurent.domain.lease_evidence import CONFIRMATION_INTERVAL
from gpurent.domain.volume import Volume, VolumeState


def apply_listed_volume(volume: Volume, listed: Volume) -> Volume:
    """Return ``volume`` as the provider's list has it."""
    is_asked = volume.delete_requested_at is not None and listed.state is VolumeState.READY
    return evolve(
        volume,
        ref=listed.ref,
        state=VolumeState.DELETING if is_asked else listed.state,
        size=listed.size,
        place=listed.place,
        price=listed.price if listed.price is not None else volume.price,
        users=listed.users,
        note=listed.note,
        created_at=listed.created_at or volume.created_at or volume.sent_at,
        absent_since=None,
    )


def apply_absence(volume: Volume, now: datetime) -> Volume:
    """Return ``volume`` after a complete answer that lacks it.

    It has ended if its deletion was requested, and an answer half a minute before lacked it too. A new one may not be
    listed yet.
    """
    since = volume.absent_since or now
    if volume.delete_requested_at is None:
        is_new = volume.created_at is not None and now - volume.created_at < LISTING_DELAY
        if volume.state is VolumeState.REQUESTED or is_new:
            return volume
        return evolve(volume, state=VolumeState.MISSING, absent_since=since)
    if now - since < CONFIRMATION_INTERVAL:
        return evolve(volume, state=VolumeState.DELETING, absent_since=since)
    return evolve(volume, state=VolumeState.DELETED, absent_since=None, deleted_at=since)


def apply_listing(volume: Volume, listed: Sequence[Volume], now: datetime) -> Volume:
    """Return ``volume`` after the complete list ``listed`` of its account, read at ``now`` (provider time)."""
    found = next((other for other in listed if volume.is_same(other)), None)
    return apply_absence(volume, now) if found is None else apply_listed_volume(volume, found)
