"""A fake machine's parts on this computer: disk, runtime folder, environment, and processes marked by a variable."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from attrs import define, field

from gpurent.testing.sandbox.machines.authorized_keys import add_authorized_keys
from gpurent.testing.sandbox.machines.disks import Disk, DiskStore, remove_tree
from gpurent.testing.sandbox.machines.model import MachineSpec
from gpurent.testing.sandbox.machines.programs import find_host_program, install_programs, shared_link_farms
from gpurent.testing.sandbox.machines.runtime_folders import RuntimeFolders
from gpurent.testing.sandbox.machines.shell_profiles import write_shell_profiles
from gpurent.testing.sandbox.machines.stop_scripts import StopPipe, write_home_scripts

if TYPE_CHECKING:
    from gpurent.child_processes import StartedProgram

MACHINE_VARIABLE = "GPURENT_FAKE_MACHINE"
"""Environment variable of every process of a machine, detached ones too; its value is the machine's runtime folder."""
SHELL = "/bin/sh"


@define(eq=False)
class MachineFolders:
    """The folders and processes of a machine.

    ``runtime_folder`` and all processes end with the machine, ``disk`` stays.
    """

    disk: Disk
    runtime_folder: Path
    environment: Mapping[str, str]
    children: list[StartedProgram] = field(factory=list)
    """Commands that were started, each the leader of its own process group."""
    _runtime: RuntimeFolders = field(kw_only=True)
    _stop_scripts: tuple[str, ...] = ()
    _stop_pipe: StopPipe | None = None
    _stopping: asyncio.Future[None] | None = None

    @classmethod
    def make(cls, root: Path, spec: MachineSpec) -> Self:
        """Make the folders. Raises `gpurent.testing.sandbox.machines.DiskInUse` if another machine uses that disk."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = root.resolve()
        disk = DiskStore(root / "disks").open_disk(spec.data)
        runtime = RuntimeFolders(root)
        _machine_id, run = runtime.make_folder()
        python3 = find_host_program("python3") or sys.executable
        programs = install_programs(disk.opt, shared_link_farms(), spec, python3=python3)
        add_authorized_keys(disk.home, spec.authorized_keys)
        write_shell_profiles(disk.home, spec, programs.path_variable)
        environment = {
            MACHINE_VARIABLE: str(run),
            "HOME": str(disk.home),
            "USER": spec.user,
            "LOGNAME": spec.user,
            "SHELL": SHELL,
            "PATH": programs.path_variable,
            "LANG": "C.UTF-8",
        }
        for name, folder in (("SCREENDIR", "s"), ("TMUX_TMPDIR", "t"), ("TMPDIR", "tmp")):
            (run / folder).mkdir(mode=0o700)
            environment[name] = str(run / folder)
        return cls(disk, run, environment, runtime=runtime, stop_scripts=spec.stop_scripts)

    def listen_for_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Call ``stop`` whenever a stop script runs in the machine. Needs a running event loop."""
        if self._stop_pipe is not None or not self._stop_scripts:
            return

        def on_stop() -> None:
            self._stopping = asyncio.ensure_future(stop())

        self._stop_pipe = StopPipe(self.runtime_folder / "stop-pipe", on_stop)
        write_home_scripts(self._stop_scripts, self.disk.home, str(self._stop_pipe.path))

    def list_processes(self) -> list[int]:
        """Return the ids of all processes of the machine."""
        wanted = f"{MACHINE_VARIABLE}={self.runtime_folder}".encode()
        found = []
        for entry in os.listdir("/proc") if sys.platform == "linux" else []:  # noqa: PTH208 - twice as quick
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                        found.append(int(entry))
        return found

    def kill_processes(self) -> None:
        """Kill all processes of the machine: by `MACHINE_VARIABLE` where /proc shows it, else by process group."""
        for child in self.children:
            # After the child was reaped, its pid may belong to another process.
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
        # A process that was just being forked may only show up in the next iteration.
        while living := self.list_processes():
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._wait_for_children()
        self._wait_for_children()

    def _wait_for_children(self) -> None:
        for child in self.children:
            child.wait()
        self.children.clear()

    async def remove(self) -> None:
        """End all processes, remove the runtime folder, and release the disk for another machine."""
        await asyncio.to_thread(self.kill_processes)
        if self._stop_pipe is not None:
            self._stop_pipe.close()
        remove_tree(self.runtime_folder)
        self._runtime.close()
        self.disk.release()
