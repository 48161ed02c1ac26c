"""A transfer program that ends at once is not a dropped line: it is told, and another backend is used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from gpurent.domain.trip import ResultsSpec
from tests.workflow.test_failures import log_in_with_money, make_project
from tests.workflow.test_results import fail_trip, run_trip, warnings_of
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox

# The job makes its results and then breaks the machine's python3.
BREAK_PYTHON = """import os
os.mkdir('out')
open('out/a.pt', 'w').write('weights')
path = os.environ['PATH'].split(':')[0] + '/python3'
if os.path.lexists(path):
    os.unlink(path)
with open(path, 'w') as file:
    file.write('#!/bin/sh\\n{script}\\n')
os.chmod(path, 0o755)
"""
EXITS = {"echo out of memory >&2; exit 9": "exit code 9: “out of memory”", "kill -ABRT $$": "signal ABRT"}


@pytest.mark.parametrize(
    "script",
    [pytest.param(script, marks=[pytest.mark.nightly] if "ABRT" in script else []) for script in EXITS],
)
async def test_the_next_backend_downloads_the_results(tmp_path: Path, script: str) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        user = ScriptedUser()
        async with sandbox.open_application(user) as application, asyncio.timeout(60):
            await log_in_with_money(sandbox, application)
            folder = make_project(tmp_path, train=BREAK_PYTHON.replace("{script}", script))
            end = await run_trip(application, folder, results=ResultsSpec(paths=("out",)))
            assert end.exit_code == 0
            assert (folder / "out" / "a.pt").read_text() == "weights"
            assert EXITS[script] in warnings_of(user)
            assert EventKind.CONNECTION_LOST not in user.event_kinds()


@pytest.mark.nightly
async def test_without_another_backend_the_results_are_kept(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        user = ScriptedUser()
        async with sandbox.open_application(user) as application, asyncio.timeout(60):
            await log_in_with_money(sandbox, application)
            folder = make_project(tmp_path, train=BREAK_PYTHON.replace("{script}", "exit 0"))
            error = await fail_trip(
                application, folder, transfer="turbo", results=ResultsSpec(paths=("out",))
            )
            assert error.code == "results-missing"
            assert "exit code 0" in error.hint
            assert "See why: gpurent ssh mistgpu-" in error.hint
            (trip,) = await application.trip_tracker.list_trips()
            assert trip.is_open


@pytest.mark.nightly
async def test_an_answer_that_says_nothing_is_told_as_such(tmp_path: Path) -> None:
    """The log is read through a program that is broken once; the line has not dropped."""
    async with trip_sandbox(tmp_path) as sandbox:
        user = ScriptedUser()
        async with sandbox.open_application(user) as application, asyncio.timeout(60):
            await log_in_with_money(sandbox, application)
            job = BREAK_PYTHON.replace("/python3", "/base64").replace("{script}", 'rm "$0"; echo x')
            folder = make_project(tmp_path, train=job)
            assert (await run_trip(application, folder)).exit_code == 0
            told = [event.text for event in user.events if event.kind is EventKind.CONNECTION_LOST]
            assert told == ["unexpected answer from the machine about the job; reconnecting"]
