"""The pages about testing and contracts are correct."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import attrs
import pytest

from gpurent.testing import contracts

DOCS = Path(__file__).parents[2] / "docs"
PAGE, CONTRACTS_PAGE = DOCS / "testing.md", DOCS / "contracts.md"


def find_code_blocks(language: str, page: Path = PAGE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


@pytest.mark.nightly
def test_its_examples_run_with_its_settings(tmp_path: Path) -> None:
    for number, text in enumerate(find_code_blocks("python")):
        (tmp_path / f"test_example{number}.py").write_text(text)
    (settings,) = find_code_blocks("toml")
    (tmp_path / "pyproject.toml").write_text(settings)
    assert tomllib.loads(settings)["tool"]["pytest"]["ini_options"]["time_limit"] == 60
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


@pytest.mark.nightly
def test_the_example_of_a_contract_runs_with_its_settings(tmp_path: Path) -> None:
    (text,) = find_code_blocks("python", CONTRACTS_PAGE)
    (settings,) = find_code_blocks("toml")
    (tmp_path / "test_contract.py").write_text(text)
    (tmp_path / "pyproject.toml").write_text(settings)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-m", "not nightly"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"[6-9]\d passed, \d+ skipped", ran.stdout), ran.stdout


def test_its_contracts_are_there() -> None:
    text = CONTRACTS_PAGE.read_text("utf-8")
    named = set(re.findall(r"`(\w+(?:Contract|Setup|UnderTest))`", text))
    assert len(named) > 20
    assert named <= set(contracts.__all__)
    single = {base.__name__ for base in contracts.ProviderContract.__bases__}
    assert single <= named, "a part of the whole contract is missing on the page"


def test_every_field_of_a_setup_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", CONTRACTS_PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(field.name for field in attrs.fields(contracts.ProviderSetup))


def test_its_modules_are_there() -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)]
    assert len(names) > 8
    assert [name for name in names if find_spec(f"gpurent.testing.{name}") is None] == []
