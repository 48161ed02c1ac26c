"""What a provider's answer says about a lease: pure, so that one rule decides what ends a lease."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve

from gpurent.domain.evidence import Absent
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import OrderKind
from gpurent.locale import _

# Two good answers that lack a lease count as confirmed if they are this far apart (provider time).
CONFIRMATION_INTERVAL = timedelta(seconds=30)


def restore_last_seen(lease: Lease) -> Lease:
    """Return the lease as it was when it was last seen: what a provider is asked about."""
    if lease.state is not LeaseState.MISSING or lease.last_seen_state is None:
        return lease
    return evolve(lease, state=lease.last_seen_state)


def mark_release_requested(lease: Lease, now: datetime) -> Lease:
    """Return the lease as it is recorded before the first call that releases it; unchanged if it is already."""
    if lease.release_requested_at is not None:
        return lease
    return evolve(lease, release_requested_at=now, absent_since=None)


def mark_order_sent(lease: Lease, now: datetime) -> Lease:
    """Return the lease as it is recorded before its pending order is first sent; unchanged if it is already."""
    if lease.pending is None or lease.pending.sent_at is not None:
        return lease
    return evolve(lease, pending=evolve(lease.pending, sent_at=now))


def keep_sent_time(asked: Lease, answer: Lease) -> Lease:
    """Return the answer to a lease of which the provider did not see when its pending order was sent."""
    if answer.pending is None or asked.pending is None or answer.pending.sent_at is not None:
        return answer
    return evolve(answer, pending=evolve(answer.pending, sent_at=asked.pending.sent_at))


def apply_answer(
    before: Lease, answer: Lease | Absent, now: datetime, *, order_is_open: bool = False
) -> Lease:
    """Return the lease after an understood answer at ``now`` (provider time).

    ``order_is_open``: an order of this lease is unfinished, so that its paid time may have been extended.
    """
    if isinstance(answer, Absent):
        return apply_absence(before, answer, now, order_is_open=order_is_open)
    return complete_order(before, evolve(answer, absent_since=None, last_seen_state=None))


def complete_order(before: Lease, after: Lease) -> Lease:
    """Record the order that ``after`` no longer has pending as completed, if the provider counted it.

    A SWITCH is counted if the lease follows the new reference, a RENEW if the paid time grew, a NEW one if the lease
    has a reference. Otherwise it was cancelled.
    """
    done = before.pending
    if done is None or after.pending is not None:
        return after
    if done.key not in after.completed_orders:
        counted = {
            OrderKind.NEW: bool(after.ref),
            OrderKind.SWITCH: after.ref != before.ref,
            OrderKind.RENEW: after.expires_at != before.expires_at,
        }[done.kind]
        if not counted:
            return after
        after = evolve(after, completed_orders=(*after.completed_orders, done.key))
    return evolve(after, offer=done.offer) if done.kind is OrderKind.SWITCH and done.offer else after


def apply_absence(before: Lease, absent: Absent, now: datetime, *, order_is_open: bool = False) -> Lease:
    """Return the lease after a good answer that lacks it; it ends only by the rules of the module's constants.

    It is RELEASED after our own release, EXPIRED (or KEPT) once the end has passed that the provider stated, and GONE
    once its kept files, or a machine that is shut down free of charge, were to be deleted, each if two answers confirm
    it. Anything else is MISSING, which is no end.
    """
    noted = evolve(before, absent_since=before.absent_since or now)
    is_confirmed = before.absent_since is not None and now - before.absent_since >= CONFIRMATION_INTERVAL
    if before.is_over:
        return _end_kept_files(noted, now) if is_confirmed else noted
    if before.release_requested_at is not None:
        if not is_confirmed or before.pending is not None:
            return noted
        return _end(noted, LeaseState.RELEASED, noted.absent_since, absent.note or _("released"))
    seen = restore_last_seen(before)
    if is_confirmed and seen.is_kept_free and seen.kept_until is not None and seen.kept_until <= now:
        gone = _end(noted, LeaseState.GONE, seen.kept_until, _("its files are no longer kept"))
        return evolve(gone, kept_until=None)
    has_expired = before.expires_at is not None and before.expires_at <= now
    if is_confirmed and has_expired and before.pending is None and not order_is_open:
        return _expire(noted, absent)
    return evolve(
        noted.with_state(LeaseState.MISSING),
        last_seen_state=before.last_seen_state or before.state,
        note=absent.note or _("the provider's answer does not contain it; it may still cost money"),
    )


def _expire(lease: Lease, absent: Absent) -> Lease:
    note = absent.note or _("the rented time ran out")
    if absent.files_kept_for is None or lease.expires_at is None:
        return _end(lease, LeaseState.EXPIRED, lease.expires_at, note)
    kept = _end(lease, LeaseState.KEPT, lease.expires_at, note)
    return evolve(kept, kept_until=lease.expires_at + absent.files_kept_for)


def _end_kept_files(lease: Lease, now: datetime) -> Lease:
    if lease.state is not LeaseState.KEPT or lease.kept_until is None or lease.kept_until > now:
        return lease
    return evolve(
        lease.with_state(LeaseState.GONE, _("its files are no longer kept")),
        kept_until=None,
        absent_since=None,
    )


def _end(lease: Lease, state: LeaseState, at: datetime | None, note: str) -> Lease:
    ended = evolve(restore_last_seen(lease).with_state(state), note=note)
    return evolve(ended, endpoint=None, ended_at=at, absent_since=None, last_seen_state=None)
