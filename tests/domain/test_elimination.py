"""Which machine only one order can have created: where that is certain, and where it is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.domain.create_claim import CreateClaim
from gpurent.domain.elimination import is_only_candidate
from gpurent.domain.lease import Lease, LeaseState, PendingOrder
from gpurent.domain.offer import OrderKind
from gpurent.testing.fakes.clock import ManualClock
from tests.sample_lease import make_lease

NOW = ManualClock().now()
CLAIM = CreateClaim(refs_before=("7",), claimed_at=NOW, is_accepted=True)
OURS = evolve(make_lease(), id="ours", ref="8", started_at=NOW, claim=CLAIM, needs_proof=True)
ELSEWHERE = evolve(OURS.offer, key="another offer")
ORDER = PendingOrder(key="k", kind=OrderKind.NEW)


def list_machines(*refs: str) -> list[Lease]:
    return [evolve(OURS, id="", ref=ref, needs_proof=False, claim=None) for ref in refs]


def test_the_only_new_machine_is_ours() -> None:
    assert is_only_candidate(OURS, list_machines("7", "8"), [])


@pytest.mark.parametrize(
    "lease",
    [
        evolve(OURS, claim=None),
        evolve(OURS, claim=evolve(CLAIM, is_accepted=False)),
        evolve(OURS, ref=""),
        evolve(OURS, ref="7"),
    ],
    ids=["no claim", "not accepted", "no machine", "listed before"],
)
def test_without_an_accepted_create_nothing_is_proven(lease: Lease) -> None:
    assert not is_only_candidate(lease, list_machines("7", "8"), [])


def test_two_new_machines_prove_nothing() -> None:
    both = list_machines("8", "9")
    assert not is_only_candidate(OURS, both, [])
    assert is_only_candidate(OURS, [both[0], evolve(both[1], offer=ELSEWHERE)], []), "another offer"
    early = evolve(both[1], started_at=NOW - timedelta(hours=1))
    assert is_only_candidate(OURS, [both[0], early], []), "it ran before the order"
    assert not is_only_candidate(OURS, [both[0], evolve(both[1], started_at=None)], [])
    assert not is_only_candidate(OURS, list_machines("7"), []), "the list lacks it"


def test_another_open_order_for_the_offer_forbids_it() -> None:
    listed = list_machines("8", "9")
    proven = evolve(OURS, id="other", ref="9", needs_proof=False)
    assert is_only_candidate(OURS, listed, [proven]), "the other machine is known"
    for other in (
        evolve(proven, needs_proof=True),
        evolve(proven, ref="", state=LeaseState.PAYABLE, pending=ORDER),
    ):
        assert not is_only_candidate(OURS, list_machines("8"), [other])
        assert is_only_candidate(OURS, list_machines("8"), [evolve(other, offer=ELSEWHERE)])
