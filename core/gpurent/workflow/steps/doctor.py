"""Step: examine whether the machine is fit for the job, before paying for more time on it.

``[doctor] policy``: "off" (do not examine), "warn" (report the findings), "require" (release a machine that fails).
``--doctor`` overrides it for one trip; a project file can only make it stricter.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.health import DoctorPolicy, HealthReport, Verdict
from gpurent.domain.tightening import choose_tighter
from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME
from gpurent.errors import Spent, UnfitMachine, UsageError
from gpurent.locale import _, join_clauses
from gpurent.workflow.connection.probes import Doctor
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings


@frozen
class DoctorStep:
    doctor: Doctor
    plugins: Plugins
    settings: Settings

    def get_policy(self, spec: TripSpec) -> DoctorPolicy:
        """Return the trip's policy, else the configured one; raises `UsageError` for any other word."""
        own = self.settings.get("doctor", "policy", DoctorPolicy.OFF.value)
        if not spec.is_from_project("doctor"):
            return self._parse_policy(spec.doctor or own)
        return DoctorPolicy(
            choose_tighter(FIELDS_BY_NAME["doctor"], self._parse_policy(own).value, spec.doctor)
        )

    @staticmethod
    def _parse_policy(text: str) -> DoctorPolicy:
        try:
            return DoctorPolicy(text.strip().lower())
        except ValueError:
            raise UsageError(
                _("the doctor policy must be off, warn or require, not {given}").format(
                    given=repr(text)[:40]
                ),
                hint="[doctor]\npolicy = …",
            ) from None

    async def examine_machine(
        self, trip: TripContext, leg: str, connection: ReconnectingConnection, spec: TripSpec
    ) -> None:
        """Examine the machine once. Raises `UnfitMachine` if it fails and the policy is "require"."""
        policy = self.get_policy(spec)
        if policy is DoctorPolicy.OFF:
            return

        async def look() -> HealthReport:
            python = _find_python(
                spec.job.command, self.plugins.profile_of(await connection.get_lease()).python
            )
            health = await self.doctor.examine_machine(connection, python)
            _emit_findings(trip, connection.lease_id, health)
            return health

        health = await trip.step(f"{leg}.doctor", HealthReport, look)
        failed = health.findings_with(Verdict.FAILURE)
        if failed and policy is DoctorPolicy.REQUIRE:
            raise UnfitMachine(
                _("the machine is not suitable for the job: {why}").format(
                    why=join_clauses(one.text for one in failed)
                ),
                hint="\n".join(dict.fromkeys(one.advice for one in failed if one.advice)),
                detail=", ".join(one.cause for one in failed if one.cause),
                spent=Spent.YES,
            )


def _find_python(command: tuple[str, ...], default: str) -> str:
    """Return the Python that ``command`` starts; ``default`` for a .py file, empty for any other program."""
    first = command[0].split()[0] if command and command[0].split() else ""
    if PurePosixPath(first).name.startswith("python"):
        return first
    return default if first.endswith(".py") else ""


def _emit_findings(trip: TripContext, lease_id: str, health: HealthReport) -> None:
    for finding in (*health.findings_with(Verdict.FAILURE), *health.findings_with(Verdict.WARNING)):
        advice = f" ({finding.advice})" if finding.advice else ""
        trip.emit(
            EventKind.WARNING,
            f"{finding.check}: {finding.text}{advice}",
            lease=lease_id,
            verdict=finding.verdict.value,
            cause=finding.cause,
        )
    for finding in health.findings_with(Verdict.UNCHECKED):
        trip.emit(EventKind.PROGRESS, f"{finding.check}: {finding.text}", lease=lease_id)
