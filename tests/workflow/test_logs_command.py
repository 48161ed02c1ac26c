"""``logs``: the exit codes of jobs that ended, were lost or never started; a bar as one line, and the raw log."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from gpurent.domain.job import JobState
from gpurent.domain.trip import JobSpec, ResultsSpec
from tests.workflow.test_failures import log_in_with_money, make_project, make_spec
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox

BAR = r"printf 'start\n10%%\r50%%\r100%%\n\033[1mbold\033[0m\n'; exit 3"


async def test_what_logs_shows_and_returns(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(ScriptedUser()) as application:
        await log_in_with_money(sandbox, application)
        spec = evolve(make_spec(make_project(tmp_path)), job=JobSpec(), results=ResultsSpec(unwanted=True))
        lease = (await application.trips.rent(spec)).id
        machine = application.machine_commands
        assert (
            await machine.start_job(lease, "bar", JobSpec(command=(BAR,), launcher="plain"), ".")
        ).exit_code == 3

        shown = await sandbox.run_command("logs", lease, "bar")
        assert (shown.code, shown.out) == (0, "start\n100%\nbold\n")
        shown = await sandbox.run_command("logs", lease, "bar", "--raw")
        assert (shown.code, shown.out) == (0, "start\n10%\r50%\r100%\n\x1b[1mbold\x1b[0m\n")
        assert (await sandbox.run_command("logs", lease, "bar", "--status")).code == 3
        assert (await sandbox.run_command("logs", lease, "bar", "-f")).code == 3

        await machine.start_job(lease, "lost", JobSpec(command=("sleep 600",), launcher="plain"), ".")
        lose = 'cd ~/.gpurent/jobs/lost && kill -9 "-$(cat pid)"'
        assert (await machine.run_command(lease, lose)).exit_status == 0
        assert (await machine.show_log(lease, "lost", follow=True)).state is JobState.LOST
        for option in ("--status", "-f"):
            result = await sandbox.run_command("logs", lease, "lost", option)
            assert (result.code, "disappeared without an exit code" in result.err) == (7, True)
        assert (await sandbox.run_command("logs", lease, "lost")).code == 0
        for options in ((), ("--status",), ("-f",), ("--status", "--json")):
            result = await sandbox.run_command("logs", lease, "no-such-job", *options)
            assert result.code == 7, options
        assert (
            "no job no-such-job was started"
            in (await sandbox.run_command("logs", lease, "no-such-job", "-f")).err
        )
        await application.releases.release_lease(lease)
