"""Scheduled jobs: calls of the API that the service makes by itself, at minute 0 of an hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gpurent.api import Evidence
from gpurent_plugin_vast import _
from gpurent_plugin_vast.simulator.calls import ApiRoute, Call
from gpurent_plugin_vast.simulator.refusal import VastRefusal, invalid_args, no_such_instance
from gpurent_plugin_vast.simulator.schedule import ScheduledJob
from gpurent_plugin_vast.simulator.state import VastState

PATH = "/api/v0/commands/schedule_job/"
# Frequency: whether it takes a day of the week, and an hour of the day.
FREQUENCIES = {"HOURLY": (False, False), "DAILY": (False, True), "WEEKLY": (True, True)}
METHODS = ("GET", "POST", "PUT", "DELETE")


class ScheduleRoutes:
    """The routes of scheduled jobs."""

    def __init__(self, state: VastState) -> None:
        self._state = state

    def list_routes(self) -> list[ApiRoute]:
        note = _("the answer is that of clients; of the jobs, only a stop and a destroy are carried out")
        source = Evidence.SOURCE
        return [
            ApiRoute(method="POST", path=PATH, handle=self._add, evidence=source, note=note),
            ApiRoute(method="GET", path=PATH, handle=self._list, evidence=source, note=note),
            ApiRoute(method="DELETE", path=f"{PATH}{{id}}/", handle=self._remove, evidence=source, note=note),
        ]

    async def _add(self, call: Call) -> Any:
        body = call.body
        wanted = FREQUENCIES.get(body.get("frequency", ""))
        given = tuple(body.get(name) is not None for name in ("day_of_the_week", "hour_of_the_day"))
        if wanted is None or given != wanted:
            raise invalid_args("frequency does not fit day_of_the_week and hour_of_the_day")
        start, end = (_parse_time(body.get(name)) for name in ("start_time", "end_time"))
        if start >= end or body.get("request_method") not in METHODS:
            raise invalid_args("start_time must be less than end_time")
        machine = body.get("instance_id")
        if type(machine) is not int or call.account.find_instance(machine) is None:
            raise no_such_instance(machine if type(machine) is int else 0)
        job_body = body.get("request_body")
        made = ScheduledJob(
            id=next(self._state.job_numbers),
            instance_id=machine,
            path=str(body.get("api_endpoint")),
            method=str(body["request_method"]),
            body=job_body if isinstance(job_body, Mapping) else {},
            frequency=str(body["frequency"]),
            start=start,
            end=end,
        )
        made.find_next(self._state.at)
        call.account.jobs[made.id] = made
        return {"success": True, "scheduled_job_id": made.id}

    async def _list(self, call: Call) -> Any:
        return [_describe(job) for job in call.account.jobs.values()]

    async def _remove(self, call: Call) -> Any:
        if call.account.jobs.pop(call.id, None) is None:
            raise VastRefusal(404, "not_found", f"Scheduled job {call.id} not found.")
        return {"success": True}


def _describe(job: ScheduledJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "instance_id": job.instance_id,
        "api_endpoint": job.path,
        "request_method": job.method,
        "request_body": job.body,
        "frequency": job.frequency,
        "start_time": int(job.start.timestamp()),
        "end_time": int(job.end.timestamp()),
        "day_of_the_week": None,
        "hour_of_the_day": None,
    }


def _parse_time(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(value))
    except (TypeError, ValueError, OverflowError):
        raise invalid_args("start_time and end_time are epoch seconds") from None
