"""A new plugin as its author has it: made by `gpurent plugin new`, and installed in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.command_line import run_command

PIP = ("-m", "pip", "--disable-pip-version-check")


@frozen
class NewPlugin:
    """``folder``: the distribution; ``python``: that of the environment in which it is installed."""

    name: str
    folder: Path
    python: Path

    @property
    def site(self) -> Path:
        """The folder of the packages that are installed in the environment."""
        return find_site(self.python)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python in the plugin's folder, as a user with a home of its own."""
        environment = {
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "HOME": str(self.folder.parent),
            "LANG": "C.UTF-8",
        }
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not (check and done.returncode), done.stdout[-6000:] + done.stderr[-3000:]
        return done

    def check(self, *options: str) -> dict[str, Any]:
        """Return the report of `gpurent plugin check`."""
        done = self.run("-m", "gpurent", "plugin", "check", self.name, "--json", *options, check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
        assert answer["ok"], done.stdout + done.stderr
        assert done.returncode == (0 if answer["data"]["ok"] else 1)
        report: dict[str, Any] = answer["data"]
        return report


def run_shell(script: str, python: Path, folder: Path, home: Path) -> str:
    """Run a script of bash in ``folder``, as a user with an environment of its own; return what it prints.

    ``gpurent`` is that of ``python``; a sandbox that the script leaves behind is ended.
    """
    command = python.with_name("gpurent")
    if not command.exists():  # pip makes one
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -m gpurent "$@"\n')
        command.chmod(0o755)
    environment = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        # What is installed here is enough, and there is no index to ask.
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "false",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    try:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        if "gpurent sandbox up" in script:
            subprocess.run([command, "sandbox", "down"], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
    return done.stdout


def run_readme(plugin: NewPlugin, before: str, home: Path) -> str:
    """Type what the README says in its blocks of the shell, up to the heading ``before``; return what is printed."""
    readme = (plugin.folder / "README.md").read_text("utf-8").partition(f"## {before}")[0]
    blocks = re.findall(r"```shell\n(.*?)```", readme, re.DOTALL)
    return run_shell("\n".join(["set -eu", *blocks]), plugin.python, plugin.folder, home)


def make_environment(folder: Path) -> Path:
    """Make a virtual environment that sees every package of this one; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    (find_site(python) / "beneath.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    )
    return python


def build_wheels(folders: Sequence[Path], target: Path) -> dict[str, Path]:
    """Build a wheel of each folder, without an index; return them by the name of the distribution, ``_`` for ``-``."""
    command = [sys.executable, *PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(target), *map(str, folders)], check=True)
    return {path.name.partition("-")[0]: path for path in target.glob("*.whl")}


def make_clean_environment(folder: Path, wheels: Sequence[Path]) -> Path:
    """Make a virtual environment with these wheels and every package of this one but gpurent's; return its Python."""
    python = make_third_party_environment(folder)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:  # a wheel without scripts is installed by unpacking it
            archive.extractall(find_site(python))
    return python


def make_third_party_environment(folder: Path) -> Path:
    """Make a virtual environment with every package of this one but gpurent's; return its Python."""
    venv, thirds = folder / "venv", folder / "thirds"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    # gpurent's own packages there would link to the sources.
    thirds.mkdir()
    for found in Path(sysconfig.get_path("purelib")).iterdir():
        if "gpurent" not in found.name:
            (thirds / found.name).symlink_to(found)
    (find_site(python) / "thirds.pth").write_text(str(thirds))
    return python


def find_site(python: Path) -> Path:
    """Return the folder of the packages in the environment of ``python``."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return python.parents[1] / "lib" / version / "site-packages"


def install_sources(plugin: NewPlugin, sources: Mapping[str, str], requires: Sequence[str] = ()) -> None:
    """Install a distribution with these files, as pip would, with the entry point ``NAME = gpurent_plugin_NAME``."""
    package = f"gpurent_plugin_{plugin.name}"
    for name, text in sources.items():
        path = plugin.site / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    info = plugin.site / f"{package}-1.0.dist-info"
    info.mkdir()
    lines = [
        f"Name: gpurent-plugin-{plugin.name}",
        "Version: 1.0",
        *(f"Requires-Dist: {one}" for one in requires),
    ]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, "", ""]))
    (info / "entry_points.txt").write_text(f"[gpurent]\n{plugin.name} = {package}.plugin\n")


def make_plugin(kind: str, name: str, folder: Path) -> NewPlugin:
    """Make a plugin of ``kind`` below ``folder`` and install it as its README says, without an index."""
    arguments = ("plugin", "new", "--kind", kind, name, "--into", str(folder), "--json")
    made = run_command(*arguments, environment={"HOME": str(folder)}, folder=folder)
    assert made.code == 0, made.err
    data = json.loads(made.out)["data"]
    python = make_environment(folder / "venv")
    install = [*PIP, "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([str(python), *install, data["folder"]], check=True)
    return NewPlugin(name, Path(data["folder"]), python)
