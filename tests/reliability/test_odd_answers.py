"""An answer that says nothing about the machine changes nothing: the job runs on, and its results come down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from gpurent.domain.trip import JobSpec, ResultsSpec, TripSpec, UploadSpec
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox

# An embedded machine sees this computer's files: the test tells the job when to end.
JOB = """
import os, pathlib, time
while not os.path.exists({signal!r}):
    time.sleep(0.05)
pathlib.Path("out.txt").write_text("done")
"""


ODD_ANSWERS = {
    "rate-limited": ServiceFault(service="mistgpu", status=429, headers=[("Retry-After", "120")]),
    "server-error": ServiceFault(service="mistgpu", status=502, body="<html>nginx</html>"),
    "maintenance-page": ServiceFault(service="mistgpu", body="<html><body>系统维护中</body></html>"),
    "another-refusal": ServiceFault(service="mistgpu", status=403, body="blocked by a firewall"),
    "another-shape": ServiceFault(service="mistgpu", body='{"code": 0}'),
    "empty": ServiceFault(service="mistgpu", body=""),
}


# The others say as little, in another way; they are tried by night.
EVERY_RUN = frozenset({"empty"})


@pytest.mark.parametrize(
    "name",
    [name if name in EVERY_RUN else pytest.param(name, marks=pytest.mark.nightly) for name in ODD_ANSWERS],
)
async def test_an_odd_answer_while_the_job_runs(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    signal = tmp_path / "go-on"
    (folder / "train.py").write_text(JOB.format(signal=str(signal)))
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application(user) as application:
            await application.account_commands.log_in(
                "mistgpu", {"username": "student", "password": "student-pass"}
            )
            await sandbox.top_up_mistgpu(application, "100")
            running = asyncio.create_task(
                application.trips.run(
                    TripSpec(
                        upload=UploadSpec(folder=str(folder)),
                        job=JobSpec(command=("train.py",)),
                        results=ResultsSpec(paths=("out.txt",)),
                        provider="mistgpu",
                    )
                )
            )
            await user.wait_for_event(EventKind.JOB_STARTED)
            fault = await sandbox.cloud.faults.add(ODD_ANSWERS[name])
            await user.wait_for_event(EventKind.WARNING)
            await asyncio.sleep(1)  # ten minutes there: it is asked again and again
            assert not running.done()
            assert len(list(sandbox.cloud.burning())) == 1
            assert fault.applied > 0
            await sandbox.cloud.faults.clear()
            signal.touch()
            end = await running
        assert end.exit_code == 0
        assert (folder / "out.txt").read_text() == "done"
        assert list(sandbox.cloud.burning()) == []
        warnings = [event.text for event in user.events if event.kind is EventKind.WARNING]
        assert len(warnings) == len(set(warnings)), "each reason is reported once"
