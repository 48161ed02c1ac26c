"""What a fake machine is on this computer: a disk, a runtime folder, an environment, processes with its mark."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Self

from attrs import define, field

from gpurent.testing.sandbox.machines.disks import Disk, Disks, remove_tree
from gpurent.testing.sandbox.machines.homes import furnish
from gpurent.testing.sandbox.machines.model import MachineSpec
from gpurent.testing.sandbox.machines.programs import fit_out, host_program, shared_farms
from gpurent.testing.sandbox.machines.runtime import Runtime
from gpurent.testing.sandbox.machines.stops import Bell, write_own

MARK = "GPURENT_FAKE_MACHINE"
"""In the environment of every process of a machine, detached ones too; its value is the machine's runtime folder."""
SHELL = "/bin/sh"


@define(eq=False)
class MachineFolders:
    """``run`` and all processes end with the machine, ``disk`` stays."""

    disk: Disk
    run: Path
    environment: Mapping[str, str]
    children: list[subprocess.Popen[bytes]] = field(factory=list)
    """The commands that were started, each the leader of its own process group."""
    _runtime: Runtime = field(kw_only=True)
    _stop_scripts: tuple[str, ...] = ()
    _bell: Bell | None = None
    _stopping: asyncio.Future[None] | None = None

    @classmethod
    def make(cls, root: Path, spec: MachineSpec) -> Self:
        """Raises `gpurent.testing.sandbox.machines.DiskInUse` when another machine lives on that disk."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = root.resolve()
        disk = Disks(root / "disks").take(spec.data)
        runtime = Runtime(root)
        _machine_id, run = runtime.folder()
        python3 = host_program("python3") or sys.executable
        programs = fit_out(disk.opt, shared_farms(), spec, python3=python3)
        furnish(disk.home, spec, programs.search)
        environment = {
            MARK: str(run),
            "HOME": str(disk.home),
            "USER": spec.user,
            "LOGNAME": spec.user,
            "SHELL": SHELL,
            "PATH": programs.search,
            "LANG": "C.UTF-8",
        }
        for name, folder in (("SCREENDIR", "s"), ("TMUX_TMPDIR", "t"), ("TMPDIR", "tmp")):
            (run / folder).mkdir(mode=0o700)
            environment[name] = str(run / folder)
        return cls(disk, run, environment, runtime=runtime, stop_scripts=spec.stop_scripts)

    def listen_for_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """From now on a stop script that is run in the machine calls ``stop``. Needs the running event loop."""
        if self._bell is not None or not self._stop_scripts:
            return

        def rung() -> None:
            self._stopping = asyncio.ensure_future(stop())

        self._bell = Bell(self.run / "bell", rung)
        write_own(self._stop_scripts, self.disk.home, str(self._bell.path))

    def processes(self) -> list[int]:
        """All that lives in the machine."""
        wanted = f"{MARK}={self.run}".encode()
        found = []
        for entry in os.listdir("/proc") if sys.platform == "linux" else []:  # noqa: PTH208 - twice as quick
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                        found.append(int(entry))
        return found

    def end_processes(self) -> None:
        """End everything that lives in it: by its mark where /proc shows it, else by its process groups."""
        for child in self.children:
            # The number may be another's once the child was waited for.
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
        # A child that was being born may show only at the next look.
        while living := self.processes():
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
        self._reap()

    def _reap(self) -> None:
        for child in self.children:
            child.wait()
        self.children.clear()

    async def clear(self) -> None:
        """The power is gone: no process, no runtime folder; the disk is free for another machine."""
        await asyncio.to_thread(self.end_processes)
        if self._bell is not None:
            self._bell.close()
        remove_tree(self.run)
        self._runtime.close()
        self.disk.release()
