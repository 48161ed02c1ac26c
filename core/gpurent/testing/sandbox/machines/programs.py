"""Which programs a machine has: the host's, less the missing ones, plus a few stand-ins."""

import atexit
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from attrs import frozen

from gpurent.testing.sandbox.machines.disks import remove_tree
from gpurent.testing.sandbox.machines.model import MachineSpec

SYSTEM_DIRS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
MACHINE_FILES = Path(__file__).with_name("inside")
_PROGRAM_ALIASES = {"apt": "apt-get", "poweroff": "shutdown", "halt": "shutdown", "reboot": "shutdown"}
_PYTHON2_SCRIPT = Path(__file__).with_name("python2.py")


@frozen
class MachinePrograms:
    """``path_variable``: the machine's PATH for an ``opt`` folder seen at ``opt_inside``."""

    opt_inside: str
    link_farm: Path | None
    """Folder of links to all programs but the missing ones; None when nothing is missing."""
    link_farm_inside: str

    @property
    def path_variable(self) -> str:
        rest = SYSTEM_DIRS if self.link_farm is None else (self.link_farm_inside,)
        return ":".join((f"{self.opt_inside}/bin", *rest))


def install_programs(
    opt: Path, farms: Path, spec: MachineSpec, *, python3: str, opt_inside: str = "", farm_inside: str = ""
) -> MachinePrograms:
    """Write the machine's own programs into ``opt`` (made anew), and give its PATH.

    ``python3``: a real one, as the machine sees it. ``opt_inside``, ``farm_inside``: where the machine sees
    these folders; empty: where they are.
    """
    remove_tree(opt)
    for folder in (opt, opt / "bin", opt / "shelf"):
        folder.mkdir(mode=0o755)
    opt_inside = opt_inside or str(opt)
    if find_host_program("python3") is None:
        _write_python_wrapper(opt / "bin" / "python3", python3)
        python3 = f"{opt_inside}/bin/python3"
    _write_stand_ins(opt / "bin", spec, python3)
    _link_installable(opt, spec.missing)
    farm = _get_link_farm(farms, spec.missing) if spec.missing else None
    return MachinePrograms(opt_inside, farm, farm_inside or str(farm or ""))


@cache
def shared_link_farms() -> Path:
    """For all drivers of a process that only tests: a farm takes longer than most tests. Gone with the process."""
    folder = Path(tempfile.mkdtemp(prefix="gpurent-farms-"))
    atexit.register(remove_tree, folder)
    return folder


def find_host_program(name: str) -> str | None:
    """Absolute path of a program of the host's system folders; None if there is none."""
    return shutil.which(name, path=":".join(SYSTEM_DIRS))


def write_program(path: Path, text: str) -> None:
    """A file that everybody may run, in place of whatever lay there: a link is not followed."""
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _write_stand_ins(folder: Path, spec: MachineSpec, python3: str) -> None:
    for name in ("apt-get", "sudo", "shutdown"):
        write_program(folder / name, (MACHINE_FILES / name).read_text())
    for name, meaning in _PROGRAM_ALIASES.items():
        (folder / name).symlink_to(meaning)
    if spec.python == "python3":
        (folder / "python").symlink_to(python3)
        return
    if python2 := find_host_program("python2"):
        (folder / "python2").symlink_to(python2)
    else:
        write_program(folder / "python2", f"#!{python3} -I\n{_PYTHON2_SCRIPT.read_text()}")
    (folder / "python").symlink_to("python2")


def _write_python_wrapper(path: Path, python3: str) -> None:
    """An interpreter away from where it was built finds its own library only when told where."""
    library = Path(python3).parent.parent / "lib"
    write_program(path, f'#!/bin/sh\nLD_LIBRARY_PATH="{library}" exec "{python3}" "$@"\n')


def _link_installable(opt: Path, missing: tuple[str, ...]) -> None:
    """What ``apt-get install`` can bring: the missing programs that the host really has."""
    for name in missing:
        if program := find_host_program(name):
            (opt / "shelf" / name).symlink_to(program)
        (opt / "bin" / name).unlink(missing_ok=True)


def _get_link_farm(farms: Path, missing: tuple[str, ...]) -> Path:
    """One folder of links for each set of missing programs, kept as long as the host's folders do not change."""
    folders = [Path(name) for name in SYSTEM_DIRS if Path(name).is_dir()]
    mark = repr((sorted(missing), [folder.stat().st_mtime_ns for folder in folders]))
    farm = farms / hashlib.sha256(mark.encode()).hexdigest()[:12]
    if not farm.exists():
        growing = farms / f"{farm.name}.{os.getpid()}"
        remove_tree(growing)
        growing.mkdir(mode=0o755, parents=True)
        _link_programs(growing, folders, set(missing))
        growing.rename(farm)
    return farm


def _link_programs(farm: Path, folders: list[Path], left_out: set[str]) -> None:
    for folder in folders:
        for name in os.listdir(folder):  # noqa: PTH208  names alone, some thousands of them
            if name not in left_out:
                left_out.add(name)
                (farm / name).symlink_to(folder / name)
