"""The commands around a job, run in a shell of this computer, and what their answers mean."""

from __future__ import annotations

import os
import re
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpurent.domain.job import Job, JobState, JobStatus
from gpurent.errors import UnavailableError, UsageError
from gpurent.remote.jobs import (
    explain_end,
    log_command,
    make_run_script,
    parse_job_names,
    parse_log,
    parse_status,
    status_command,
    stop_command,
    tail_command,
    unfinished_jobs_command,
    write_script_command,
)
from tests.remote.local_shell import run_here

BEGUN, ENDED = datetime(2020, 3, 1, tzinfo=UTC), datetime(2020, 3, 1, 1, tzinfo=UTC)
RUNNING = JobStatus(state=JobState.RUNNING)
LOG = bytes(range(256))


def make_room(home: Path, name: str, **files: str) -> Path:
    room = home / ".gpurent" / "jobs" / name
    (room / "started").mkdir(parents=True)
    for file, text in files.items():
        (room / file).write_text(text, encoding="utf-8")
    return room


def test_a_job_runs_with_what_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "my work").mkdir()
    command = 'echo "$A|$B|$(basename "$PWD")|$PYTHONUNBUFFERED|GPURENT_END_OF_JOB"; exit 7'
    job = Job(name="train", command=command, folder="my work", env={"B": "it's", "A": "a b"})
    script = make_run_script(job)
    room = tmp_path / job.state_dir
    room.mkdir(parents=True)
    (room / "run.sh").write_text(script, encoding="utf-8")
    before = int(time.time())
    shown = run_here(f'sh "$HOME"/{job.state_dir}/run.sh', tmp_path)
    assert shown == "a b|it's|my work|1|GPURENT_END_OF_JOB\n"
    status = parse_status(run_here(status_command("train"), tmp_path))
    assert (status.state, status.exit_code) == (JobState.ENDED, 7)
    assert status.started_at is not None
    assert status.ended_at is not None
    assert before <= status.started_at.timestamp() <= status.ended_at.timestamp() <= time.time()
    assert run_here(f'sh "$HOME"/{job.state_dir}/run.sh', tmp_path) == "", "it never runs twice"
    assert parse_log(run_here(log_command("train", 0, 1000), tmp_path)).decode() == shown
    assert run_here(tail_command("train"), tmp_path) == shown
    assert run_here(stop_command("train"), tmp_path) == ""


def test_values_of_a_job_are_sorted_and_quoted() -> None:
    script = make_run_script(Job(name="j", command="true", env={"B": "2", "A": "$x"}))
    assert "export A='$x'\nexport B=2\n" in script


@pytest.mark.parametrize("line", ["GPURENT_END_OF_JOB", "GPURENT_END_OF_JOB_", "None", "EOF"])
def test_no_line_of_a_command_ends_the_script_early(line: str) -> None:
    script = make_run_script(Job(name="j", command=f"true\n{line}\ntrue"))
    end = re.search("<<'(.+)'", script)
    assert end is not None
    assert script.splitlines().count(end[1]) == 1


def test_the_script_is_written_whole(tmp_path: Path) -> None:
    job = Job(name="train", command="true")
    run_here(f"printf 'one\\ntwo' | {{ {write_script_command(job)}; }}", tmp_path)
    (script,) = (tmp_path / job.state_dir).iterdir()
    assert (script.name, script.read_text(encoding="utf-8")) == ("run.sh", "one\ntwo")
    assert script.stat().st_mode & 0o077 == 0


def test_unfinished_jobs(tmp_path: Path) -> None:
    command = unfinished_jobs_command()
    assert run_here(command, tmp_path) == ""
    make_room(tmp_path, "ended", exit="0 1")
    make_room(tmp_path, "one")
    make_room(tmp_path, "two")
    (tmp_path / ".gpurent" / "jobs" / "never-started").mkdir()
    assert parse_job_names(run_here(command, tmp_path)) == ["one", "two"]
    assert parse_job_names("Welcome, user!\none\n-two\n\n three\n") == ["one"]


def test_the_status_of_this_computers_jobs(tmp_path: Path) -> None:
    assert parse_status(run_here(status_command("none"), tmp_path)).state is JobState.ABSENT
    (tmp_path / ".gpurent" / "jobs" / "written").mkdir(parents=True)
    assert parse_status(run_here(status_command("written"), tmp_path)).state is JobState.ABSENT
    make_room(tmp_path, "young", begun="1583020800")
    young = parse_status(run_here(status_command("young"), tmp_path))
    assert young == JobStatus(state=JobState.RUNNING, started_at=BEGUN)
    old = make_room(tmp_path, "old")
    os.utime(old / "started", (10**9, 10**9))
    assert parse_status(run_here(status_command("old"), tmp_path)).state is JobState.LOST
    make_room(tmp_path, "alive", pid=str(os.getpid()))
    assert parse_status(run_here(status_command("alive"), tmp_path)).state is JobState.RUNNING
    make_room(tmp_path, "other", pid=str(os.getpid()), born="1")
    assert parse_status(run_here(status_command("other"), tmp_path)).state is JobState.LOST


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("", JobStatus(state=JobState.ABSENT)),
        (" \n\n", JobStatus(state=JobState.ABSENT)),
        ("absent", JobStatus(state=JobState.ABSENT)),
        ("begun\nstarting", RUNNING),
        ("begun 1583020800\nrunning\n\n", JobStatus(state=JobState.RUNNING, started_at=BEGUN)),
        ("begun 1583020800 5\nlost", JobStatus(state=JobState.LOST, started_at=BEGUN)),
        ("begun soon\nrunning", RUNNING),
        ("exit 0 1583024400", JobStatus(state=JobState.ENDED, exit_code=0, ended_at=ENDED)),
        (
            "begun 1583020800\nexit 137 1583024400 more",
            JobStatus(state=JobState.ENDED, exit_code=137, started_at=BEGUN, ended_at=ENDED),
        ),
        ("exit 1", JobStatus(state=JobState.ENDED, exit_code=1)),
        ("exit", JobStatus(state=JobState.ENDED)),
        ("exit -1 x", JobStatus(state=JobState.ENDED)),
        (f"exit {'1' * 11}", JobStatus(state=JobState.ENDED)),
    ],
)
def test_status_answers(output: str, status: JobStatus) -> None:
    assert parse_status(output) == status


@pytest.mark.parametrize("output", ["Welcome", "running\nlogout", "Running", "exited 0"])
def test_an_answer_that_is_not_understood_ends_no_job(output: str) -> None:
    with pytest.raises(UnavailableError, match="unexpected answer from the machine about the job") as caught:
        parse_status(output)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("code", "tail", "reason"),
    [
        (1, "", ""),
        (1, "one\n\x1b[31mtwo\x1b[0m\n", "one | two"),
        (126, "", "the command is not executable"),
        (127, "sh: 1: x: not found\n", "command not found; sh: 1: x: not found"),
        (None, " | X |", "X"),
        (0, "y" * 700, "y" * 600),
    ],
)
def test_why_a_job_ended_at_once(code: int | None, tail: str, reason: str) -> None:
    status = JobStatus(state=JobState.ENDED, exit_code=code, started_at=BEGUN)
    assert explain_end(status, tail) == JobStatus(
        state=JobState.ENDED, exit_code=code, started_at=BEGUN, reason=reason
    )


@pytest.mark.parametrize(("offset", "limit"), [(0, 1000), (0, 1), (1, 5), (255, 9), (256, 9)])
def test_a_part_of_a_log(tmp_path: Path, offset: int, limit: int) -> None:
    (make_room(tmp_path, "j") / "log").write_bytes(LOG)
    found = parse_log("Welcome\n" + run_here(log_command("j", offset, limit), tmp_path))
    assert found == LOG[offset : offset + limit]


def test_a_log_that_is_not_there_is_empty_and_a_truncated_one_is_refused() -> None:
    assert parse_log("") == parse_log("gpurent-log-follows") == b""
    text = b64encode(LOG).decode()
    assert parse_log(f"gpurent-log-follows\n{text[:76]}\n{text[76:]}\n") == LOG
    with pytest.raises(UnavailableError) as caught:
        parse_log(f"gpurent-log-follows\n{text[:75]}")
    assert caught.value.retryable


@pytest.mark.parametrize("name", ["", "-n", "a b", "../x", "a/b", "x" * 42, "é", "a\n"])
def test_a_name_that_is_no_jobs_is_refused(name: str) -> None:
    for command in (status_command, stop_command, tail_command, lambda text: log_command(text, 0, 1)):
        with pytest.raises(UsageError, match="invalid session name"):
            command(name)
