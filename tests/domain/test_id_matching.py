"""One rule for the ids of leases and trips: a beginning is enough, and two are never guessed between."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from gpurent.domain.id_matching import find_id, match_ids, suggest_id
from gpurent.errors import UsageError

IDS = ("acme-k2f7a", "acme-k3abc", "acme-lab-k2f7b", "t1129-k2f7c", "t1130-m3n4p")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("acme-k2f7a", ["acme-k2f7a"]),
        ("acme-k2", ["acme-k2f7a"]),
        ("acme-l", ["acme-lab-k2f7b"]),
        ("t1130", ["t1130-m3n4p"]),
        ("m3n", ["t1130-m3n4p"]),
        ("k2f7b", ["acme-lab-k2f7b"]),
        ("m3", []),
        ("f7a", []),
        ("", []),
        ("acme", ["acme-k2f7a", "acme-k3abc", "acme-lab-k2f7b"]),
        ("k2f7", ["acme-k2f7a", "acme-lab-k2f7b", "t1129-k2f7c"]),
    ],
)
def test_what_an_id_means(typed: str, meant: list[str]) -> None:
    assert list(match_ids(typed, IDS)) == meant


def test_an_exact_id_wins_over_a_longer_one() -> None:
    assert find_id("acme-k2", ("acme-k2f7a", "acme-k2")) == "acme-k2"


def test_the_beginning_of_one_and_the_random_end_of_another_are_two() -> None:
    with pytest.raises(UsageError, match="abc-x2, acme-abcde"):
        find_id("abc", ("abc-x2", "acme-abcde"))


def test_of_many_only_some_are_named() -> None:
    with pytest.raises(UsageError, match="…"):
        find_id("acme", (f"acme-{number:05}" for number in range(50)))


def test_a_near_miss_is_suggested() -> None:
    assert "Did you mean acme-k2f7a?" in suggest_id("acme-k2f8a", IDS, "See: gpurent ls --all")
    assert "Did you mean t1130-m3n4p?" in suggest_id("m3n5p", IDS, "")
    assert suggest_id("zzz", IDS, "See: gpurent ls --all") == "See: gpurent ls --all"


@given(st.text("abc-", max_size=6), st.lists(st.text("abc-", min_size=1, max_size=8), unique=True))
def test_two_are_never_guessed_between(typed: str, ids: list[str]) -> None:
    try:
        found = find_id(typed, ids)
    except UsageError:
        assert len(match_ids(typed, ids)) > 1
        return
    assert found is None or list(match_ids(typed, ids)) == [found]
