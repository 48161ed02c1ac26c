"""Proof of ownership by elimination: which machine only this order can have created. Pure.

It is enough to release the machine, since the account has no other that could be meant, but says nothing about the
address that the provider names for it: no password or code is sent there for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gpurent.domain.create_claim import CreateClaim
from gpurent.domain.lease import Lease

# A start that a provider lists, and the time of its answers, may be cut to whole minutes.
CLOCK_PRECISION = timedelta(minutes=1)
# Two looks that are this far apart; one alone may be a list that is not complete.
LOOK_INTERVAL = timedelta(seconds=30)


def is_only_candidate(lease: Lease, listed: Sequence[Lease], others: Sequence[Lease]) -> bool:
    """Return whether the lease's machine is the one that its accepted create must have made.

    ``listed`` is the account's whole list, over or not, ``others`` are our other leases of this provider. False as well
    if another order of ours for the same offer is open.
    """
    claim = lease.claim
    if claim is None or not claim.is_accepted or not lease.ref:
        return False
    if any(_has_open_claim(other, lease) for other in others):
        return False
    proven = {other.ref for other in others if other.ref and not other.needs_proof}
    candidates = {
        machine.ref
        for machine in listed
        if machine.ref not in proven and _may_be_created_by(machine, lease, claim)
    }
    return candidates == {lease.ref}


def _has_open_claim(other: Lease, lease: Lease) -> bool:
    is_unproven = other.needs_proof or (not other.ref and other.pending is not None)
    return is_unproven and not other.is_over and other.offer.key == lease.offer.key


def _may_be_created_by(machine: Lease, lease: Lease, claim: CreateClaim) -> bool:
    if machine.offer.key != lease.offer.key or machine.ref in claim.refs_before:
        return False
    return machine.started_at is None or machine.started_at >= claim.claimed_at - CLOCK_PRECISION
