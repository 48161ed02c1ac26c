"""What every driver does alike: disks, ports, stop scripts, the wire, one end for each machine."""

import asyncio
import logging
from abc import ABC, abstractmethod
from pathlib import Path

from attrs import define, frozen

from gpurent.testing.sandbox.faults import FaultProxy
from gpurent.testing.sandbox.machines.disks import Disk, Disks, remove_tree
from gpurent.testing.sandbox.machines.hostkeys import public_line
from gpurent.testing.sandbox.machines.model import Machine, MachineDriver, MachineSpec, StopCallback
from gpurent.testing.sandbox.machines.runtime import Runtime
from gpurent.testing.sandbox.machines.stops import Bell

log = logging.getLogger(__name__)


@frozen
class Site:
    """What a body is raised from: the order, its disk, its runtime folder, the farms of program links."""

    spec: MachineSpec
    disk: Disk
    run: Path
    farms: Path

    @property
    def bell(self) -> Path:
        """The pipe into which stop scripts write."""
        return self.run / "bell"


class Body(ABC):
    """What really runs: an SSH server on loopback and the processes of one machine."""

    port: int
    """Where its SSH server listens, behind the wire."""
    home: str
    """The home as its shell sees it."""
    gone: asyncio.Event
    """Set when it ended, asked or unasked."""

    @abstractmethod
    async def kill(self) -> None:
        """End everything at once."""

    @abstractmethod
    def freeze(self, frozen: bool) -> None:
        """Stop or continue every process."""

    @abstractmethod
    def processes(self) -> list[int]:
        """All that lives in it, its keeper included."""


@define(eq=False)
class _Booted:
    machine: Machine
    body: Body
    site: Site
    bell: Bell
    watch: "asyncio.Task[None] | None" = None
    burial: "asyncio.Task[None] | None" = None


class DriverBase(MachineDriver):
    """A driver; its subclass says how one body is raised."""

    def __init__(self, root: Path, farms: Path | None = None) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = root.resolve()
        self._disks = Disks(root / "disks")
        self._farms = farms or root / "farms"
        self._runtime = Runtime(root)
        self._booted: dict[str, _Booted] = {}
        self._stops: set[asyncio.Task[None]] = set()
        self._closed = False

    @abstractmethod
    async def _raise(self, site: Site) -> Body:
        """Bring up what ``site`` describes. Raises ``BootFailed``."""

    async def boot(self, spec: MachineSpec, on_stop: StopCallback | None = None) -> Machine:
        if self._closed:
            raise RuntimeError("the driver is closed")
        disk = self._disks.take(spec.data)
        machine_id, run = self._runtime.folder()
        try:
            return await self._boot(machine_id, Site(spec, disk, run, self._farms), on_stop)
        except BaseException:
            remove_tree(run)
            disk.release()
            raise

    async def _boot(self, machine_id: str, site: Site, on_stop: StopCallback | None) -> Machine:
        host_key = public_line(site.disk.host_key)
        bell = Bell(site.bell, lambda: self._stop(machine_id, on_stop))
        body: Body | None = None
        try:
            body = await self._raise(site)
            line = await FaultProxy("127.0.0.1", body.port, site.spec.port).start()
        except BaseException:
            bell.close()
            if body is not None:
                await body.kill()
            raise
        machine = Machine(
            id=machine_id,
            host=line.host,
            port=line.port,
            spec=site.spec,
            host_key=host_key,
            home=body.home,
            line=line,
        )
        booted = self._booted[machine_id] = _Booted(machine, body, site, bell)
        booted.watch = asyncio.create_task(self._watch(booted))
        return machine

    async def kill(self, machine_id: str) -> None:
        booted = self._booted.get(machine_id)
        if booted is not None:
            await asyncio.shield(self._begin_burial(booted))

    async def freeze(self, machine_id: str, frozen: bool) -> None:
        booted = self._living(machine_id)
        if booted is not None:
            booted.machine.line.hold(frozen)
            booted.body.freeze(frozen)

    async def cut(self, machine_id: str) -> int:
        booted = self._living(machine_id)
        return booted.machine.line.reset_all() if booted else 0

    async def erase(self, data: str) -> None:
        self._disks.erase(data)

    def machines(self) -> list[Machine]:
        return [booted.machine for booted in self._booted.values() if booted.machine.alive]

    def processes(self, machine_id: str) -> list[int]:
        booted = self._booted.get(machine_id)
        return booted.body.processes() if booted else []

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(self.kill(machine_id) for machine_id in list(self._booted)))
        await asyncio.gather(*(self._stops - {asyncio.current_task()}), return_exceptions=True)
        self._runtime.close()

    def _living(self, machine_id: str) -> _Booted | None:
        booted = self._booted.get(machine_id)
        return booted if booted and booted.machine.alive else None

    async def _watch(self, booted: _Booted) -> None:
        """Runs beside every machine, for an end that nobody asked for."""
        await booted.body.gone.wait()
        self._begin_burial(booted)

    def _begin_burial(self, booted: _Booted) -> "asyncio.Task[None]":
        if booted.burial is None:
            booted.machine.alive = False
            # No farewell: a machine without power sends no exit status of the processes that die with it.
            booted.machine.line.hold(True)
            booted.burial = asyncio.get_running_loop().create_task(self._bury(booted))
        return booted.burial

    async def _bury(self, booted: _Booted) -> None:
        try:
            await booted.body.kill()
        finally:
            if booted.watch:
                booted.watch.cancel()
            booted.bell.close()
            await booted.machine.line.close()
            remove_tree(booted.site.run)
            booted.site.disk.release()
            del self._booted[booted.machine.id]

    def _stop(self, machine_id: str, on_stop: StopCallback | None) -> None:
        task = asyncio.get_running_loop().create_task(self._stopped_inside(machine_id, on_stop))
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

    async def _stopped_inside(self, machine_id: str, on_stop: StopCallback | None) -> None:
        try:
            if on_stop is not None:
                await on_stop(machine_id)
        except Exception:
            log.exception("the callback for the stop of machine %s failed", machine_id)
        finally:
            await self.kill(machine_id)
