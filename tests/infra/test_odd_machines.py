"""Machines that are odd in other ways than by their login shell: few sessions, moved keys, full disks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.api import PushRequest
from gpurent.domain.job import Job, JobState
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, JobError, RemoteError, TransferUnsupported
from gpurent.testing.contracts.file_trees import make_tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.load_timeouts import load_factor
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture
from gpurent.workflow.connection.jobs import JobRunner
from gpurent.workflow.runtime.waiting import poll_until
from gpurent_plugin_screen.backend import ScreenBackend
from gpurent_plugin_sftp.backend import SftpBackend
from gpurent_plugin_turbo.backend import TurboBackend
from tests.infra.odd_machine import background, check_transfer, connect
from tests.remote.login_shells import BASH, LoginShell

pytestmark = pytest.mark.bwrap
WAIT_FOR_PIPE = "until [ -p pipe ]; do sleep 0.02; done; echo across > pipe"


@pytest.fixture
async def machines(bwrap_problem: str, tmp_path: Path) -> AsyncIterator[SshFixture]:
    if bwrap_problem:
        pytest.skip(bwrap_problem)
    async with ssh_fixture("bwrap", tmp_path) as made:
        yield made


async def test_a_machine_that_allows_one_session_is_used_with_further_logins(
    machines: SshFixture, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "source", files=5, large=300_000)
    async with connect(machines, tmp_path, BASH, "true", sshd_options=("MaxSessions 1",)) as (ssh, home):
        before = ssh.is_session_limited
        ran = await asyncio.gather(
            ssh.run("mkfifo pipe; cat pipe"), ssh.run(WAIT_FOR_PIPE), ssh.run("echo on")
        )
        assert [one.stdout for one in ran] == ["across\n", "", "on\n"]
        assert (before, ssh.is_session_limited) == (False, True)
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
    with pytest.raises(RemoteError, match=r"has only algorithms that are not safe enough: .aes256-cbc"):
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


BROKEN_PYTHON = """
mkdir -p ~/broken; printf '#!/bin/sh\\necho "no module called zlib" >&2; exit 1\\n' > ~/broken/python3
chmod 755 ~/broken/python3; PATH=~/broken:$PATH
"""


async def test_a_python_that_does_not_work_is_none(machines: SshFixture, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", files=5, large=300_000)
    async with connect(machines, tmp_path, BASH, BROKEN_PYTHON) as (ssh, home):
        await check_transfer(ssh, TurboBackend({}, LOCAL_FILES), source, home, tmp_path / "turbo")


@pytest.mark.parametrize(
    ("start_text", "works"),
    [("cd /tmp", True), ("echo GPURENT = a frame of noise", False)],
    ids=["cd", "noise"],
)
async def test_sftp_by_a_server_that_a_shell_runs(
    machines: SshFixture, tmp_path: Path, start_text: str, works: bool
) -> None:
    """Its start files change the folder before it, or print into its protocol, which no client can read then."""
    source = make_tree(tmp_path / "source", files=5, large=300_000)
    server = ("Subsystem sftp /usr/lib/openssh/sftp-server",)
    async with connect(machines, tmp_path, BASH, start_text, sshd_options=server) as (ssh, home):
        if works:
            await check_transfer(ssh, SftpBackend(LOCAL_FILES), source, home, tmp_path / "sftp")
        else:
            push = PushRequest(sources=(source,), target="gpurent/w", contents_only=True)
            with pytest.raises(TransferUnsupported, match="refused to start SFTP"):
                await SftpBackend(LOCAL_FILES).push(ssh, push, CountingProgress())


async def test_a_session_backend_that_cannot_start_names_another(
    machines: SshFixture, tmp_path: Path
) -> None:
    async with connect(machines, tmp_path, BASH, "export SCREENDIR=/proc/no/such/place") as (ssh, _home):
        runner = JobRunner(ssh, ScreenBackend(), other_sessions=("tmux",))
        with pytest.raises(JobError) as caught:
            await runner.start_job(Job(name="job", command="true"))
    assert "/proc/no/such/place" in caught.value.hint
    assert "--session tmux" in caught.value.hint


async def test_the_exit_code_is_kept_when_the_disk_is_full(machines: SshFixture) -> None:
    machine = await machines.boot(disk_bytes=2_000_000)
    async with machines.open_connection(machine) as ssh:
        runner = JobRunner(ssh, ScreenBackend())
        await ssh.run("mkfifo go")
        await runner.start_job(Job(name="job", command="read line < go; exit 5"))
        await machines.driver.fill_disk(machine.id, True)
        assert (await ssh.run("echo more > more")).exit_status
        await ssh.run("echo > go")
        status = await poll_until(
            lambda: runner.get_status("job"),
            lambda status: status.state is not JobState.RUNNING,
            interval=0.05,
            timeout=30 * load_factor(),
        )
    assert (status.state, status.exit_code) == (JobState.ENDED, 5)
    assert status.ended_at is not None
