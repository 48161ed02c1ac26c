"""What an honest user is asked: at most two new questions a trip, and none with -y."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.question import QuestionKind
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from tests.workflow.test_failures import log_in_with_money
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

RENTAL, TRUST, CONTACT = "Rent this machine? [y/N]", "until it changes? [y/N]", "Connect to "
PROJECT = 'provider = ["mistgpu"]\ncommand = ["train.py"]\nresults = ["out"]\n'
JOB = "import os\nos.mkdir('out')\nopen('out/a', 'w').write('a')\n"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=120) as made:
        yield made


def make_folder(sandbox: TripSandbox) -> Path:
    folder = sandbox.home / "project"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "train.py").write_text(JOB)
    return folder


async def test_a_trip_at_a_terminal_has_two_new_questions(sandbox: TripSandbox) -> None:
    sandbox.home.mkdir(mode=0o700)
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
    folder = make_folder(sandbox)
    (folder / "gpurent.toml").write_text(PROJECT)
    answers = {TRUST: "y", RENTAL: "y", CONTACT: "y"}
    done = await sandbox.run_at_terminal("run", answers=answers, folder=folder)
    assert done.code == 0, done.err
    assert done.err.count("[y/N]") == 3, "the two new ones, and the price"
    assert "SHA256:" in done.err
    assert (folder / "out" / "a").read_text() == "a"
    shutil.rmtree(folder / "out")
    again = await sandbox.run_at_terminal("-y", "run", answers={}, folder=folder)
    assert again.code == 0, again.err
    assert "[y/N]" not in again.err


async def test_a_trip_with_minus_y_has_none(sandbox: TripSandbox) -> None:
    sandbox.home.mkdir(mode=0o700)
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
    folder = make_folder(sandbox)
    (folder / "gpurent.toml").write_text(PROJECT)
    digest = sha256(PROJECT.encode()).hexdigest()
    assert (await sandbox.run_command("trust", "--sha256", digest, folder=folder)).code == 0
    done = await sandbox.run_command("-y", "run", folder=folder)
    assert done.code == 0, done.err
    assert "SHA256:" in done.err, "the endpoint and the fingerprint are shown"


def list_new_questions(user: ScriptedUser) -> list[str]:
    return [question.text for question in user.questions if question.kind is QuestionKind.TRUST]


async def run_staged(sandbox: TripSandbox, application: Application, folder: Path) -> None:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, "90000")
    spec = TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out",), dir=str(folder)),
        limits=TripLimits(term=timedelta(days=1)),
        provider="1024gpu",
    )
    end = await application.trips.run(spec)
    assert end.exit_code == 0


@pytest.mark.parametrize(
    "attended",
    [
        pytest.param(True, id="terminal"),
        pytest.param(False, id="unattended", marks=pytest.mark.nightly),
    ],
)
async def test_a_staged_trip_with_mailed_access_asks_once_for_both_machines(
    sandbox: TripSandbox, attended: bool
) -> None:
    folder = make_folder(sandbox)
    user = ScriptedUser(is_interactive=attended)
    async with sandbox.open_application(user) as application:
        await run_staged(sandbox, application, folder)
        assert len(list_new_questions(user)) == (1 if attended else 0)
        shown = [event for event in user.events if event.kind is EventKind.HOST_KEY]
        assert len(shown) == 2, "the staging machine and the one that our order made of it"
        assert "new machine of this lease" in shown[1].text
    assert (folder / "out" / "a").exists()


async def test_adopting_a_machine_asks_once(sandbox: TripSandbox) -> None:
    sandbox.home.mkdir(mode=0o700)
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    adopt = ("adopt", access.ssh_command, "-p", "ssh")
    done = await sandbox.run_at_terminal(*adopt, answers={"Password for ": access.password, CONTACT: "y"})
    assert done.code == 0, done.err
    assert done.err.count("[y/N]") == 1
