"""`make test-nightly` continues where it stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nightly import RESULTS_FILE, read_passed

ROOT = Path(__file__).parents[2]
TEST_SOURCE = """
from pathlib import Path

import pytest
import pytest

@pytest.mark.parametrize("seed", range(3))
def test_one(seed):
    assert seed != 1 or Path({mended!r}).exists()
"""


def run_nightly(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.nightly", "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def read_outcomes(folder: Path) -> list[tuple[str, str]]:
    lines = map(json.loads, (folder / RESULTS_FILE).read_text().splitlines())
    return [(line["test"].partition("::")[2], line["outcome"]) for line in lines]


@pytest.mark.nightly
def test_what_passed_at_this_commit_is_not_run_again(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    fixed = tmp_path / "mended"
    (folder / "test_it.py").write_text(TEST_SOURCE.format(mended=str(fixed)))
    (folder / ".gitignore").write_text(f"{RESULTS_FILE}\n")
    commit = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]
    for command in (["git", "init", "-q"], ["git", "add", "."], commit):
        subprocess.run(command, cwd=folder, check=True)
    code, out = run_nightly(folder)
    assert code == 1, out
    first = [("test_one[0]", "passed"), ("test_one[1]", "failed"), ("test_one[2]", "passed")]
    assert read_outcomes(folder) == first
    fixed.touch()
    code, out = run_nightly(folder)
    assert code == 0, out
    assert read_outcomes(folder) == [*first, ("test_one[1]", "passed")]
    assert "2 passed earlier" in out
    code, out = run_nightly(folder)
    assert code == 0, "everything is done"
    assert len(read_outcomes(folder)) == 4
    (folder / "test_it.py").write_text((folder / "test_it.py").read_text() + "\n# changed\n")
    assert run_nightly(folder)[0] == 0
    assert len(read_outcomes(folder)) == 7, "nothing is known of what is not committed"


def test_a_line_that_was_cut_off_says_nothing(tmp_path: Path) -> None:
    line = json.dumps({"commit": "c", "test": "t", "outcome": "passed"})
    (tmp_path / RESULTS_FILE).write_text(f"{line}\n{line[:20]}")
    assert read_passed(tmp_path / RESULTS_FILE, "c") == {"t"}
    assert read_passed(tmp_path / RESULTS_FILE, "d") == read_passed(tmp_path / "none", "c") == frozenset()
