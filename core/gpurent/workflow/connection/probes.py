"""What is on a machine, and whether it can do the work: asked over a connection, by one script each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic

from attrs import evolve, frozen

from gpurent.domain.health import Health
from gpurent.domain.lease import Lease
from gpurent.domain.machine_facts import MachineFacts
from gpurent.errors import RemoteError, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.ports.system import Clock
from gpurent.remote import machine_facts
from gpurent.remote.doctor.judge import Wanted, hung, judge
from gpurent.remote.doctor.script import (
    CLOCK_COMMAND,
    TIMEOUT,
    UPLOAD_COMMAND,
    Measured,
    convolution_program,
    doctor_command,
    download_arrived,
    download_command,
    parse_answer,
    parse_clock,
    upload_arrived,
    upload_load,
)
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins

# Loads in bytes; the second is sent where the first took less than `QUICK` seconds.
FIRST = 64 << 10
SECOND = 1 << 20
QUICK = 0.5
LIMIT = 30.0
# Where images keep the Python that has the framework, when the job's own has none.
_PYTHONS = ("python3", "python", "/opt/conda/bin/python", "/usr/local/bin/python")


@frozen
class MachineFactsReader:
    plugins: Plugins
    clock: Clock
    connections: Connections
    leases: LeaseTracker

    async def read(self, provider: str, ssh: SshConnection) -> MachineFacts:
        """A machine on which the script does not come to its end is a `RemoteError`."""
        data = self.plugins.provider_entry(provider).profile.data
        ran = await ssh.run(machine_facts.facts_command(data), timeout=machine_facts.TIMEOUT)
        if not machine_facts.facts_are_whole(ran.out):
            raise RemoteError(
                _("the machine does not say what is on it"),
                detail=ran.err[:300],
                hint=_("Look by: gpurent ssh"),
            )
        return machine_facts.parse_facts(ran.out, self.clock.now(), data)

    async def read_lease(self, given: str) -> Lease:
        """Ask again, and keep what was found on the lease."""
        async with self.connections.visit_lease(given) as connection:
            provider = connection.lease.provider
            found = await connection.do(lambda ssh: self.read(provider, ssh))
        return self.leases.update_lease(connection.lease_id, lambda lease: evolve(lease, found=found))


@frozen
class Doctor:
    """Examines machines; what follows from what it finds is for others to decide."""

    connections: Connections
    plugins: Plugins
    clock: Clock

    async def examine(self, connection: ReconnectingConnection, python: str) -> Health:
        """``python``: what starts the job, empty when it is no Python program. No answer at all: `UnavailableError`."""
        lease = connection.lease
        wanted = Wanted(
            gpu=lease.offer.hardware.gpu,
            gpus=lease.offer.hardware.gpus,
            gpu_memory=lease.offer.hardware.gpu_memory,
            python=python,
            data=self.plugins.profile_of(lease).data,
        )
        return await connection.do(lambda ssh: self._examine(ssh, wanted))

    async def examine_lease(self, given: str, python: str = "") -> Health:
        """On demand, whatever runs there. ``python`` empty: the machine's own."""
        async with self.connections.visit_lease(given) as connection:
            return await self.examine(connection, python or self.plugins.profile_of(connection.lease).python)

    async def _examine(self, ssh: SshConnection, wanted: Wanted) -> Health:
        pythons = tuple(dict.fromkeys(name for name in (wanted.python, *_PYTHONS) if name))
        measured = await measure_connection(ssh)
        try:
            ran = await ssh.run(
                doctor_command(pythons, data=wanted.data), input=convolution_program(), timeout=TIMEOUT
            )
        except UnavailableError as error:
            if error.retryable:
                raise
            return hung(self.clock.now(), TIMEOUT)
        return judge(self.clock.now(), parse_answer(ran.out), measured, wanted)


async def measure_connection(ssh: SshConnection) -> Measured:
    """A few round trips; some 2 MiB where the connection is quick, 128 KiB where it is not."""
    before = datetime.now(UTC).timestamp()
    ran = await ssh.run(CLOCK_COMMAND, timeout=LIMIT)
    ahead, margin = parse_clock(ran.out, before, datetime.now(UTC).timestamp())
    return Measured(
        ahead=ahead, margin=margin, up=await _rate(ssh, _upload), down=await _rate(ssh, _download)
    )


async def _rate(ssh: SshConnection, carry: Callable[[SshConnection, int], Awaitable[bool]]) -> float | None:
    """Bytes a second, by a second and larger load where the first went quickly; None when it did not arrive."""
    rate = None
    for size in (FIRST, SECOND):
        begun = monotonic()
        if not await carry(ssh, size):
            return None
        took = monotonic() - begun
        rate = size / max(took, 0.001)
        if took >= QUICK:
            break
    return rate


async def _upload(ssh: SshConnection, size: int) -> bool:
    ran = await ssh.run(UPLOAD_COMMAND, input=upload_load(size), timeout=LIMIT)
    return upload_arrived(ran.out, size)


async def _download(ssh: SshConnection, size: int) -> bool:
    return download_arrived((await ssh.run(download_command(size), timeout=LIMIT)).out, size)
