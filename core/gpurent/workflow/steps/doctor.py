"""Step: whether the machine can do the job, before it is paid for any longer; and the same look on demand.

``[doctor] policy``: "off" (nobody looks), "warn" (what is found is told), "require" (a machine that failed is given
back). ``--doctor`` is the same for one trip.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gpurent.domain.events import EventKind
from gpurent.domain.health import Finding, Health, Policy, Verdict
from gpurent.domain.lease import Lease
from gpurent.domain.trip import TripSpec
from gpurent.errors import Spent, UnavailableError, UnfitMachine, UsageError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext

if TYPE_CHECKING:
    from gpurent.remote.doctor.judge import Wanted

DEFAULT = Policy.OFF


def policy(desk: Desk, want: TripSpec) -> Policy:
    """As the trip says, else the settings."""
    given = want.doctor or desk.setting("doctor", "policy", DEFAULT.value)
    try:
        return Policy(given.strip().lower())
    except ValueError:
        raise UsageError(
            _("the doctor's policy is off, warn or require, not {given}").format(given=repr(given)[:40]),
            hint="[doctor]\npolicy = …",
        ) from None


async def doctor(trail: TripContext, leg: str, line: ReconnectingConnection, want: TripSpec) -> None:
    """Examine once, by policy. `UnfitMachine` when the policy requires a machine that did not fail."""
    chosen = policy(trail.desk, want)
    if chosen is Policy.OFF:
        return

    async def look() -> Health:
        health = await examine(trail.desk, line, python_of(trail.desk, line.lease, want.command))
        _tell(trail, line.lease.id, health)
        return health

    health = await trail.once(f"{leg}.doctor", Health, look)
    failed = health.of(Verdict.FAILURE)
    if failed and chosen is Policy.REQUIRE:
        raise unfit(failed)


def unfit(failed: tuple[Finding, ...]) -> UnfitMachine:
    return UnfitMachine(
        _("the machine is not fit for the job: {why}").format(why="; ".join(one.text for one in failed)),
        hint="\n".join(dict.fromkeys(one.do for one in failed if one.do)),
        detail=", ".join(one.cause for one in failed if one.cause),
        spent=Spent.YES,
    )


def _tell(trail: TripContext, lease: str, health: Health) -> None:
    for finding in (*health.of(Verdict.FAILURE), *health.of(Verdict.WARNING)):
        advice = f" ({finding.do})" if finding.do else ""
        trail.tell(
            EventKind.WARNING,
            f"{finding.check}: {finding.text}{advice}",
            lease=lease,
            verdict=finding.verdict.value,
            cause=finding.cause,
        )
    for finding in health.of(Verdict.UNCHECKED):
        trail.tell(EventKind.PROGRESS, f"{finding.check}: {finding.text}", lease=lease)


async def examine(desk: Desk, line: ReconnectingConnection, python: str) -> Health:
    """One examination over ``line``; a machine that does not answer at all is an `UnavailableError`, as ever."""
    from gpurent.remote.doctor.judge import hung, judge
    from gpurent.remote.doctor.measure import measure
    from gpurent.remote.doctor.script import TIMEOUT, command, program, read

    lease = line.lease
    wanted = _wanted(desk, lease, python)
    pythons = tuple(dict.fromkeys(name for name in (python, *_PYTHONS) if name))

    async def go(link: SshConnection) -> Health:
        measured = await measure(link)
        try:
            ran = await link.run(command(pythons, data=wanted.data), input=program(), timeout=TIMEOUT)
        except UnavailableError as error:
            if error.retryable:
                raise
            return hung(desk.clock.now(), TIMEOUT)
        return judge(desk.clock.now(), read(ran.out), measured, wanted)

    return await line.do(go)


async def examine_lease(desk: Desk, given: str, python: str = "") -> Health:
    """On demand, whatever runs there; nothing is given back."""
    line = ReconnectingConnection(desk, desk.lease(given).id)
    try:
        await line.look()
        return await examine(desk, line, python or desk.profile_of(line.lease).python)
    finally:
        await line.close()


# Where images keep the Python that has the framework, when the job's own has none.
_PYTHONS = (
    "python3",
    "python",
    "/opt/conda/bin/python",
    "/usr/local/bin/python",
)


def python_of(desk: Desk, lease: Lease, command: tuple[str, ...]) -> str:
    """The Python that ``command`` starts: named in it, or the machine's for a .py file; empty for another program."""
    first = command[0].split()[0] if command and command[0].split() else ""
    if PurePosixPath(first).name.startswith("python"):
        return first
    return desk.profile_of(lease).python if first.endswith(".py") else ""


def _wanted(desk: Desk, lease: Lease, python: str) -> Wanted:
    from gpurent.remote.doctor.judge import Wanted

    hardware = lease.offer.hardware
    return Wanted(
        gpu=hardware.gpu,
        gpus=hardware.gpus,
        gpu_memory=hardware.gpu_memory,
        python=python,
        data=desk.profile_of(lease).data,
    )
