"""The tables of roots are true: each can still be put back into the sources, and names what is to catch it."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.reliability.families import FAMILIES
from tests.roots.__main__ import FAMILY_ROOTS, ROOTS, TESTED_ROOTS, find_catch, find_failing_tests
from tests.roots.root import Edit, Root, RootOutdated, TestedRoot

LOSSES = [f"A{number}" for number in range(1, 30)]
FINDINGS = [f"S{number}" for number in range(1, 17)]
MACHINES = [f"B{number}" for number in range(1, 15)]
SYSTEMS = [*(f"W{number}" for number in range(1, 9)), "M1", "M2"]
PAGE = ROOT / "docs" / "reliability.md"
CONTRACTS = ROOT / "core" / "gpurent" / "testing" / "contracts"


def list_functions(path: Path) -> set[str]:
    """Return the names of all functions in the file, those of classes too."""
    return {getattr(node, "name", "") for node in ast.walk(ast.parse(path.read_text("utf-8")))}


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_every_root_can_be_put_back(root: Root) -> None:
    for path, text in root.edit_sources().items():
        assert text != path.read_text("utf-8")
        compile(text, str(path), "exec")


def test_what_is_to_catch_a_root_exists() -> None:
    for family_root in FAMILY_ROOTS:
        assert family_root.family in FAMILIES
        assert family_root.seeds
    inherited = {name for path in CONTRACTS.rglob("*.py") for name in list_functions(path)}
    for name in dict.fromkeys(test for root in TESTED_ROOTS for test in root.tests):
        path, *names = name.partition("[")[0].split("::")
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        assert names[0] in {getattr(node, "name", "") for node in tree.body}, name
        assert names[-1] in inherited or len(names) == 1, f"{name} is no test of a contract"


def test_names_are_unique() -> None:
    assert max(Counter(root.name for root in ROOTS).values()) == 1


def test_every_kind_of_loss_every_finding_and_every_fault_of_a_machine_has_a_root() -> None:
    assert {root.kind for root in ROOTS} >= {*LOSSES, *FINDINGS, *MACHINES, *SYSTEMS}
    assert all(root.tests for root in TESTED_ROOTS)


def list_told_rows(columns: str) -> list[list[str]]:
    """Return the cells of the rows of the page's table with these ``columns``, without its head."""
    table = PAGE.read_text("utf-8").partition(f"| {columns} |\n")[2].partition("\n\n")[0]
    return [row.strip("| ").split(" | ") for row in table.splitlines()[1:]]


def test_the_page_tells_every_kind_of_loss_and_every_root() -> None:
    assert [kind for kind, _what in list_told_rows("kind | what was lost")] == LOSSES
    told = list_told_rows(
        "root | kind | what is put back | to be caught by | caught by | what was found | time"
    )
    assert sorted((name, kind, summary) for name, kind, summary, *_rest in told) == sorted(
        (root.name, root.kind, root.summary) for root in ROOTS if root.kind in LOSSES
    )


@pytest.mark.parametrize("text", ["y = 1\n", "x = 1\nx = 1\n"])
def test_an_edit_whose_text_is_not_there_once_is_an_error(text: str) -> None:
    with pytest.raises(RootOutdated, match=r"core/x\.py"):
        Edit("core/x.py", "x = 1", "x = 2").put_back(text)


def make_root(faulty: str, test: str) -> TestedRoot:
    edit = Edit("core/gpurent/domain/tightening.py", "return min(given, own)", faulty)
    return TestedRoot(name="x", kind="S1", summary="x", edits=(edit,), tests=(test,))


@pytest.mark.nightly
def test_a_root_is_caught_in_a_copy_alone() -> None:
    root = next(root for root in FAMILY_ROOTS if root.name == "sold-out-trip-stays-open")
    before = {path: path.read_text("utf-8") for path in root.edit_sources()}
    assert find_catch(root).where in map(str, root.seeds)
    assert {path: path.read_text("utf-8") for path in before} == before


@pytest.mark.nightly
def test_only_a_test_that_fails_catches_a_root() -> None:
    test = "tests/security/test_project_limits.py::test_a_project_file_loosens_no_guard"
    assert find_catch(make_root("return given", test)).where == "test_a_project_file_loosens_no_guard"
    assert not find_catch(make_root("return min(own, given)", test)).where, "it is no fault"
    assert not find_catch(make_root("return min(own, given", test)).where, "nothing can be imported"
    assert find_failing_tests([make_root("", test)]) == ""
    missing = make_root("", "tests/security/test_project_limits.py::no_such")
    assert "no tests ran" in find_failing_tests([missing])
