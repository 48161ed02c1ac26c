"""A fixed-size disk in the machine's memory (tmpfs); its files are saved before the machine ends."""

import os
from pathlib import Path

from gpurent.child_processes import DEVNULL, start_program
from gpurent.testing.sandbox.machines.disks import Disk, remove_tree
from gpurent.testing.sandbox.machines.process_tree import wait_for_exit

_FILLER = ".filled-by-the-sandbox"


def fill_folder(folder: Path) -> None:
    """Fill the file system of ``folder`` with one file, to the last byte."""
    with (folder / _FILLER).open("ab") as file:
        while free := os.statvfs(folder).f_bavail:
            os.posix_fallocate(file.fileno(), file.tell(), free * os.statvfs(folder).f_frsize)
            file.seek(0, os.SEEK_END)


def free_folder(folder: Path) -> None:
    """Undo `fill_folder`."""
    (folder / _FILLER).unlink(missing_ok=True)


async def save_disk(disk: Disk, pid: int, home: str) -> None:
    """Copy the home folder and /data, as process ``pid`` sees them, to the disk.

    The machine's processes must be stopped.

    If the copy fails, the disk keeps its old content.
    """
    for seen, kept in ((home, disk.home), ("/data", disk.data)):
        fresh = kept.with_name(f"{kept.name}.new")
        remove_tree(fresh)
        command = ["cp", "-a", f"/proc/{pid}/root{seen}/.", str(fresh)]
        copy = start_program(command, environment={}, stderr=DEVNULL)
        await wait_for_exit(copy)
        if copy.returncode == 0:
            _replace_folder(kept, fresh)


def _replace_folder(kept: Path, fresh: Path) -> None:
    old = kept.with_name(f"{kept.name}.old")
    kept.rename(old)
    fresh.rename(kept)
    remove_tree(old)
