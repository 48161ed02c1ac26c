"""Signals and closed pipes, sent to a real process: it detaches, says what runs, and the trip can be resumed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.workflow.test_detach_resume import log_in_with_money, make_job
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

RUN = ("-y", "run", "-p", "mistgpu", "--no-project", "--", "train.py")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        await log_in_with_money(made)
        yield made


async def read_until(stream: asyncio.StreamReader | None, text: bytes) -> bytes:
    assert stream is not None
    found = b""
    while text not in found:
        chunk = await stream.readline()
        assert chunk, found
        found += chunk
    return found


@pytest.mark.parametrize(
    ("number", "code", "at", "told"),
    [
        pytest.param(
            *(signal.SIGTERM, 143, b"planning", "nothing runs and nothing costs money"),
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            *(signal.SIGHUP, 129, b"confirming the order", "An order was in progress"),
            marks=pytest.mark.nightly,
        ),
        (signal.SIGINT, 130, b"uploading", "Nothing runs on"),
        pytest.param(
            *(signal.SIGTERM, 143, b"running the job", "The job keeps running on"), marks=pytest.mark.nightly
        ),
    ],
)
async def test_signals_detach_and_say_what_runs(
    sandbox: TripSandbox, tmp_path: Path, number: int, code: int, at: bytes, told: str
) -> None:
    folder = make_job(tmp_path, 1)
    process = await sandbox.start_command(*RUN, folder=folder)
    early = await read_until(process.stderr, at)
    process.send_signal(number)
    _out, late = await process.communicate()
    shown = (early + late).decode()
    assert process.returncode == code, shown
    (trip,) = (await sandbox.run_command("trips", "--json")).data
    assert trip["outcome"] == ""
    assert told in shown
    assert f"gpurent resume {trip['id']}" in shown
    assert "Traceback" not in shown
    result = await sandbox.run_command("-y", "resume", trip["id"], folder=folder)
    assert result.code == 0, result.err
    assert list(sandbox.cloud.burning()) == []


async def test_a_stopped_command_prints_its_document(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_job(tmp_path, 10)
    process = await sandbox.start_command("--json", *RUN, folder=folder)
    while not (await sandbox.run_command("ls", "--json")).data:
        assert process.returncode is None
    process.send_signal(signal.SIGTERM)
    out, _err = await process.communicate()
    error = json.loads(out)["error"]
    (trip,) = (await sandbox.run_command("trips", "--json")).data
    assert (error["code"], error["exit_code"], process.returncode) == ("stopped", 143, 143)
    assert f"gpurent resume {trip['id']}" in error["hint"]
    assert error["burning"] == [trip["lease"]]


@pytest.mark.nightly
async def test_the_trip_of_this_terminal_is_named(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_job(tmp_path, 60)
    first = await sandbox.start_command(*RUN, folder=folder)
    await read_until(first.stderr, b"running the job")
    (mine,) = (await sandbox.run_command("trips", "--json")).data
    second = await sandbox.start_command(*RUN, folder=folder)
    await read_until(second.stderr, b"running the job")
    for process in (first, second):
        process.send_signal(signal.SIGINT)
    _out, err = await first.communicate()
    await second.communicate()
    assert f"gpurent resume {mine['id']}" in err.decode()


@pytest.mark.nightly
async def test_a_second_signal_ends_at_once(sandbox: TripSandbox, tmp_path: Path) -> None:
    process = await sandbox.start_command(*RUN, folder=make_job(tmp_path, 10))
    early = await read_until(process.stderr, b"running the job")
    # Both arrive before the first can have had an effect.
    os.kill(process.pid, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    _out, late = await process.communicate()
    shown = (early + late).decode()
    assert process.returncode in (130, 143), shown
    assert "Ended at once" in shown
    assert "Traceback" not in shown


@pytest.mark.nightly
async def test_what_was_ignored_stays_ignored(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_job(tmp_path, 1)
    environment = {**sandbox.environment(), "LANG": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        *("nohup", sys.executable, "-m", "gpurent.cli.main", *RUN),
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await read_until(process.stderr, b"running the job")
    process.send_signal(signal.SIGHUP)
    _out, err = await process.communicate()
    assert process.returncode == 0, err
    assert list(sandbox.cloud.burning()) == []


async def test_a_closed_pipe_detaches_and_says_how_to_go_on(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_job(tmp_path, 2)
    reader, writer = os.pipe()
    process = await sandbox.start_command(*RUN, folder=folder, stdout=writer)
    os.close(writer)
    early = await read_until(process.stderr, b"running the job")
    os.close(reader)
    _out, late = await process.communicate()
    shown = (early + late).decode()
    assert process.returncode == 141, shown
    assert "The job keeps running on" in shown
    assert "gpurent resume t" in shown
    assert len(sandbox.cloud.burning()) == 1
    result = await sandbox.run_command("resume", folder=folder)
    assert result.code == 0, result.err
    assert list(sandbox.cloud.burning()) == []


async def test_a_listing_into_a_closed_pipe_ends_by_convention(sandbox: TripSandbox) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = await sandbox.start_command("--help", stdout=writer)
    os.close(writer)
    _out, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize("encoding", [pytest.param("gbk", marks=pytest.mark.nightly), "ascii"])
async def test_output_that_cannot_be_shown_ends_nothing(
    sandbox: TripSandbox, tmp_path: Path, encoding: str
) -> None:
    folder = make_job(tmp_path, 0)
    (folder / "train.py").write_text("print('\\U0001f600 done')\nprint(b'\\xff\\xfe'.decode('latin-1'))\n")
    sandbox.extra_environment = {"PYTHONIOENCODING": encoding}
    process = await sandbox.start_command(*RUN, folder=folder)
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"done" in out
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_a_full_disk_for_the_output_ends_nothing(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_job(tmp_path, 1)
    full = os.open("/dev/full", os.O_WRONLY)
    process = await sandbox.start_command(*RUN, folder=folder, stdout=full)
    os.close(full)
    _out, err = await process.communicate()
    assert b"no space left" in err
    assert list(sandbox.cloud.burning()) == [], "the job was watched to its end"
