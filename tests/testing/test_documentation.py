"""The page about testing is correct."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def find_code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


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


def test_its_modules_are_there() -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)]
    assert len(names) > 8
    assert [name for name in names if find_spec(f"gpurent.testing.{name}") is None] == []
