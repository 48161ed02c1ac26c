"""The programs of a machine: the host's without the missing ones, plus a few replacements."""

import atexit
import hashlib
import os
import shlex
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
    """Where a machine finds its programs. ``path_variable`` is its PATH, with ``opt`` seen at ``opt_inside``."""

    opt_inside: str
    link_farm: Path | None
    """Folder of links to all host programs except the missing ones; None if none is missing."""
    link_farm_inside: str

    @property
    def path_variable(self) -> str:
        rest = SYSTEM_DIRS if self.link_farm is None else (self.link_farm_inside,)
        return ":".join((f"{self.opt_inside}/bin", *rest))

    @property
    def visible_path(self) -> str:
        """The PATH of a machine that has a folder of visible programs: see `make_visible_folder`."""
        return f"{self.opt_inside}/bin:{self.opt_inside}/visible"


def install_programs(
    opt: Path,
    link_farms: Path,
    spec: MachineSpec,
    *,
    python3: str,
    opt_inside: str = "",
    farm_inside: str = "",
    home: Path | None = None,
) -> MachinePrograms:
    """Write the machine's own programs into ``opt`` (emptied first) and return where they are.

    ``python3``: a real Python 3, as the machine sees it. ``opt_inside``, ``farm_inside``: where the machine sees these
    folders; empty: at their real paths. ``home``: of the machine's user, where the host's user database does not say.
    """
    remove_tree(opt)
    for folder in (opt, opt / "bin", opt / "shelf"):
        folder.mkdir(mode=0o755)
    opt_inside = opt_inside or str(opt)
    if find_host_program("python3") is None:
        _write_python_wrapper(opt / "bin" / "python3", python3)
        python3 = f"{opt_inside}/bin/python3"
    _write_stand_ins(opt / "bin", spec, python3)
    if home is not None:
        write_program(opt / "bin" / "getent", _make_getent(spec.user, home))
    _link_installable(opt, spec.missing)
    link_farm = _get_link_farm(link_farms, spec.missing) if spec.missing else None
    return MachinePrograms(opt_inside, link_farm, farm_inside or str(link_farm or ""))


@cache
def shared_link_farms() -> Path:
    """Return one folder for all drivers of a test process, since building a link farm takes longer than most tests.

    Removed at exit.
    """
    folder = Path(tempfile.mkdtemp(prefix="gpurent-farms-"))
    atexit.register(remove_tree, folder)
    return folder


def find_host_program(name: str) -> str | None:
    """Return the absolute path of a program in the host's system folders; None if there is none."""
    return shutil.which(name, path=":".join(SYSTEM_DIRS))


def write_program(path: Path, text: str) -> None:
    """Write a file that everybody may run, replacing whatever is there; a link is not followed."""
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make_visible_folder(opt: Path, missing: tuple[str, ...]) -> None:
    """Link the host's programs in one folder of ``opt``, in place of the system folders, so that some can be hidden."""
    visible, fresh = opt / "visible", opt / "visible.new"
    if not visible.exists():
        fresh.mkdir(mode=0o755)
        _link_programs(fresh, _list_system_folders(), set(missing))
        fresh.rename(visible)


def hide_program(opt: Path, name: str) -> bool:
    """Take a program out of a machine's folders; ``apt-get install`` brings it back. False if there is none."""
    found = [opt / folder / name for folder in ("bin", "visible") if os.path.lexists(opt / folder / name)]
    for path in found:
        hidden = opt / "hidden" / path.parent.name
        hidden.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.rename(hidden / name)
    if found and (program := find_host_program(name)) and not os.path.lexists(opt / "shelf" / name):
        (opt / "shelf" / name).symlink_to(program)
    return bool(found)


def show_program(opt: Path, name: str) -> None:
    """Undo `hide_program`."""
    for path in (opt / "hidden").glob(f"*/{name}"):
        path.replace(opt / path.parent.name / name)


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


def _make_getent(user: str, home: Path) -> str:
    """Return the program that looks up the machine's user, by name or number."""
    rest = shlex.quote(f"::{home}:/bin/bash")
    return (
        f'#!/bin/sh\nnumber=$(id -u)\ncase "$*" in "passwd {user}" | "passwd $number") '
        f'echo "{user}:x:$number:$(id -g)"{rest} ;; *) exit 2 ;; esac\n'
    )


def _write_python_wrapper(path: Path, python3: str) -> None:
    """Write a wrapper with the library path, which an interpreter outside its build location needs."""
    library = Path(python3).parent.parent / "lib"
    write_program(path, f'#!/bin/sh\nLD_LIBRARY_PATH="{library}" exec "{python3}" "$@"\n')


def _link_installable(opt: Path, missing: tuple[str, ...]) -> None:
    """Link the missing programs that the host really has, for ``apt-get install`` to install."""
    for name in missing:
        if program := find_host_program(name):
            (opt / "shelf" / name).symlink_to(program)
        (opt / "bin" / name).unlink(missing_ok=True)


def _get_link_farm(link_farms: Path, missing: tuple[str, ...]) -> Path:
    """Return the folder of links for this set of missing programs; reused until the host's folders change."""
    folders = _list_system_folders()
    mark = repr((sorted(missing), [folder.stat().st_mtime_ns for folder in folders]))
    link_farm = link_farms / hashlib.sha256(mark.encode()).hexdigest()[:12]
    if not link_farm.exists():
        new_farm = link_farms / f"{link_farm.name}.{os.getpid()}"
        remove_tree(new_farm)
        new_farm.mkdir(mode=0o755, parents=True)
        _link_programs(new_farm, folders, set(missing))
        new_farm.rename(link_farm)
    return link_farm


def _list_system_folders() -> list[Path]:
    return [Path(name) for name in SYSTEM_DIRS if Path(name).is_dir()]


def _link_programs(link_farm: Path, folders: list[Path], left_out: set[str]) -> None:
    for folder in folders:
        for name in os.listdir(folder):  # noqa: PTH208  names alone, some thousands of them
            if name not in left_out:
                left_out.add(name)
                (link_farm / name).symlink_to(folder / name)
