"""The plugins in examples/: as wheels in a clean environment, judged as their authors judge them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.packaging.new_plugin import (
    PIP,
    NewPlugin,
    build_wheels,
    make_clean_environment,
    make_environment,
    run_readme,
)

FOLDER = ROOT / "examples" / "plugins"
NAMES = sorted(path.name for path in FOLDER.iterdir() if (path / "pyproject.toml").is_file())
# What a trip of theirs needs beside them.
BACKENDS = ("tmux", "sftp")
LEVEL = "silver"  # gold needs a live run
# A share of their contracts that takes seconds.
BY_DAY = {
    "dtach": "embedded and (listed or takes_over or power_loss)",
    "tern": "offers or pages or lost_answers or gateway or ledger or rounded",
}


def check_programs(name: str) -> None:
    """Fail, and not skip, if a program is missing that the example is about."""
    if name == "dtach":
        assert shutil.which("dtach"), "the program dtach is missing: scripts/system-packages.sh installs it"


def run_tests(plugin: NewPlugin, folder: Path, *options: str) -> str:
    """Run the example's own tests in the environment; return what pytest prints."""
    ran = plugin.run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(folder / "t"), *options
    )
    assert " passed" in ran.stdout, ran.stdout
    return ran.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_share_of_its_contract_is_kept(name: str, tmp_path: Path) -> None:
    check_programs(name)
    python = make_environment(tmp_path / "venv")
    install = [*PIP, "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([str(python), *install, str(copy_sources(name, tmp_path))], check=True)
    run_tests(NewPlugin(name, FOLDER / name, python), tmp_path, "-m", "not nightly", "-k", BY_DAY[name])


def copy_sources(name: str, folder: Path) -> Path:
    """Copy an example, so that a build leaves nothing behind in the tree."""
    copied = folder / "sources" / name
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "build", "dist", "*.egg-info")
    shutil.copytree(FOLDER / name, copied, ignore=ignored)
    return copied


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with core, the examples and what a trip needs, each from its wheel."""
    folder = tmp_path_factory.mktemp("examples")
    backends = [ROOT / "plugins" / name for name in BACKENDS]
    copies = [copy_sources(name, folder) for name in NAMES]
    wheels = build_wheels([ROOT, *backends, *copies], folder / "wheels")
    assert len(wheels) == 1 + len(BACKENDS) + len(NAMES)
    python = make_clean_environment(folder, list(wheels.values()))
    # As pip does: the time that an entry takes to load is measured.
    subprocess.run([str(python), "-m", "compileall", "-q", str(folder / "venv" / "lib")], check=True)
    return python


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_its_wheel_in_a_clean_environment_is_judged_right(name: str, clean_python: Path) -> None:
    check_programs(name)
    report = NewPlugin(name, FOLDER / name, clean_python).check()
    assert report["ok"], report
    assert report["level"] == LEVEL, report


@pytest.mark.nightly
def test_the_trip_of_its_readme_works_as_typed(tmp_path: Path) -> None:
    copied = NewPlugin("tern", copy_sources("tern", tmp_path), make_environment(tmp_path / "venv"))
    printed = run_readme(copied, "Work on it", tmp_path)
    assert "The ledger matches the providers' statements." in printed
    assert "done" in printed


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_all_of_its_tests_pass(name: str, clean_python: Path, tmp_path: Path) -> None:
    check_programs(name)
    assert "failed" not in run_tests(NewPlugin(name, FOLDER / name, clean_python), tmp_path, "-m", "")
