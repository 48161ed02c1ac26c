"""Build core and every plugin: ``python scripts/build_distributions.py [FOLDER] [NAME ...]``; without names, all.

Into ``FOLDER`` (default: dist) go an sdist and a wheel of each, `constraints.txt` with the versions of everything else
that they were tested with, and `SHA256SUMS`. Each wheel is built from its sdist, as whoever has only that would do. The
same sources give the same bytes. Needs no network; what was built before is replaced once everything is built.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from hashlib import sha256
from pathlib import Path

from hatchling import build as backend

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
CORE = "gpurent"
SUMS = "SHA256SUMS"


def list_projects() -> dict[str, Path]:
    """Return the folder of each distribution: core as ``gpurent``, a plugin by the name of its folder."""
    return {
        CORE: ROOT,
        **{path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))},
    }


def build_project(project: Path, target: Path) -> list[str]:
    """Build the sdist, and from it the wheel, into ``target``; return the names of the two files."""
    with chdir(project):
        sdist = backend.build_sdist(str(target))
    with tempfile.TemporaryDirectory() as folder:
        # Debian's Python 3.11 has no filters of tarfile.
        subprocess.run(["tar", "-xzf", str(target / sdist), "-C", folder], check=True)
        (unpacked,) = Path(folder).iterdir()
        with chdir(unpacked):
            wheel = backend.build_wheel(str(target))
    return [sdist, wheel]


def build_all(names: Sequence[str], target: Path) -> list[str]:
    """Build the named distributions into the empty folder ``target``; return the names of all its files."""
    projects = list_projects()
    files = [file for name in names for file in build_project(projects[name], target)]
    shutil.copyfile(CONSTRAINTS, target / CONSTRAINTS.name)
    files.append(CONSTRAINTS.name)
    sums = [f"{sha256((target / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(files)]
    (target / SUMS).write_text("".join(sums), "utf-8")
    return [*files, SUMS]


def replace_files(new: Path, names: Sequence[str], target: Path) -> None:
    """Move the files into ``target``, and delete what an earlier build has left there."""
    for old in [*target.glob("gpurent*.tar.gz"), *target.glob("gpurent*.whl")]:
        old.unlink()
    for name in names:
        (new / name).replace(target / name)


def main() -> int:
    target = Path(sys.argv[1] if sys.argv[1:] else ROOT / "dist").absolute()
    projects = list_projects()
    names = sys.argv[2:] or list(projects)
    unknown = [name for name in names if name not in projects]
    if unknown:
        print(f"no such distribution: {', '.join(unknown)}; there are {', '.join(projects)}")
        return 2
    os.umask(0o022)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".building-") as folder:
        files = build_all(names, Path(folder))
        replace_files(Path(folder), files, target)
    print(f"{target}: {len(names)} distributions, {len(files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
