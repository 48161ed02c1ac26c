"""Every wheel builds, contains only its own package, and installs alone."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.packaging.new_plugin import build_wheels, make_clean_environment

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "gpurent": ROOT,
    **{path.name: path for path in sorted((ROOT / "plugins").iterdir()) if path.is_dir()},
}


def distribution_name(name: str) -> str:
    return "gpurent" if name == "gpurent" else f"gpurent-plugin-{name}"


def package_name(name: str) -> str:
    return "gpurent" if name == "gpurent" else f"gpurent_plugin_{name}"


@pytest.mark.nightly
def test_every_wheel_holds_only_its_own_package_and_installs_alone(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    built = build_wheels(list(FOLDERS.values()), tmp_path / "wheels")
    wheels = {name: built[distribution_name(name).replace("-", "_")] for name in FOLDERS}
    for name in FOLDERS:
        with subtests.test(name):
            folder = tmp_path / name
            folder.mkdir()
            check_wheel(wheels, name, folder)


def check_wheel(wheels: dict[str, Path], name: str, folder: Path) -> None:
    with zipfile.ZipFile(wheels[name]) as archive:
        names = archive.namelist()
    top_folders = {entry.partition("/")[0] for entry in names}
    assert {top for top in top_folders if not top.endswith(".dist-info")} == {package_name(name)}
    assert f"{package_name(name)}/py.typed" in names
    assert ("gpurent/data/gpurent.schema.json" in names) is (name == "gpurent")
    python = make_clean_environment(
        folder, [wheels[package] for package in ("gpurent", *{name} - {"gpurent"})]
    )
    code = (
        "import sys, gpurent, gpurent.infra.registry.registry as r\n"
        f"import {package_name(name)} as mine\n"
        "assert mine.__file__.startswith(sys.prefix), mine.__file__\n"
        "found = r.EntryPointRegistry.load()\n"
        "assert not found.problems, found.problems\n"
        "print(sorted(plugin.distribution for plugin in found.plugins))\n"
    )
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True, cwd=folder)
    expected = [] if name == "gpurent" else [distribution_name(name)]
    assert done.stdout.strip() == str(expected)
    done = subprocess.run(
        [str(python), "-m", "gpurent.cli.main", "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert "Usage: gpurent" in done.stdout
