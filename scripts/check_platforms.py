"""Check the types as other systems see them: ``python scripts/check_platforms.py``, from the root.

mypy reads the sources for Windows and for macOS. The files in which it finds errors are those that need this system,
listed in scripts/unported.txt: another one is an error, and so is one of the list that has none left, so that the list
only shrinks. ``--write`` writes it anew, without what is not in it yet.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = ROOT / "scripts" / "unported.txt"
SYSTEMS = ("win32", "darwin")
_ERROR = re.compile(r"^(?P<path>[^:\n]+):\d+:(?:\d+:)? error: ", re.MULTILINE)
HEAD = (
    "# Files that need Linux, by the system for which mypy finds errors in them. Lines are only taken away.\n"
)


def find_failing(system: str) -> tuple[set[str], str]:
    """Return the files that mypy does not accept for ``system``, and what it says. Raises for another failure."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--platform",
        system,
        "--cache-dir",
        f".mypy_cache/{system}",
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 1):
        raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr)
    return {match["path"] for match in _ERROR.finditer(ran.stdout)}, ran.stdout


def read_list() -> set[tuple[str, str]]:
    """Return the pairs of system and path in the list."""
    found = set()
    for line in LIST.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            system, _space, path = line.partition(" ")
            found.add((system, path))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    listed, failing, said = read_list(), set(), {}
    with ThreadPoolExecutor(len(SYSTEMS)) as pool:
        found = list(pool.map(find_failing, SYSTEMS))
    for system, (paths, said[system]) in zip(SYSTEMS, found, strict=True):
        failing |= {(system, path) for path in paths}
    if write:
        kept = sorted(listed & failing)
        LIST.write_text(HEAD + "".join(f"{system} {path}\n" for system, path in kept), "utf-8")
        listed = set(kept)
    for system, path in sorted(failing - listed):
        lines = "\n".join(line for line in said[system].splitlines() if line.startswith(f"{path}:"))
        print(f"{path} works no more on {system}:\n{lines}")
    for system, path in sorted(listed - failing):
        print(f"{path} works on {system} now: take it from {LIST.relative_to(ROOT)}")
    return 1 if failing != listed else 0


if __name__ == "__main__":
    sys.exit(main())
