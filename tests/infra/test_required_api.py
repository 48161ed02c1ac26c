"""A plugin that needs another version of the API is named, with what to type; a former name works for one version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpurent import api
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.infra.registry.required_api import find_api_problem
from gpurent.roles.entries import SessionEntry
from tests.infra.test_registry import GOOD_SOURCE, install_distribution, list_problems, site_packages

__all__ = ["site_packages"]
ROOT = Path(__file__).parents[2]
MAJOR, MINOR = api.API_VERSION


@pytest.mark.parametrize(
    ("required", "here", "package"),
    [
        (None, (1, 4), ""),
        ((1, 0), (1, 0), ""),
        ((1, 2), (1, 4), ""),
        ((1, 5), (1, 4), "gpurent"),
        ((2, 0), (1, 4), "gpurent"),
        ((1, 9), (2, 0), "acme"),
    ],
)
def test_the_same_major_version_and_no_later_minor_one(
    required: object, here: tuple[int, int], package: str
) -> None:
    problem = find_api_problem(required, "acme", here)
    if not package:
        assert problem == ""
        return
    assert isinstance(required, tuple)
    assert f"needs version {required[0]}.{required[1]} of gpurent.api" in problem
    assert f"has {here[0]}.{here[1]}." in problem
    assert problem.endswith(f"pip install --upgrade {package}")


@pytest.mark.parametrize("required", ["1.0", 1, (1,), (1, "0"), (1, -1), [1, 0], (True, 0)])
def test_what_is_no_version_is_said(required: object) -> None:
    assert "REQUIRED_API must be two numbers" in find_api_problem(required, "acme")


def test_a_plugin_for_another_version_is_broken_and_unused(site_packages: Path) -> None:
    source = GOOD_SOURCE.format(name="from-the-future") + f"\nREQUIRED_API = ({MAJOR}, {MINOR + 1})\n"
    install_distribution(site_packages, "later-plugin", source)
    registry = EntryPointRegistry.load()
    (problem,) = list_problems(registry, "later-plugin")
    assert f"needs version {MAJOR}.{MINOR + 1}" in problem
    assert "from-the-future" not in registry.get_entries(SessionEntry)
    assert "screen" in registry.get_entries(SessionEntry)


def test_a_name_that_is_not_here_is_explained_by_the_version(site_packages: Path) -> None:
    source = f"from gpurent.api import NameOfLater\nREQUIRED_API = ({MAJOR}, {MINOR + 1})\n"
    install_distribution(site_packages, "later-name", source)
    install_distribution(
        site_packages, "never-name", f"from gpurent.api import Typo\nREQUIRED_API = ({MAJOR}, {MINOR})"
    )
    registry = EntryPointRegistry.load()
    (problem,) = list_problems(registry, "later-name")
    assert "pip install --upgrade gpurent" in problem
    (problem,) = list_problems(registry, "never-name")
    assert "Typo" in problem


def test_a_former_name_works_and_warns_its_author(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api._NEW_BY_FORMER, "Purse", ("Money", (MAJOR, MINOR + 1)))
    with pytest.warns(DeprecationWarning, match="Purse is called Money") as caught:
        from gpurent.api import Purse
    assert Purse is api.Money
    assert caught[0].filename == __file__
    assert "Purse" not in api.__all__


def test_a_former_name_spoils_no_output(site_packages: Path) -> None:
    (site_packages / "former.py").write_text("from gpurent.api import Purse\n")
    code = (
        "from gpurent import api\n"
        f"api._NEW_BY_FORMER['Purse'] = ('Money', ({MAJOR}, {MINOR + 1}))\n"
        "import former\n"
        "assert former.Purse is api.Money\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=site_packages
    )
    assert done.stdout + done.stderr == ""


def test_no_former_name_stays_longer_than_promised() -> None:
    overdue = {
        former for former, (_name, gone_in) in api._NEW_BY_FORMER.items() if gone_in <= api.API_VERSION
    }
    assert overdue == set()
    assert {name for name, _gone in api._NEW_BY_FORMER.values()} <= set(api.__all__)


def test_no_name_of_the_api_is_lost() -> None:
    """A name that was in this major version is still there, or was renamed."""
    recorded = (ROOT / "tests" / "infra" / "api_names.txt").read_text("utf-8").split()
    major, names = recorded[0], set(recorded[1:])
    assert major == f"{MAJOR}", "a new major version begins a new list"
    assert names <= set(api.__all__) | set(api._NEW_BY_FORMER)


def test_the_page_has_this_version_and_every_plugin_here_declares_one() -> None:
    page = (ROOT / "docs" / "api-versions.md").read_text("utf-8")
    assert f"\n| {MAJOR}.{MINOR} |" in page
    files = list(ROOT.glob("plugins/*/src/*/plugin.py"))
    assert len(files) > 10
    silent = [path.parent.name for path in files if "\nREQUIRED_API = (" not in path.read_text("utf-8")]
    assert silent == []
