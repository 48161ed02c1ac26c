"""A small share of each family of the harness, and the harness itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.reliability.batches import Batch, BatchResult, ResultsFile, list_batches
from tests.reliability.families import FAMILIES
from tests.reliability.judge import LOSS_KINDS, judge
from tests.reliability.providers import list_testable_providers
from tests.reliability.recovery import settle
from tests.reliability.table import format_table
from tests.reliability.user_sandbox import KillPoint, open_user_sandbox

TABLES = ("What counts as lost", "Families")
SHARE = [(family.name, seed) for family in FAMILIES.values() for seed in family.seeds_in_tests]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), SHARE)
async def test_nothing_is_lost(name: str, seed: int) -> None:
    result = await FAMILIES[name].run_seed(seed)
    assert result.tried > 0
    assert not result.losses, "\n".join([*map(str, result.losses), *result.history])


async def test_a_machine_that_nobody_lists_is_seen_by_the_judge() -> None:
    """Killed after the provider made the machine; then the user's data folder is lost."""
    provider = next(provider for provider in list_testable_providers() if provider.restarts)
    async with open_user_sandbox(provider) as user:
        kill = KillPoint(kind="sql", number=1)
        assert (await user.type_command("ls", kill=kill)).was_killed
        assert (await user.type_command("rent", "-p", provider.name)).code == 0
        (state,) = user.sandbox.home.glob("state/journal.sqlite")
        state.rename(state.with_suffix(".lost"))
        losses = await judge(user)
        assert "orphan machine" in {loss.kind for loss in losses}
        state.with_suffix(".lost").rename(state)
        await settle(user)
        assert await judge(user) == []


async def test_every_point_kills() -> None:
    provider = next(provider for provider in list_testable_providers() if provider.restarts)
    async with open_user_sandbox(provider) as user:
        for kind in ("await", "sql", "http"):
            typed = await user.type_command("balance", kill=KillPoint(kind=kind, number=2))
            assert typed.was_killed, kind
            typed = await user.type_command("balance", kill=KillPoint(kind=kind, number=100_000))
            assert typed.code == 0, kind


def test_the_page_tells_every_loss_and_every_family() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    losses, families = (page.partition(f"## {title}")[2].partition("\n## ")[0] for title in TABLES)
    assert [row.split(" |")[0] for row in losses.split("\n| ")[2:]] == list(LOSS_KINDS)
    assert set(list_told_families(families)) == set(FAMILIES)


def list_told_families(text: str) -> Iterator[str]:
    """Yield the names in the first column of a table; ``R10 to R14`` are those from one to the other."""
    for row in text.split("\n| ")[2:]:
        for told in row.split(" |")[0].split(", "):
            first, _to, last = told.partition(" to ")
            numbers = range(int(first[1:]), int(last[1:]) + 1) if last else ()
            yield from (f"R{number}" for number in numbers) if last else (told,)


def test_every_member_of_a_family_is_a_test() -> None:
    for batch in list_batches(list(FAMILIES)):
        members = getattr(FAMILIES[batch.family].run_seed, "__self__", None)
        for path in getattr(members, "cases_by_path", ()):
            file, _colons, name = path.partition("::")
            assert (ROOT / file).exists(), path
            assert not name or f"def {name}(" in (ROOT / file).read_text(), path


def test_shares_are_disjoint_and_whole() -> None:
    batches = list_batches(list(FAMILIES))
    shares = [list_batches(list(FAMILIES), (number, 3)) for number in (1, 2, 3)]
    parts = [str(batch) for share in shares for batch in share]
    assert sorted(parts) == sorted(map(str, batches))
    kills = [batch for batch in batches if batch.family == "R1-await"]
    assert sum(batch.last - batch.first + 1 for batch in kills) == FAMILIES["R1-await"].seeds_per_night


def test_results_are_continued_and_shown(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path / "results")
    (first, second, *_rest) = list_batches(["R8"])
    lost = {"seed": 3, "losses": ["orphan machine: x"], "history": ["$ gpurent run"]}
    for tried in (10, 20):
        file.append(
            "c1",
            BatchResult(family="R8", first=0, last=19, tried=tried, lost=1, seconds=90.0, losses=[lost]),
        )
    file.path.write_text(file.path.read_text() + '{"commit": "c1", "fam')
    assert file.list_missing("c2", [first]) == [first]
    assert file.list_missing("c1", [first, second]) == [second]
    assert Batch(family="R8", first=0, last=19) == first
    moved = file.path.rename(tmp_path / "earlier.jsonl")
    assert ResultsFile(tmp_path / "results").read("c1") == []
    file = ResultsFile(tmp_path / "results", moved.parent)
    assert file.list_missing("c1", [first, second]) == [second], "another computer had begun"
    table = format_table(file.read("c1"))
    assert "| R8 |" in table
    assert "| 20 (9 batches are missing) | 19 | 1 | 2 min |" in table
    assert "- R8, seed 3: orphan machine: x" in table
