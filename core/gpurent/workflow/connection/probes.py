"""Probes of a machine over SSH, one script each: its facts, and whether it can do the work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic

from attrs import evolve, frozen

from gpurent.domain.health import Finding, HealthReport
from gpurent.domain.lease import Lease
from gpurent.domain.machine_facts import MachineFacts
from gpurent.errors import RemoteError, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.ports.system import Clock
from gpurent.remote import machine_facts
from gpurent.remote.doctor.health_report import ExpectedMachine, make_health_report, make_hung_report
from gpurent.remote.doctor.script import (
    CLOCK_COMMAND,
    DOCTOR_TIMEOUT,
    UPLOAD_COMMAND,
    Measurements,
    doctor_command,
    download_command,
    is_download_complete,
    is_upload_complete,
    make_upload_data,
    parse_clock,
    parse_doctor_output,
    read_convolution_program,
)
from gpurent.remote.doctor.speed_findings import assess_performance
from gpurent.remote.doctor.speed_script import (
    PERFORMANCE_TIMEOUT,
    parse_performance_output,
    performance_command,
)
from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins

# Payload sizes in bytes; the large one is sent only if the small one took less than `QUICK_SECONDS`.
SMALL_LOAD = 64 << 10
LARGE_LOAD = 1 << 20
QUICK_SECONDS = 0.5
MEASURE_TIMEOUT = 30.0
# Where images keep the Python that has the framework, in case the job's own Python lacks it.
_PYTHON_CANDIDATES = ("python3", "python", "/opt/conda/bin/python", "/usr/local/bin/python")


@frozen
class MachineFactsReader:
    plugins: Plugins
    clock: Clock
    connections: Connections
    leases: LeaseTracker

    async def read_facts(self, provider: str, ssh: SshConnection) -> MachineFacts:
        """Return the machine's facts. Raises `RemoteError` if the script does not run to its end."""
        data = self.plugins.provider_entry(provider).profile.data_dir
        ran = await ssh.run(machine_facts.facts_command(data), timeout=machine_facts.FACTS_TIMEOUT)
        if not machine_facts.is_facts_output_complete(ran.stdout):
            raise RemoteError(
                _("the machine did not report its hardware and software"),
                detail=ran.stderr[:300],
                hint=_("Look at it yourself, with its SSH command or: gpurent ssh LEASE"),
            )
        return machine_facts.parse_facts(ran.stdout, self.clock.now(), data)

    async def refresh_facts(self, lease_id: str) -> Lease:
        """Probe the machine again and save the facts with the lease."""
        async with self.connections.connect_to_lease(lease_id) as connection:
            provider = (await connection.get_lease()).provider
            found = await connection.run_with_retry(lambda ssh: self.read_facts(provider, ssh))
        return await self.leases.update_lease(
            connection.lease_id, lambda lease: evolve(lease, machine_facts=found)
        )


@frozen
class Doctor:
    """Examines machines and reports findings; the caller decides what to do about them."""

    connections: Connections
    plugins: Plugins
    clock: Clock

    async def examine_machine(
        self, connection: ReconnectingConnection, python: str, *, performance: bool = False
    ) -> HealthReport:
        """Examine the machine. ``python`` is the interpreter that starts the job, empty if it is not a Python program.

        ``performance``: also load its GPUs and disks for a minute and measure them. Raises `UnavailableError` if the
        machine does not answer at all.
        """
        lease = await connection.get_lease()
        wanted = ExpectedMachine(
            gpu=lease.offer.hardware.gpu,
            gpus=lease.offer.hardware.gpus,
            gpu_memory=lease.offer.hardware.gpu_memory,
            disk=lease.offer.hardware.disk,
            python=python,
            data=self.plugins.profile_of(lease).data_dir,
        )
        found = await connection.run_with_retry(lambda ssh: self._examine(ssh, wanted))
        if not performance:
            return found
        speeds = await connection.run_with_retry(lambda ssh: measure_performance(ssh, wanted))
        return evolve(found, findings=(*found.findings, *speeds))

    async def examine_lease(
        self, lease_id: str, python: str = "", *, performance: bool = False
    ) -> HealthReport:
        """Examine a machine on demand, even while a job runs. An empty ``python`` means the machine's default."""
        async with self.connections.connect_to_lease(lease_id) as connection:
            default = self.plugins.profile_of(await connection.get_lease()).python
            return await self.examine_machine(connection, python or default, performance=performance)

    async def _examine(self, ssh: SshConnection, wanted: ExpectedMachine) -> HealthReport:
        measured = await measure_connection(ssh)
        try:
            ran = await ssh.run(
                doctor_command(_list_pythons(wanted), data=wanted.data),
                input=read_convolution_program(),
                timeout=DOCTOR_TIMEOUT,
            )
        except UnavailableError as error:
            if error.retryable:
                raise
            return make_hung_report(self.clock.now(), DOCTOR_TIMEOUT)
        return make_health_report(self.clock.now(), parse_doctor_output(ran.stdout), measured, wanted)


def _list_pythons(wanted: ExpectedMachine) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in (wanted.python, *_PYTHON_CANDIDATES) if name))


async def measure_performance(ssh: SshConnection, wanted: ExpectedMachine) -> tuple[Finding, ...]:
    """Load the machine's GPUs and disks, and compare them with what is paid for."""
    command = performance_command(_list_pythons(wanted), data=wanted.data)
    ran = await ssh.run(command, timeout=PERFORMANCE_TIMEOUT)
    return tuple(assess_performance(parse_performance_output(ran.stdout), wanted))


async def measure_connection(ssh: SshConnection) -> Measurements:
    """Measure clock offset and throughput in a few round trips, with 128 KiB, or about 2 MiB on a fast connection."""
    before = datetime.now(UTC).timestamp()
    ran = await ssh.run(CLOCK_COMMAND, timeout=MEASURE_TIMEOUT)
    ahead, margin = parse_clock(ran.stdout, before, datetime.now(UTC).timestamp())
    return Measurements(
        clock_ahead=ahead,
        clock_margin=margin,
        upload_rate=await _measure_rate(ssh, _try_upload),
        download_rate=await _measure_rate(ssh, _try_download),
    )


async def _measure_rate(
    ssh: SshConnection, transfer: Callable[[SshConnection, int], Awaitable[bool]]
) -> float | None:
    """Return bytes per second, re-measured with a larger payload if the first was fast; None if a transfer failed."""
    rate = None
    for size in (SMALL_LOAD, LARGE_LOAD):
        begun = monotonic()
        if not await transfer(ssh, size):
            return None
        took = monotonic() - begun
        rate = size / max(took, 0.001)
        if took >= QUICK_SECONDS:
            break
    return rate


async def _try_upload(ssh: SshConnection, size: int) -> bool:
    ran = await ssh.run(UPLOAD_COMMAND, input=make_upload_data(size), timeout=MEASURE_TIMEOUT)
    return is_upload_complete(ran.stdout, size)


async def _try_download(ssh: SshConnection, size: int) -> bool:
    return is_download_complete((await ssh.run(download_command(size), timeout=MEASURE_TIMEOUT)).stdout, size)
