"""The page of the threat model has every attack, and each kind of finding has its attacks."""

from __future__ import annotations

from collections import Counter

from tests.command_line import ROOT
from tests.security.attacks import Adversary
from tests.security.table import format_table, load_attacks

PAGE = ROOT / "docs" / "security.md"
KINDS = {f"S{number}" for number in range(1, 17)}


def test_the_page_has_the_table() -> None:
    _before, _mark, rest = PAGE.read_text("utf-8").partition("<!-- attacks -->\n")
    assert rest.partition("<!-- end -->")[0].strip() == format_table(load_attacks()), (
        "python -m tests.security.table --write"
    )


def test_every_adversary_and_every_kind_has_attacks() -> None:
    attacks = load_attacks()
    assert set(Counter(one.adversary for one in attacks)) == set(Adversary)
    assert {kind for one in attacks for kind in one.kind.split() if kind} >= KINDS
