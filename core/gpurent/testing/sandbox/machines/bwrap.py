"""The driver with real isolation: bubblewrap around a real OpenSSH server, for any user."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess

from gpurent.testing.patience import within
from gpurent.testing.sandbox.faults import free_port
from gpurent.testing.sandbox.machines import memory_disk
from gpurent.testing.sandbox.machines.base import Body, DriverBase, Site
from gpurent.testing.sandbox.machines.bwrap_etc import home_of, write_etc
from gpurent.testing.sandbox.machines.bwrap_view import (
    BELL,
    FARM,
    OPT,
    arguments,
    python3_inside,
    sshd_command,
)
from gpurent.testing.sandbox.machines.descriptors import Descriptor
from gpurent.testing.sandbox.machines.homes import furnish
from gpurent.testing.sandbox.machines.model import BootFailed
from gpurent.testing.sandbox.machines.proctree import descendants, reaped, signal_tree
from gpurent.testing.sandbox.machines.programs import Programs, fit_out, host_program, write_program
from gpurent.testing.sandbox.machines.stops import stop_script, write_own

_PATIENCE = 10.0  # seconds of an idle computer
_LOOK_AGAIN = 0.003  # seconds
_ATTEMPTS = 5


class BwrapDriver(DriverBase):
    """Machines have their own processes, root folder, user name and hostname; the network is the host's."""

    name = "bwrap"

    async def _raise(self, site: Site) -> Body:
        spec, disk = site.spec, site.disk
        programs = fit_out(
            disk.opt, site.farms, spec, python3=python3_inside(), opt_inside=OPT, farm_inside=FARM
        )
        furnish(disk.home, spec, programs.search)
        write_own(spec.stop_scripts, disk.home, BELL)
        write_program(site.run / "stop", stop_script(BELL))
        for _ in range(_ATTEMPTS):
            body = _BwrapBody(site, programs)
            try:
                await body.start()
            except _PortTaken:
                continue
            return body
        raise BootFailed("found no free port")


class _PortTaken(BootFailed):
    """Somebody was quicker."""


class _BwrapBody(Body):
    def __init__(self, site: Site, programs: Programs) -> None:
        self.port = free_port()
        self.home = home_of(site.spec.user)
        self.gone = asyncio.Event()
        self._site = site
        self._programs = programs
        self._log = site.run / "sshd.log"
        self._init = 0  # the namespace's process 1, as the host numbers it
        self._saved = site.spec.disk_bytes is None

    async def start(self) -> None:
        """Returns when sshd listens. Raises ``BootFailed``."""
        status, theirs = os.pipe()
        self._status = Descriptor(status)
        etc = write_etc(self._site.run / "etc", self._site.spec, self._programs.search, self.port)
        bwrap = [host_program("bwrap") or "bwrap", *arguments(self._site, self._programs, etc, theirs)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220  a fork of a millisecond
                [*bwrap, "--", *sshd_command(self._site)],
                pass_fds=(theirs,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={},
                start_new_session=True,
            )
        os.close(theirs)
        self._watch = asyncio.create_task(self._watch_status())
        try:
            await within(_PATIENCE, self._listening())
        except TimeoutError:
            await self._fail(BootFailed)
        except BaseException:
            await self._end()
            raise

    async def kill(self) -> None:
        if not self._saved and not self.gone.is_set():
            self._saved = True
            self.freeze(True)
            await memory_disk.save(self._site.disk, self._init, self.home)
        await self._end()

    def freeze(self, frozen: bool) -> None:
        signal_tree(self._process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def processes(self) -> list[int]:
        return [] if self.gone.is_set() else [self._process.pid, *descendants(self._process.pid)]

    async def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._init and not self.gone.is_set():
                os.kill(self._init, signal.SIGKILL)  # the kernel takes all of the namespace with it
            else:
                self._process.kill()
        try:
            await within(_PATIENCE, self.gone.wait())
        except TimeoutError:
            self._process.kill()
        await reaped(self._process)
        await self._watch

    async def _watch_status(self) -> None:
        """bwrap tells the pid of its child, and closes the pipe when the last of the machine is gone."""
        text = b""
        while data := await self._status.read():
            text += data
            if not self._init and b"\n" in text:
                self._init = int(json.loads(text.split(b"\n", 1)[0])["child-pid"])
        self._status.close()
        self.gone.set()

    async def _listening(self) -> None:
        while b"Server listening" not in self._log.read_bytes():
            if self.gone.is_set():
                await self._fail(BootFailed)
            await asyncio.sleep(_LOOK_AGAIN)
        if b"Address already in use" in self._log.read_bytes():
            await self._fail(_PortTaken)

    async def _fail(self, kind: type[BootFailed]) -> None:
        await self._end()
        text = self._log.read_text(errors="replace")
        raise (_PortTaken if "Address already in use" in text else kind)(text[-2000:])
