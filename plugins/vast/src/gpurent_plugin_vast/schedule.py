"""The timer of vast.ai: a scheduled job of the account that stops one of its machines at a full hour.

Source: the official client, which schedules calls of the API this way. A job runs at minute 0 of each hour from the one
that its start lies in to its end, so a job of half an hour from just after a full hour on runs once, at that hour.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import evolve, frozen

from gpurent.api import UnavailableError
from gpurent_plugin_vast import _, wire

JOBS_PATH = "/api/v0/commands/schedule_job/"
HOUR, JOB_SPAN = timedelta(hours=1), timedelta(minutes=30)
NOTICE = timedelta(minutes=2)
MAX_ATTEMPTS = 3


@frozen
class StopJob:
    """A job that stops a machine; ``at``: the full hour."""

    id: int
    at: datetime


@frozen
class StopSchedule:
    """The jobs that stop one machine."""

    client: wire.VastApi
    machine: int

    async def set_time(self, at: datetime | None) -> None:
        """Have the machine stopped at this full hour only; None: never. Returns once the list of jobs says so."""
        for _attempt in range(MAX_ATTEMPTS):
            jobs = await self._list_jobs()
            others = [job for job in jobs if job.at != at]
            if not others and (at is None or jobs):
                return
            # The earlier time goes first: it would stop a machine that is to run on.
            for job in others:
                await self.client.call_checked("DELETE", f"{JOBS_PATH}{job.id}/", json={})
            if at is not None and len(jobs) == len(others):
                await self._add_job(at)
        text = _("vast.ai does not list the scheduled stop as it was set")
        raise UnavailableError(text, retryable=True)

    @property
    def _endpoint(self) -> str:
        return f"/api/v0/instances/{self.machine}/"

    async def _list_jobs(self) -> list[StopJob]:
        reply = await evolve(self.client, reply=wire.VastList).call_checked("GET", JOBS_PATH)
        found = []
        for row in reply.get_rows(reply.array_field):
            if (row.get("api_endpoint"), row.get("request_method")) == (self._endpoint, "PUT"):
                start = reply.get_time(row, "start_time")
                if start is None:
                    raise reply.make_unexpected_response(_("a scheduled job without its start"))
                found.append(StopJob(reply.get_integer(row, "id"), _floor_hour(start)))
        return found

    async def _add_job(self, at: datetime) -> None:
        start = int(at.timestamp()) + 1
        job: dict[str, Any] = {
            "start_time": start,
            "end_time": start + int(JOB_SPAN.total_seconds()),
            "api_endpoint": self._endpoint,
            "request_method": "PUT",
            "request_body": {"state": "stopped"},
            "frequency": "HOURLY",
            "day_of_the_week": None,
            "hour_of_the_day": None,
            "instance_id": self.machine,
        }
        reply = await self.client.call_checked("POST", JOBS_PATH, json=job)
        reply.get_integer(reply.body, "scheduled_job_id")


def find_full_hour(at: datetime, now: datetime) -> datetime:
    """Return the first full hour that is not before ``at``, and far enough ahead for a job."""
    wanted = max(at, now + NOTICE)
    floor = _floor_hour(wanted)
    return floor if floor == wanted else floor + HOUR


def _floor_hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
