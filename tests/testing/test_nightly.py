"""`make test-nightly` goes on where it ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.nightly import FILE, passed_at

ROOT = Path(__file__).parents[2]
TESTS = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("seed", range(3))
def test_one(seed):
    assert seed != 1 or Path({mended!r}).exists()
"""


def nightly(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.nightly", "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def outcomes(folder: Path) -> list[tuple[str, str]]:
    lines = map(json.loads, (folder / FILE).read_text().splitlines())
    return [(line["test"].partition("::")[2], line["outcome"]) for line in lines]


def test_what_passed_at_this_commit_is_not_run_again(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    mended = tmp_path / "mended"
    (folder / "test_it.py").write_text(TESTS.format(mended=str(mended)))
    (folder / ".gitignore").write_text(f"{FILE}\n")
    commit = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]
    for command in (["git", "init", "-q"], ["git", "add", "."], commit):
        subprocess.run(command, cwd=folder, check=True)
    code, out = nightly(folder)
    assert code == 1, out
    first = [("test_one[0]", "passed"), ("test_one[1]", "failed"), ("test_one[2]", "passed")]
    assert outcomes(folder) == first
    mended.touch()
    code, out = nightly(folder)
    assert code == 0, out
    assert outcomes(folder) == [*first, ("test_one[1]", "passed")]
    assert "2 passed earlier" in out
    code, out = nightly(folder)
    assert code == 0, "everything is done"
    assert len(outcomes(folder)) == 4
    (folder / "test_it.py").write_text((folder / "test_it.py").read_text() + "\n# changed\n")
    assert nightly(folder)[0] == 0
    assert len(outcomes(folder)) == 7, "nothing is known of what is not committed"


def test_a_line_that_was_cut_off_says_nothing(tmp_path: Path) -> None:
    line = json.dumps({"commit": "c", "test": "t", "outcome": "passed"})
    (tmp_path / FILE).write_text(f"{line}\n{line[:20]}")
    assert passed_at(tmp_path / FILE, "c") == {"t"}
    assert passed_at(tmp_path / FILE, "d") == passed_at(tmp_path / "none", "c") == frozenset()
