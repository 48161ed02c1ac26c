"""The driver with real isolation: bubblewrap around a real OpenSSH server, without root."""

import asyncio
import contextlib
import json
import os
import re
import signal
from pathlib import Path

from gpurent.child_processes import start_program
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.testing.load_timeouts import wait_within
from gpurent.testing.sandbox.local_ports import find_free_port
from gpurent.testing.sandbox.machines import memory_disk
from gpurent.testing.sandbox.machines.authorized_keys import add_authorized_keys
from gpurent.testing.sandbox.machines.bwrap_arguments import (
    LINK_FARM,
    OPT,
    STOP_PIPE,
    get_python3_path,
    make_bwrap_arguments,
    sshd_command,
)
from gpurent.testing.sandbox.machines.bwrap_etc import get_home, write_etc
from gpurent.testing.sandbox.machines.descriptors import AsyncDescriptor
from gpurent.testing.sandbox.machines.driver_base import BootContext, DriverBase, MachineInstance
from gpurent.testing.sandbox.machines.model import BootFailed
from gpurent.testing.sandbox.machines.process_tree import list_descendants, signal_tree, wait_for_exit
from gpurent.testing.sandbox.machines.programs import (
    MachinePrograms,
    find_host_program,
    install_programs,
    write_program,
)
from gpurent.testing.sandbox.machines.shell_profiles import write_shell_profiles
from gpurent.testing.sandbox.machines.stop_scripts import make_stop_script, write_home_scripts

_TIMEOUT = 10.0  # seconds on an idle computer
_POLL_SECONDS = 0.003
_ATTEMPTS = 5


class BwrapDriver(DriverBase):
    """Boots machines with their own processes, root folder, user name and hostname; the network is the host's."""

    name = "bwrap"

    async def _start_instance(self, context: BootContext) -> MachineInstance:
        spec, disk = context.spec, context.disk
        programs = install_programs(
            disk.opt,
            context.link_farms,
            spec,
            python3=get_python3_path(),
            opt_inside=OPT,
            farm_inside=LINK_FARM,
        )
        write_shell_profiles(disk.home, spec, programs.path_variable)
        write_home_scripts(spec.stop_scripts, disk.home, STOP_PIPE)
        write_program(context.runtime_folder / "stop", make_stop_script(STOP_PIPE))
        for _attempt in range(_ATTEMPTS):
            body = self._make_instance(context, programs)
            try:
                await body.start()
            except _PortTaken:
                continue
            return body
        raise BootFailed("found no free port")

    def _make_instance(self, context: BootContext, programs: MachinePrograms) -> "BwrapInstance":
        """Return what is started next; overridden where machines of another kind are wanted."""
        return BwrapInstance(context, programs)


class _PortTaken(BootFailed):
    """Another process took the port first."""


class BwrapInstance(MachineInstance):
    """One machine. What it consists of (/etc, mounts, command) can be overridden."""

    def __init__(self, context: BootContext, programs: MachinePrograms) -> None:
        self.port = find_free_port()
        self.home = get_home(context.spec.user)
        self.ended = asyncio.Event()
        self.context = context
        self.programs = programs
        self._log = context.runtime_folder / "sshd.log"
        self._init_pid = 0  # the host's pid of the namespace's process 1
        self._sshd_pid = 0
        self._saved = context.spec.disk_bytes is None

    async def start(self) -> None:
        """Start the machine and return when sshd listens. Raises ``BootFailed``."""
        status, theirs = os.pipe()
        self._status = AsyncDescriptor(status)
        command = self.make_command(self.write_etc(), theirs)
        with self._log.open("wb") as log:
            self._process = start_program(
                command,
                environment={},
                pass_fds=(theirs,),
                stdout=log,
                stderr=log,
                new_session=True,
            )
        os.close(theirs)
        self._watch = asyncio.create_task(self._watch_status())
        try:
            await wait_within(_TIMEOUT, self._wait_until_listening())
            self._sshd_pid = list_descendants(self._init_pid)[0]
        except TimeoutError:
            await self._raise_boot_error(BootFailed)
        except BaseException:
            await self._kill_processes()
            raise

    def write_etc(self) -> list[str]:
        """Write the machine's own files of /etc and return their names."""
        folder = self.context.runtime_folder / "etc"
        return write_etc(folder, self.context.spec, self.programs.path_variable, self.port)

    def make_command(self, etc: list[str], status_fd: int) -> list[str]:
        """Return the command that starts the machine with these files of /etc."""
        arguments = make_bwrap_arguments(self.context, self.programs, etc, status_fd)
        return [find_host_program("bwrap") or "bwrap", *arguments, "--", *sshd_command(self.context)]

    def get_root(self, folder: str) -> Path:
        """Return where the host sees a folder of the machine."""
        return Path(f"/proc/{self._init_pid}/root{folder}")

    async def kill(self) -> None:
        if not self._saved and not self.ended.is_set():
            self._saved = True
            self.freeze(True)
            await memory_disk.save_disk(self.context.disk, self._init_pid, self.home)
        await self._kill_processes()

    def add_authorized_key(self, line: str) -> None:
        add_authorized_keys(self.get_root(self.home), [line])

    def freeze(self, frozen: bool) -> None:
        signal_tree(self._process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    async def reload_host_key(self) -> None:
        await self._reload_sshd()

    async def show_visible_programs(self) -> None:
        path = self.programs.visible_path
        config = self.context.runtime_folder / "etc" / "ssh" / "sshd_config"
        text = re.sub(r"SetEnv PATH=\S+", f"SetEnv PATH={path}", config.read_text())
        config.write_text(text)  # mounted inside by itself: it must stay the same file
        write_shell_profiles(self.get_root(self.home), self.context.spec, path)
        await self._reload_sshd()

    async def fill_disk(self, full: bool) -> None:
        if self.context.spec.disk_bytes is None:
            raise UsageError(
                _("the disk of this machine has no size of its own, so it cannot be filled"),
                hint=_(
                    "Start the sandbox with a size: gpurent sandbox up --set SIMULATOR.disk_bytes=50000000"
                ),
            )
        for folder in (self.home, "/data"):
            (memory_disk.fill_folder if full else memory_disk.free_folder)(self.get_root(folder))

    async def _reload_sshd(self) -> None:
        """Let sshd read its settings and host key again; open connections stay."""
        starts = self._count_starts()
        os.kill(self._sshd_pid, signal.SIGHUP)
        await wait_within(_TIMEOUT, self._wait_until_listening(starts + 1))

    def _count_starts(self) -> int:
        return self._log.read_bytes().count(b"Server listening")

    def list_processes(self) -> list[int]:
        return [] if self.ended.is_set() else [self._process.pid, *list_descendants(self._process.pid)]

    async def _kill_processes(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._init_pid and not self.ended.is_set():
                os.kill(self._init_pid, signal.SIGKILL)  # the kernel kills every process in the namespace
            else:
                self._process.kill()
        try:
            await wait_within(_TIMEOUT, self.ended.wait())
        except TimeoutError:
            self._process.kill()
        await wait_for_exit(self._process)
        await self._watch

    async def _watch_status(self) -> None:
        """Read bwrap's status: the pid of its child, then end of file once the machine's last process is gone."""
        text = b""
        while data := await self._status.read():
            text += data
            if not self._init_pid and b"\n" in text:
                self._init_pid = int(json.loads(text.split(b"\n", 1)[0])["child-pid"])
        self._status.close()
        self.ended.set()

    async def _wait_until_listening(self, starts: int = 1) -> None:
        while self._count_starts() < starts:
            if self.ended.is_set():
                await self._raise_boot_error(BootFailed)
            await asyncio.sleep(_POLL_SECONDS)
        if b"Address already in use" in self._log.read_bytes():
            await self._raise_boot_error(_PortTaken)

    async def _raise_boot_error(self, kind: type[BootFailed]) -> None:
        await self._kill_processes()
        text = self._log.read_text(errors="replace")
        raise (_PortTaken if "Address already in use" in text else kind)(text[-2000:])
