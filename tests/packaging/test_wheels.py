"""Every wheel builds, holds its own package alone, and installs alone."""

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


def package(name: str) -> str:
    return "gpurent" if name == "gpurent" else f"gpurent_plugin_{name}"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, folder in FOLDERS.items():
        target = tmp_path_factory.mktemp(name)
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
        ]
        subprocess.run([*command, "--wheel-dir", str(target), str(folder)], check=True)
        (made[name],) = target.glob("*.whl")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_wheel_holds_only_its_own_package_and_installs_alone(
    wheels: dict[str, Path], name: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheels[name]) as archive:
        names = archive.namelist()
    tops = {entry.partition("/")[0] for entry in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {package(name)}
    assert f"{package(name)}/py.typed" in names
    assert ("gpurent/data/gpurent.schema.json" in names) is (name == "gpurent")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
    ]
    mine = [str(wheels["gpurent"])] if name == "gpurent" else [str(wheels["gpurent"]), str(wheels[name])]
    subprocess.run([*pip, *mine], check=True)
    # Other people's packages come from here; ours must not, so only those that are no link to the source are let in.
    thirds = tmp_path / "thirds"
    thirds.mkdir()
    for found in Path(sysconfig.get_path("purelib")).iterdir():
        if "gpurent" not in found.name:
            (thirds / found.name).symlink_to(found)
    (site / "thirds.pth").write_text(str(thirds))
    code = (
        "import sys, gpurent, gpurent.infra.registry.registry as r\n"
        f"import {package(name)} as mine\n"
        "assert mine.__file__.startswith(sys.prefix), mine.__file__\n"
        "found = r.Registry.load()\n"
        "assert not found.problems, found.problems\n"
        "print(sorted(plugin.distribution for plugin in found.plugins))\n"
    )
    python = venv / "bin" / "python"
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    expected = [] if name == "gpurent" else [f"gpurent-plugin-{name}"]
    assert done.stdout.strip() == str(expected)
    done = subprocess.run(
        [str(python), "-m", "gpurent.cli.main", "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "Usage: gpurent" in done.stdout
