"""Every wheel builds, contains only its own package, and installs alone."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "gpurent": ROOT,
    **{path.name: path for path in sorted((ROOT / "plugins").iterdir()) if path.is_dir()},
}


def distribution_name(name: str) -> str:
    return "gpurent" if name == "gpurent" else f"gpurent-plugin-{name}"


def package_name(name: str) -> str:
    return "gpurent" if name == "gpurent" else f"gpurent_plugin_{name}"


def build_wheels(target: Path) -> dict[str, Path]:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    folders = map(str, FOLDERS.values())
    subprocess.run([*command, "--no-index", "--wheel-dir", str(target), *folders], check=True)
    found = {path.name.partition("-")[0]: path for path in target.glob("*.whl")}
    return {name: found[distribution_name(name).replace("-", "_")] for name in FOLDERS}


@pytest.mark.nightly
def test_every_wheel_holds_only_its_own_package_and_installs_alone(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    wheels = build_wheels(tmp_path / "wheels")
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
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    packages_folder = (
        venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    )
    for package in {"gpurent", name}:
        with zipfile.ZipFile(
            wheels[package]
        ) as archive:  # a wheel without scripts is installed by unpacking it
            archive.extractall(packages_folder)
    # Third-party packages come from here, without gpurent's own, which would link to the source.
    thirds = folder / "thirds"
    thirds.mkdir()
    for found in Path(sysconfig.get_path("purelib")).iterdir():
        if "gpurent" not in found.name:
            (thirds / found.name).symlink_to(found)
    (packages_folder / "thirds.pth").write_text(str(thirds))
    code = (
        "import sys, gpurent, gpurent.infra.registry.registry as r\n"
        f"import {package_name(name)} as mine\n"
        "assert mine.__file__.startswith(sys.prefix), mine.__file__\n"
        "found = r.EntryPointRegistry.load()\n"
        "assert not found.problems, found.problems\n"
        "print(sorted(plugin.distribution for plugin in found.plugins))\n"
    )
    python = venv / "bin" / "python"
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
