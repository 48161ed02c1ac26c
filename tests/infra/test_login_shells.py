"""Everything that runs on a machine works there whatever its login shell and its start files are: real OpenSSH."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.domain.job import Job, JobState
from gpurent.errors import RemoteError
from gpurent.remote.timer_script import (
    TimerSettings,
    arm_command,
    disarm_command,
    make_timer_program,
    parse_timer,
)
from gpurent.testing.contracts.file_trees import make_tree
from gpurent.testing.load_timeouts import load_factor
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture
from gpurent.workflow.connection.jobs import JobRunner
from gpurent.workflow.runtime.waiting import poll_until
from gpurent_plugin_screen.backend import ScreenBackend
from gpurent_plugin_sftp.backend import SftpBackend
from gpurent_plugin_tmux.backend import TmuxBackend
from gpurent_plugin_turbo.backend import TurboBackend
from gpurent_plugin_turbo.posix.pull import PosixPuller
from gpurent_plugin_turbo.posix.push import PosixPusher
from tests.infra.odd_machine import check_transfer, connect
from tests.remote.login_shells import BASH, NOISE, SHELLS, LoginShell

pytestmark = pytest.mark.bwrap
BY_DAY = ("fish", "csh")
WAIT_FOR_PIPE = "until [ -p pipe ]; do sleep 0.02; done; echo across > pipe"


@pytest.fixture
async def machines(bwrap_problem: str, tmp_path: Path) -> AsyncIterator[SshFixture]:
    if bwrap_problem:
        pytest.skip(bwrap_problem)
    async with ssh_fixture("bwrap", tmp_path) as made:
        yield made


def mark_nights(shells: tuple[LoginShell, ...]) -> list[object]:
    return [
        pytest.param(shell, id=shell.name, marks=[] if shell.name in BY_DAY else pytest.mark.nightly)
        for shell in shells
    ]


@pytest.mark.parametrize("shell", mark_nights(SHELLS))
async def test_a_machine_is_used_whole(machines: SshFixture, tmp_path: Path, shell: LoginShell) -> None:
    source = make_tree(tmp_path / "source", files=5, large=300_000)
    async with connect(machines, tmp_path, shell) as (connection, home):
        ran = await connection.run('pwd; echo "$HOME"; cat; echo oops >&2; exit 3', input="it's ~!\n")
        assert (ran.exit_status, ran.stdout) == (3, "/home/mist\n/home/mist\nit's ~!\n")
        assert ran.stderr == "oops\n"
        assert (await connection.run("wc -c", input="x" * 300_000)).stdout.strip() == "300000"
        for backend in (TurboBackend({}, LOCAL_FILES), SftpBackend(LOCAL_FILES)):
            await check_transfer(connection, backend, source, home, tmp_path / backend.__class__.__name__)
        for number, session in enumerate((ScreenBackend(), TmuxBackend())):
            await check_job(JobRunner(connection, session), f"job{number}")
        setting = TimerSettings(span=360_000, grace=100)
        ran = await connection.run(arm_command(setting), input=make_timer_program(setting))
        armed = parse_timer(ran.stdout)
        assert armed is not None
        assert armed.ticks_left is not None, ran
        await connection.run(disarm_command())


async def check_job(runner: JobRunner, name: str) -> None:
    job = Job(name=name, command='pwd; echo "$HOME"; exit 4', folder="gpurent/w")
    await runner.start_job(job)
    status = await poll_until(
        lambda: runner.get_status(name),
        lambda status: status.state is not JobState.RUNNING,
        interval=0.05,
        timeout=30 * load_factor(),
    )
    assert status.exit_code == 4
    folder, login_home = (await runner.read_log(name)).decode().splitlines()
    assert folder == "/home/mist/gpurent/w"
    assert login_home in ("/home/mist", "/home/mist/moved")


async def test_noise_is_no_reason_for_the_slower_way(
    machines: SshFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a banner that looks like a frame, of more bytes than one has."""

    def refuse(*_arguments: object) -> None:
        raise AssertionError("the way without Python was taken")

    for backend in (PosixPusher, PosixPuller):
        monkeypatch.setattr(backend, "run", refuse)
    source = make_tree(tmp_path / "source", files=5, large=300_000)
    async with connect(machines, tmp_path, BASH, f"echo '{NOISE}'; printf GPURENT") as (connection, home):
        await check_transfer(connection, TurboBackend({}, LOCAL_FILES), source, home, tmp_path / "turbo")


async def test_the_words_of_a_login_shell_that_runs_nothing_are_shown(
    machines: SshFixture, tmp_path: Path
) -> None:
    refusal = "echo This account must accept the terms of use first; exit 7\n"
    with pytest.raises(RemoteError, match=r"exit code 7\).*accept the terms of use"):
        async with connect(machines, tmp_path, BASH, refusal):
            pass
