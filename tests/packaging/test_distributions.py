"""What `make dist` builds: complete, the same each time, and enough for a trip by somebody who has no repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts.build_distributions import CORE, list_projects
from tests.command_line import ROOT
from tests.docs.blocks import make_script
from tests.docs.test_blocks import INSTEAD, WHOLE_PAGES
from tests.packaging.new_plugin import PIP, make_third_party_environment, run_shell

SCRIPT = ROOT / "scripts" / "build_distributions.py"
# Small, and with an extra.
BY_DAY = "ecb"
# What a session, an upload and a download need, and what `gpurent sandbox` does.
NEEDED = {"gpurent-plugin-tmux", "gpurent-plugin-screen", "gpurent-plugin-sftp", "gpurent-plugin-turbo"}


def build(target: Path, *names: str, umask: int = 0o022) -> Path:
    """Build, in an environment in which nothing is as it was the last time; return the folder."""
    home = target.parent / "home"
    home.mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, str(SCRIPT), str(target), *names],
        check=True,
        capture_output=True,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TZ": "Asia/Shanghai", "LANG": "C"},
        umask=umask,
    )
    return target


def hash_files(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def read_extras() -> dict[str, dict[str, set[str]]]:
    """Return the extras of core: the extras of each distribution that an extra requires, by its name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras: dict[str, dict[str, set[str]]] = {}
    for name, lines in project["optional-dependencies"].items():
        extras[name] = {wanted.name: wanted.extras for wanted in map(Requirement, lines)}
    return extras


def list_plugins(extra: str) -> set[str]:
    """Return the plugins that an extra of core brings, also by way of another extra."""
    found = read_extras()[extra]
    own = {name for name in found if name.startswith("gpurent-plugin-")}
    return own.union(*(list_plugins(other) for other in found.get(CORE, ())))


def test_the_extras_bring_the_plugins_of_the_repository() -> None:
    every = {f"gpurent-plugin-{name}" for name in list_projects()} - {f"gpurent-plugin-{CORE}"}
    assert list_plugins("all") == every
    assert NEEDED < list_plugins("standard") < every
    assert {"sandbox", "tui"} <= read_extras()["standard"][CORE]
    assert list_plugins("sandbox") == set(), "whoever writes a plugin chooses the others"


@pytest.mark.parametrize("extra", ["standard", "all"])
def test_an_extra_takes_only_versions_that_fit_together(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for wanted in map(Requirement, project["optional-dependencies"][extra]):
        if wanted.name == CORE:
            continue
        folder = list_projects()[wanted.name.removeprefix("gpurent-plugin-")]
        plugin = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        assert plugin["name"] == wanted.name
        assert plugin["version"] in wanted.specifier
        assert {item.operator for item in wanted.specifier} == {">=", "<"}
        assert wanted.extras <= set(plugin.get("optional-dependencies", ()))


def test_what_is_built_is_the_same_each_time(tmp_path: Path) -> None:
    first = build(tmp_path / "first", BY_DAY)
    second = build(tmp_path / "second", BY_DAY, umask=0o077)
    assert hash_files(first) == hash_files(second)
    assert sorted(hash_files(first)) == [
        "SHA256SUMS",
        "constraints.txt",
        f"gpurent_plugin_{BY_DAY}-0.1.0-py3-none-any.whl",
        f"gpurent_plugin_{BY_DAY}-0.1.0.tar.gz",
    ]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=first, check=True)


def test_files_of_an_earlier_build_are_replaced_and_others_stay(tmp_path: Path) -> None:
    target = tmp_path / "dist"
    target.mkdir()
    for name in ("gpurent_plugin_gone-0.0.1-py3-none-any.whl", "gpurent-0.0.1.tar.gz", "notes.txt"):
        (target / name).write_text("old")
    left = set(hash_files(build(target, BY_DAY)))
    assert "notes.txt" in left
    assert not [name for name in left if "0.0.1" in name]
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(target), "typo"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "no such distribution: typo; there are gpurent, apprise, " in ran.stdout
    assert set(hash_files(target)) == left, "nothing was built, so nothing is replaced"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist") / "dist")


@pytest.mark.nightly
def test_every_distribution_is_built_twice_the_same_and_names_no_place(built: Path, tmp_path: Path) -> None:
    assert len(list(built.glob("*.whl"))) == len(list(built.glob("*.tar.gz"))) == len(list_projects())
    assert hash_files(built) == hash_files(build(tmp_path / "again", umask=0o077))
    for path in built.glob("*.tar.gz"):
        with tarfile.open(path) as archive:
            for member in archive:
                assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
                assert not re.search(r"__pycache__|\.pyc$|/\.(?!gitignore)", member.name), member.name
                content = archive.extractfile(member) if member.isfile() else None
                assert content is None or str(ROOT).encode() not in content.read(), member.name


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which pip has installed ``gpurent[all]`` from the folder alone."""
    found = make_third_party_environment(tmp_path_factory.mktemp("installed"))
    install = ["--python", str(found), "install", "--quiet", "--no-index", "--find-links", str(built)]
    wheel = next(built.glob("gpurent-*.whl"))
    subprocess.run([sys.executable, *PIP, *install, f"{wheel}[all]"], check=True, cwd=built.parent)
    return found


@pytest.mark.nightly
def test_what_is_installed_is_complete_and_independent(python: Path, tmp_path: Path) -> None:
    listed = run_shell("gpurent plugin list --json", python, tmp_path, tmp_path)
    plugins = {row["distribution"] for row in json.loads(listed)["data"]["plugins"]}
    assert plugins == list_plugins("all")
    paths = run_shell("python -c 'import sys; print(*sys.path)'", python, tmp_path, tmp_path)
    assert not any(path.startswith(str(ROOT / "core")) or path == str(ROOT) for path in paths.split())
    where = run_shell("python -c 'import gpurent; print(gpurent.__file__)'", python, tmp_path, tmp_path)
    assert where.startswith(str(python.parents[1]))


@pytest.mark.nightly
def test_the_first_trip_works_without_the_repository(python: Path, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    shutil.copytree(ROOT / "examples" / "digits", work / "examples" / "digits")
    printed = run_shell(make_script("getting-started", INSTEAD["getting-started"]), python, work, home)
    for text in WHOLE_PAGES["getting-started"]:
        assert text in printed, printed[-6000:]
