"""Print what the pyproject files of core and of every plugin require, including build tools and extras."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN_PACKAGE = re.compile(r"gpurent\b")


def read_requirements(pyproject: Path) -> Iterator[str]:
    data = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = data["project"]
    yield from data["build-system"]["requires"]
    yield from project.get("dependencies", [])
    for extra in project.get("optional-dependencies", {}).values():
        yield from extra
    for group in data.get("dependency-groups", {}).values():
        yield from group


def main() -> None:
    files = [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]
    names = {name for file in files for name in read_requirements(file) if not OWN_PACKAGE.match(name)}
    print("\n".join(sorted(names)))


if __name__ == "__main__":
    main()
