"""What all drivers share: disks, ports, stop scripts, the fault proxy, and shutting machines down."""

import asyncio
import logging
from abc import ABC, abstractmethod
from pathlib import Path

from attrs import define, evolve, frozen

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.testing.sandbox.fault_proxy import FaultProxy
from gpurent.testing.sandbox.machines.authorized_keys import add_authorized_keys
from gpurent.testing.sandbox.machines.disks import Disk, DiskStore, remove_tree
from gpurent.testing.sandbox.machines.host_keys import ensure_host_key, make_host_key
from gpurent.testing.sandbox.machines.model import (
    BootedMachine,
    MachineDriver,
    MachineSpec,
    StopCallback,
    check_key_line,
)
from gpurent.testing.sandbox.machines.programs import hide_program, make_visible_folder, show_program
from gpurent.testing.sandbox.machines.runtime_folders import RuntimeFolders
from gpurent.testing.sandbox.machines.stop_scripts import StopPipe

LOG = logging.getLogger(__name__)


@frozen
class BootContext:
    """What a machine is booted from: its spec, disk, runtime folder, and the folder of link farms."""

    spec: MachineSpec
    disk: Disk
    runtime_folder: Path
    link_farms: Path

    @property
    def stop_pipe(self) -> Path:
        """The named pipe that stop scripts write to."""
        return self.runtime_folder / "stop-pipe"


class MachineInstance(ABC):
    """The running part of one machine: an SSH server on loopback and its processes."""

    port: int
    """Port of its SSH server, behind the proxy."""
    home: str
    """The home folder as its shell sees it."""
    ended: asyncio.Event
    """Set when it has ended, on request or by itself."""

    @abstractmethod
    async def kill(self) -> None:
        """Kill everything at once."""

    @abstractmethod
    def add_authorized_key(self, line: str) -> None:
        """Add a line to its user's authorized_keys file. Raises ``OSError`` if that is no file."""

    @abstractmethod
    def freeze(self, frozen: bool) -> None:
        """Stop or continue every process."""

    @abstractmethod
    async def reload_host_key(self) -> None:
        """Use the host key that is now on the disk."""

    @abstractmethod
    async def show_visible_programs(self) -> None:
        """From now on, run commands with the programs of `make_visible_folder` only."""

    @abstractmethod
    async def fill_disk(self, full: bool) -> None:
        """Make the disk full, or undo that. Raises `UsageError` if that is not possible."""

    @abstractmethod
    def list_processes(self) -> list[int]:
        """Return the ids of all its processes, including the supervisor's."""


@define(eq=False)
class _MachineRecord:
    machine: BootedMachine
    instance: MachineInstance
    context: BootContext
    stop_pipe: StopPipe
    watch_task: "asyncio.Task[None] | None" = None
    shutdown_task: "asyncio.Task[None] | None" = None


class DriverBase(MachineDriver):
    """Base class of the drivers; a subclass starts the machine itself."""

    def __init__(self, root: Path, link_farms: Path | None = None) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = root.resolve()
        self._disks = DiskStore(root / "disks")
        self._link_farms = link_farms or root / "farms"
        self._runtime = RuntimeFolders(root)
        self._booted: dict[str, _MachineRecord] = {}
        self._stop_tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @abstractmethod
    async def _start_instance(self, context: BootContext) -> MachineInstance:
        """Start what ``context`` describes. Raises ``BootFailed``."""

    async def boot(self, spec: MachineSpec, on_stop: StopCallback | None = None) -> BootedMachine:
        if self._closed:
            raise RuntimeError("the driver is closed")
        disk = self._disks.open_disk(spec.data)
        machine_id, run = self._runtime.make_folder()
        try:
            return await self._boot(machine_id, BootContext(spec, disk, run, self._link_farms), on_stop)
        except BaseException:
            remove_tree(run)
            disk.release()
            raise

    async def _boot(
        self, machine_id: str, context: BootContext, on_stop: StopCallback | None
    ) -> BootedMachine:
        host_key = ensure_host_key(context.disk.host_key)
        add_authorized_keys(context.disk.home, context.spec.authorized_keys)
        stop_pipe = StopPipe(context.stop_pipe, lambda: self._on_stop_script(machine_id, on_stop))
        body: MachineInstance | None = None
        try:
            body = await self._start_instance(context)
            proxy = await FaultProxy("127.0.0.1", body.port, context.spec.port).start()
        except BaseException:
            stop_pipe.close()
            if body is not None:
                await body.kill()
            raise
        machine = BootedMachine(
            id=machine_id,
            host=proxy.host,
            port=proxy.port,
            spec=context.spec,
            host_key=host_key,
            home=body.home,
            proxy=proxy,
        )
        booted = self._booted[machine_id] = _MachineRecord(machine, body, context, stop_pipe)
        booted.watch_task = asyncio.create_task(self._watch_machine(booted))
        return machine

    async def kill(self, machine_id: str) -> None:
        booted = self._booted.get(machine_id)
        if booted is not None:
            await asyncio.shield(self._begin_shutdown(booted))

    async def freeze(self, machine_id: str, frozen: bool) -> None:
        booted = self._find_alive(machine_id)
        if booted is not None:
            booted.machine.proxy.hold(frozen)
            booted.instance.freeze(frozen)
            booted.machine.is_frozen = frozen

    async def refuse_connections(self, machine_id: str, refused: bool) -> None:
        booted = self._find_alive(machine_id)
        if booted is not None:
            booted.machine.proxy.plan = evolve(booted.machine.proxy.plan, refuse=refused)

    async def add_authorized_key(self, machine_id: str, line: str) -> None:
        check_key_line(line)
        booted = self._find_alive(machine_id)
        if booted is not None:
            booted.instance.add_authorized_key(line)

    async def change_host_key(self, machine_id: str) -> None:
        booted = self._find_alive(machine_id)
        if booted is not None:
            booted.machine.host_key = make_host_key(booted.context.disk.host_key)
            await booted.instance.reload_host_key()
            booted.machine.proxy.reset_connections()

    async def hide_program(self, machine_id: str, program: str, hidden: bool) -> None:
        booted = self._find_alive(machine_id)
        if booted is None:
            return
        opt = booted.context.disk.opt
        if not hidden:
            show_program(opt, program)
            booted.machine.hidden_programs.discard(program)
            return
        make_visible_folder(opt, booted.context.spec.missing)
        if not hide_program(opt, program) and program not in booted.machine.hidden_programs:
            raise UsageError(_("the machine has no program {name!r}").format(name=program))
        booted.machine.hidden_programs.add(program)
        await booted.instance.show_visible_programs()

    async def fill_disk(self, machine_id: str, full: bool) -> None:
        booted = self._find_alive(machine_id)
        if booted is not None:
            await booted.instance.fill_disk(full)
            booted.machine.is_full = full

    async def cut_connections(self, machine_id: str) -> int:
        booted = self._find_alive(machine_id)
        return booted.machine.proxy.reset_connections() if booted else 0

    async def delete_disk(self, data: str) -> None:
        self._disks.erase_disk(data)

    def list_machines(self) -> list[BootedMachine]:
        return [booted.machine for booted in self._booted.values() if booted.machine.alive]

    def list_processes(self, machine_id: str) -> list[int]:
        booted = self._booted.get(machine_id)
        return booted.instance.list_processes() if booted else []

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(self.kill(machine_id) for machine_id in list(self._booted)))
        await asyncio.gather(*(self._stop_tasks - {asyncio.current_task()}), return_exceptions=True)
        self._runtime.close()

    def _find_alive(self, machine_id: str) -> _MachineRecord | None:
        booted = self._booted.get(machine_id)
        return booted if booted and booted.machine.alive else None

    async def _watch_machine(self, booted: _MachineRecord) -> None:
        """Shut the machine down when it ends by itself; runs beside every machine."""
        await booted.instance.ended.wait()
        self._begin_shutdown(booted)

    def _begin_shutdown(self, booted: _MachineRecord) -> "asyncio.Task[None]":
        if booted.shutdown_task is None:
            booted.machine.alive = False
            # Stall first: a machine that loses power sends no exit status of the processes that die with it.
            booted.machine.proxy.hold(True)
            booted.shutdown_task = asyncio.get_running_loop().create_task(self._shut_down(booted))
        return booted.shutdown_task

    async def _shut_down(self, booted: _MachineRecord) -> None:
        try:
            await booted.instance.kill()
        finally:
            if booted.watch_task:
                booted.watch_task.cancel()
            booted.stop_pipe.close()
            await booted.machine.proxy.close()
            remove_tree(booted.context.runtime_folder)
            booted.context.disk.release()
            del self._booted[booted.machine.id]

    def _on_stop_script(self, machine_id: str, on_stop: StopCallback | None) -> None:
        task = asyncio.get_running_loop().create_task(self._handle_stop(machine_id, on_stop))
        self._stop_tasks.add(task)
        task.add_done_callback(self._stop_tasks.discard)

    async def _handle_stop(self, machine_id: str, on_stop: StopCallback | None) -> None:
        try:
            if on_stop is not None:
                await on_stop(machine_id)
        except Exception:
            LOG.exception("the callback for the stop of machine %s failed", machine_id)
        finally:
            await self.kill(machine_id)
