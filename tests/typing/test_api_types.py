"""`gpurent.api` as the type checker of a third-party author sees it: the installed package, under strict settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run_mypy(name: str) -> list[tuple[int, str]]:
    """Return line and code of each error in a module of this folder, checked outside the repository's settings."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--no-error-summary"),
            *("--follow-imports", "silent", "--cache-dir", str(HERE.parents[1] / ".mypy_cache" / "stranger")),
            name,
        ],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    found = re.findall(rf"^{re.escape(name)}:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    return [(int(line), code) for line, code in found]


def test_a_provider_written_against_the_api_is_clean() -> None:
    assert run_mypy("provider.py") == []


def test_mistakes_of_plugin_authors_are_reported() -> None:
    lines = (HERE / "wrong_provider.py").read_text("utf-8").splitlines()
    marked = [
        (number, line.partition("# wrong: ")[2])
        for number, line in enumerate(lines, 1)
        if "# wrong: " in line
    ]
    assert len(marked) == 4
    assert run_mypy("wrong_provider.py") == marked
