"""Everything that runs on a machine works there whatever its login shell and its start files are: real OpenSSH."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gpurent.api import PullRequest, PushRequest
from gpurent.domain.job import Job, JobState
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, RemoteError
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.remote.timer_script import (
    TimerSettings,
    arm_command,
    disarm_command,
    make_timer_program,
    parse_timer,
)
from gpurent.roles.machine import TransferBackend
from gpurent.testing.contracts.file_trees import make_tree, read_tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.load_timeouts import load_factor
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture
from gpurent.workflow.connection.jobs import JobRunner
from gpurent.workflow.runtime.waiting import poll_until
from gpurent_plugin_screen.backend import ScreenBackend
from gpurent_plugin_sftp.backend import SftpBackend
from gpurent_plugin_tmux.backend import TmuxBackend
from gpurent_plugin_turbo.backend import TurboBackend
from tests.remote.login_shells import BASH, SHELLS, LoginShell

pytestmark = pytest.mark.bwrap
BY_DAY = ("fish", "csh")
WAIT_FOR_PIPE = "until [ -p pipe ]; do sleep 0.02; done; echo across > pipe"


@pytest.fixture
async def machines(bwrap_problem: str, tmp_path: Path) -> AsyncIterator[SshFixture]:
    if bwrap_problem:
        pytest.skip(bwrap_problem)
    async with ssh_fixture("bwrap", tmp_path) as made:
        yield made


@asynccontextmanager
async def connect(
    machines: SshFixture, tmp_path: Path, shell: LoginShell, start_text: str = "", **changes: object
) -> AsyncIterator[tuple[AsyncsshConnection, Path]]:
    """Log in for the first time to a machine with this login shell; yield the connection and the machine's home."""
    machine = await machines.boot(login_shell=shell.get_login_path("mist"), **changes)
    (home,) = (tmp_path / "sandbox" / "disks").glob("*/home")
    shell.link_program(home)
    shell.write_start_file(home, start_text)
    async with machines.open_connection(machine) as connection:
        yield connection, home


@asynccontextmanager
async def background(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.2)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


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


async def check_transfer(
    connection: AsyncsshConnection, backend: TransferBackend, source: Path, home: Path, target: Path
) -> None:
    push = PushRequest(sources=(source,), target="gpurent/w", contents_only=True)
    await backend.push(connection, push, CountingProgress())
    sent = read_tree(source)
    assert read_tree(home / "gpurent" / "w") == sent
    await backend.pull(connection, PullRequest(sources=("gpurent/w",), target=target), CountingProgress())
    assert read_tree(target / "w") == sent


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


async def test_the_words_of_a_login_shell_that_runs_nothing_are_shown(
    machines: SshFixture, tmp_path: Path
) -> None:
    refusal = "echo This account must accept the terms of use first; exit 7\n"
    with pytest.raises(RemoteError, match=r"exit code 7\).*accept the terms of use"):
        async with connect(machines, tmp_path, BASH, refusal):
            pass


async def test_a_machine_that_allows_one_session_is_used_with_further_logins(
    machines: SshFixture, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "source", files=5, large=300_000)
    async with connect(machines, tmp_path, BASH, "true", sshd_options=("MaxSessions 1",)) as (ssh, home):
        assert not ssh.is_session_limited
        ran = await asyncio.gather(
            ssh.run("mkfifo pipe; cat pipe"), ssh.run(WAIT_FOR_PIPE), ssh.run("echo on")
        )
        assert [one.stdout for one in ran] == ["across\n", "", "on\n"]
        assert ssh.is_session_limited
        async with background(ssh.run("sleep 3600", timeout=3600)):
            for backend in (TurboBackend({}, LOCAL_FILES), SftpBackend(LOCAL_FILES)):
                await check_transfer(ssh, backend, source, home, tmp_path / backend.__class__.__name__)


async def test_a_machine_that_opens_no_session_says_so(machines: SshFixture, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="accepts the login, but opens no session"):
        async with connect(machines, tmp_path, BASH, "true", sshd_options=("MaxSessions 0",)):
            pass


async def test_a_key_goes_where_the_ssh_server_reads_it(machines: SshFixture, tmp_path: Path) -> None:
    moved = ("AuthorizedKeysFile %h/.keys/of_%u .ssh/authorized_keys",)
    async with connect(machines, tmp_path, BASH, "true", sshd_options=moved) as (ssh, home):
        assert (await ssh.run("echo on")).stdout == "on\n"
    assert (home / ".keys" / "of_mist").read_text().count("gpurent") == 1
    assert not (home / ".ssh" / "authorized_keys").exists()


async def test_a_key_that_the_server_does_not_accept_is_said(machines: SshFixture, tmp_path: Path) -> None:
    with pytest.raises(
        AuthError, match=r"does not accept the lease's key, which is in /home/mist/\.ssh/auth"
    ):
        async with connect(machines, tmp_path, BASH, "true", sshd_options=("PubkeyAuthentication no",)):
            pass


async def test_why_a_key_cannot_be_written_is_said(machines: SshFixture, tmp_path: Path) -> None:
    with pytest.raises(AuthError, match=r"could not be installed.*denied|could not be installed.*Read-only"):
        async with connect(
            machines, tmp_path, BASH, "true", sshd_options=("AuthorizedKeysFile /usr/keys/%u",)
        ):
            pass


async def test_a_login_shell_for_nobody_says_so_itself(machines: SshFixture, tmp_path: Path) -> None:
    nologin = LoginShell("nologin", "nologin")
    with pytest.raises(RemoteError, match="This account is currently not available"):
        async with connect(machines, tmp_path, nologin):
            pass


async def test_a_password_that_has_expired_is_said(machines: SshFixture, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"password has expired.*Password change required"):
        async with connect(machines, tmp_path, BASH, "true", is_password_expired=True):
            pass


async def test_what_a_machine_says_at_the_login_is_shown(machines: SshFixture, tmp_path: Path) -> None:
    machine = await machines.boot(sshd_options=("Banner /home/mist/banner",))
    (home,) = (tmp_path / "sandbox" / "disks").glob("*/home")
    (home / "banner").write_text("Maintenance \x1b[2Jon Sunday\n")
    with pytest.raises(AuthError, match=r"rejected the password; it said: .Maintenance on Sunday") as caught:
        await machines.connect(machine, password=Secret("wrong one"))
    assert "\x1b" not in f"{caught.value} {caught.value.detail}"


async def test_algorithms_that_are_not_safe_are_named(machines: SshFixture, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"only algorithms that are not safe enough: .aes256-cbc"):
        async with connect(machines, tmp_path, BASH, "true", sshd_options=("Ciphers aes256-cbc",)):
            pass


async def test_old_algorithms_that_are_used_print_no_warning(machines: SshFixture, tmp_path: Path) -> None:
    """The library's authors warn each other of them. In a process of its own, since pytest has filters of its own."""
    machine = await machines.boot(sshd_options=("KexAlgorithms diffie-hellman-group14-sha1",))
    script = (
        "import asyncio\n"
        "from gpurent.domain.access import Endpoint\n"
        "from gpurent.infra.ssh.host_keys import fetch_host_key\n"
        f"asyncio.run(fetch_host_key(Endpoint('mist', {machine.host!r}, {machine.port}), 20))\n"
    )
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _nothing = await ran.communicate()
    assert (ran.returncode, printed) == (0, b"")
