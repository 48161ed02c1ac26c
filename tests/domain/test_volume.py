"""What a provider's answer says about a volume, and what volumes are called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from gpurent.domain.evidence import LISTING_DELAY
from gpurent.domain.volume import Volume, VolumeLabel, VolumeState
from gpurent.domain.volume_evidence import apply_absence, apply_listing

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HALF_MINUTE = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
LABEL = VolumeLabel.make("0a1b2c3d4e5f6789", "data", "abcde")
OURS = Volume(
    id=LABEL.id,
    provider="acme",
    name="data",
    label=str(LABEL),
    ref="v1",
    place="SE-1",
    size=50,
    created_at=NOW - timedelta(days=1),
)
LISTED = Volume(provider="acme", label=str(LABEL), ref="v1", place="SE-1", size=50)


def test_a_label_says_whose_it_is() -> None:
    assert VolumeLabel.parse(str(LABEL)) == LABEL
    assert (LABEL.id, str(LABEL)) == ("vol-data-abcde", "gpurent-0a1b2c3d-data-abcde")
    assert LABEL.is_of("0a1b2c3d4e5f6789")
    assert not LABEL.is_of("0a1b2c3e4e5f6789")


@pytest.mark.parametrize("text", ["data", "gpurent-0a1b2c3d-abcde", "gpurent-xyz-data-abcde", f"{LABEL}\n"])
def test_what_others_wrote_is_no_label(text: str) -> None:
    assert VolumeLabel.parse(text) is None


def test_listed_it_is_there_and_found_by_its_label_before_its_reference_is_known() -> None:
    requested = evolve(OURS, ref="", state=VolumeState.REQUESTED, created_at=None, sent_at=NOW)
    seen = apply_listing(requested, [evolve(LISTED, ref="other", label="x"), LISTED], NOW)
    assert (seen.ref, seen.state, seen.created_at) == ("v1", VolumeState.READY, NOW)
    twin = evolve(LISTED, ref="v2")
    assert apply_listing(OURS, [twin], NOW).state is VolumeState.MISSING, "another one of its label is not it"


def test_absent_it_is_missing_and_never_over_by_itself() -> None:
    missing = OURS
    for hours in range(100):
        missing = apply_absence(missing, NOW + timedelta(hours=hours))
        assert (missing.state, missing.is_over) == (VolumeState.MISSING, False)
    assert apply_listing(missing, [LISTED], NOW).state is VolumeState.READY


def test_a_new_one_may_not_be_listed_yet() -> None:
    new = evolve(OURS, created_at=NOW)
    assert apply_absence(new, NOW + LISTING_DELAY - SECOND) == new
    assert apply_absence(new, NOW + LISTING_DELAY).state is VolumeState.MISSING
    requested = evolve(OURS, ref="", state=VolumeState.REQUESTED)
    assert apply_absence(requested, NOW + timedelta(days=9)) == requested


def test_after_our_request_two_answers_half_a_minute_apart_end_it() -> None:
    asked = evolve(OURS, delete_requested_at=NOW)
    once = apply_absence(asked, NOW)
    assert (once.state, once.absent_since) == (VolumeState.DELETING, NOW)
    assert apply_absence(once, NOW + HALF_MINUTE / 2).state is VolumeState.DELETING
    ended = apply_absence(once, NOW + HALF_MINUTE)
    assert (ended.is_over, ended.deleted_at) == (True, NOW)
    back = apply_listing(once, [LISTED], NOW + HALF_MINUTE)
    assert (back.state, back.absent_since) == (VolumeState.DELETING, None), "it is being deleted, and there"
