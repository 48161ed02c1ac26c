"""Write what a release lists: its plugins, the versions it was tested with, and the licences of what it needs.

``python scripts/release_lists.py`` writes the three files, ``--check`` names those that are not up to date. Versions
come from requirements/dev.txt, licences from the packages that are installed here, which must be those versions.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import importlib_metadata as metadata
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ROOT / "requirements" / "dev.txt"
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
NOTICE = ROOT / "NOTICE"
RELEASED = ROOT / "core" / "gpurent" / "data" / "released-plugins.txt"
OWN = "gpurent"
# Licences under which the source of the library itself must be offered to whoever gets a bundle.
_SHARED_SOURCE = re.compile(r"\b(EPL|MPL|LGPL|GPL|CDDL)\b", re.IGNORECASE)
_NOTICE_HEAD = """\
Third-party software that gpurent needs

gpurent itself is under the MIT licence (see LICENSE). Its packages contain no third-party code: pip installs the
packages below beside them. Whoever ships a bundle (an image, an installer, one file) ships these as well and has to
add their licence texts, which each has in its folder NAME-VERSION.dist-info; those of libraries inside a wheel are
there too. The versions are those of requirements/constraints.txt, on Linux; other systems need a few more packages.
Written by scripts/release_lists.py from the metadata of the packages.
"""
_SHARED_HEAD = """\
Of these, a bundle must also say where the source code is:
"""


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_projects() -> list[dict[str, Any]]:
    """Return the project table of core and of every plugin."""
    files = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    return [tomllib.loads(file.read_text("utf-8"))["project"] for file in files]


def list_runtime_requirements() -> list[Requirement]:
    """Return what core and the plugins need to run, with all extras, without their own packages."""
    found = []
    for project in read_projects():
        found += project.get("dependencies", [])
        for extra in project.get("optional-dependencies", {}).values():
            found += extra
    return [Requirement(text) for text in found if not re.match(rf"{OWN}\b", text)]


def read_locked() -> Mapping[str, str]:
    """Return the pinned lines by name: ``name==version``, and its marker if it has one."""
    lines = re.findall(r"^([A-Za-z0-9._-]+==[^\\\n]*?)\s*\\?$", LOCKED.read_text("utf-8"), re.MULTILINE)
    return {normalize(line.partition("==")[0]): line for line in lines}


def walk_requirements() -> Mapping[str, metadata.Distribution | None]:
    """Return every package that is needed on any system, by name; None for what is not installed here."""
    found: dict[str, metadata.Distribution | None] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    left = list_runtime_requirements()
    while left:
        wanted = left.pop()
        key = (normalize(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            found[key[0]] = distribution = metadata.distribution(key[0])
        except metadata.PackageNotFoundError:
            found[key[0]] = None
            continue
        left += _list_needed(distribution, wanted.extras)
    return found


def _list_needed(distribution: metadata.Distribution, extras: set[str]) -> Iterator[Requirement]:
    """Yield what the distribution needs with these extras, on whatever system."""
    for text in distribution.requires or ():
        wanted = Requirement(text)
        asked = re.findall(r"""extra\s*==\s*['"]([^'"]+)['"]""", str(wanted.marker or ""))
        if not asked or {normalize(name) for name in asked} & {normalize(name) for name in extras}:
            yield wanted


def make_constraints() -> str:
    locked = read_locked()
    return "".join(f"{locked[name]}\n" for name in sorted(walk_requirements()) if name in locked)


def make_released_list() -> str:
    """Return name and version of every plugin in this repository."""
    pairs = [(project["name"], project["version"]) for project in read_projects() if project["name"] != OWN]
    return "".join(f"{normalize(name)}=={version}\n" for name, version in sorted(pairs))


def find_licence(distribution: metadata.Distribution) -> str:
    """Return the licence in one line: the expression, else the short text, else the classifiers."""
    data = distribution.metadata
    text = str(data.get("License-Expression") or "")
    if not text:
        text = str(data.get("License") or "").strip().splitlines()[0] if data.get("License") else ""
    if text in ("", "UNKNOWN") or len(text) > 60:
        names = [
            line.rpartition(" :: ")[2] for line in data.get_all("Classifier") or () if "License ::" in line
        ]
        text = ", ".join(names)
    return text.lstrip("# ") or "unknown"


def find_source(distribution: metadata.Distribution) -> str:
    """Return the address of the source code, or of the project."""
    data = distribution.metadata
    pairs = [line.partition(",")[::2] for line in data.get_all("Project-URL") or ()]
    links = {label.strip().lower(): link.strip() for label, link in pairs}
    for label in ("source", "source code", "repository", "github", "homepage"):
        if label in links:
            return str(links[label])
    return str(data.get("Home-page") or next(iter(links.values()), "see its metadata"))


def make_notice() -> str:
    packages = [item for item in sorted(walk_requirements().items()) if item[1] is not None]
    rows = [(name, found.version, find_licence(found)) for name, found in packages if found is not None]
    width, digits = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"{name:{width}}  {version:{digits}}  {licence}" for name, version, licence in rows]
    shared = [
        f"{name}: {find_source(found)}"
        for name, found in packages
        if found is not None and _SHARED_SOURCE.search(find_licence(found))
    ]
    return f"{_NOTICE_HEAD}\n" + "\n".join(lines) + f"\n\n{_SHARED_HEAD}\n" + "\n".join(shared) + "\n"


def main() -> int:
    wanted = {RELEASED: make_released_list(), CONSTRAINTS: make_constraints(), NOTICE: make_notice()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if "--check" in sys.argv[1:]:
            print(f"{path.relative_to(ROOT)} is not up to date: run python scripts/release_lists.py")
        else:
            path.write_text(wanted[path], "utf-8")
            print(f"{path.relative_to(ROOT)}: written")
    return int(bool(stale) and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
