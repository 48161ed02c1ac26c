r"""Contract tests for a session backend, on real machines: asyncssh's server and, where possible, OpenSSH.

A plugin's test is a subclass with its backend::

    class TestScreen(SessionContract):
        backend = ScreenBackend
        program = "screen"
        detach_keys = b"\x01d"
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import asyncssh
import pytest

from gpurent.domain.job import Job, JobState, JobStatus, SessionInfo
from gpurent.domain.secret import Secret
from gpurent.errors import JobError
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.roles.machine import SessionBackend
from gpurent.testing.contracts.contract import Contract
from gpurent.testing.load_timeouts import load_factor, wait_until, wait_within
from gpurent.testing.sandbox.machines import BootedMachine, find_bwrap_problem
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture
from gpurent.workflow.connection.jobs import JobRunner

ENDLESS_COMMAND = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done"


class SessionContract(Contract):
    """Contract tests for a session backend.

    ``program`` is its program in ``PATH``; ``detach_keys`` are the keys that detach without ending the session.
    """

    backend_type: ClassVar[type[SessionBackend]]
    program: ClassVar[str]
    detach_keys: ClassVar[bytes]

    @pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
    async def machines(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SshFixture]:
        if request.param == "bwrap" and (problem := await find_bwrap_problem()):
            pytest.skip(problem)
        async with ssh_fixture(request.param, tmp_path) as made:
            yield made

    @pytest.fixture
    async def machine(self, machines: SshFixture) -> BootedMachine:
        return await machines.boot()

    @pytest.fixture
    async def connection(
        self, machines: SshFixture, machine: BootedMachine
    ) -> AsyncIterator[AsyncsshConnection]:
        async with machines.open_connection(machine) as opened:
            yield opened

    def make_runner(self, connection: AsyncsshConnection, prefix: str = "") -> JobRunner:
        return JobRunner(connection, self.backend_type(), prefix)

    async def wait_for_end(self, jobs: JobRunner, name: str) -> JobStatus:
        async def is_ended() -> bool:
            return (await jobs.get_status(name)).state is JobState.ENDED

        await wait_until(is_ended)
        return await jobs.get_status(name)

    async def wait_until_listed(self, jobs: JobRunner, name: str) -> SessionInfo:
        async def is_listed() -> bool:
            return any(info.name == name for info in await jobs.list_sessions())

        await wait_until(is_listed)
        return await jobs.get_session(name)

    async def test_nothing_runs_at_first(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        assert list(await jobs.list_sessions()) == []
        assert (await jobs.get_status("job")).state is JobState.ABSENT

    async def test_r3_detached_named_and_listed(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        assert (await jobs.start_job(Job(name="train", command=ENDLESS_COMMAND))).state is JobState.RUNNING
        info = await self.wait_until_listed(jobs, "train")
        assert not info.attached
        assert info.id
        shown = (await connection.run("date '+%H:%M '; date -u '+%H:%M'")).stdout
        assert not info.since or _find_minutes(info.since) & _find_near_minutes(shown), info.since
        await jobs.stop_job("train")

    async def test_log_and_exit_code_stay_in_files(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        command = "printf 'o\\0\\377ut'; echo err >&2; exit 42"
        await jobs.start_job(Job(name="job", command=command))
        status = await self.wait_for_end(jobs, "job")
        assert status.exit_code == 42
        assert await jobs.read_log("job") == b"o\0\xffuterr\n"
        assert await jobs.read_log("job", 5) == b"err\n"

        async def nothing_left() -> bool:
            return not await jobs.list_sessions()

        await wait_until(nothing_left)

    async def test_the_command_is_the_user_s_own_shell_line(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        command = """echo "$HOME" 'it'"'"'s' 中文 $((6*7)) | tr a-z A-Z; echo second
echo third"""
        await jobs.start_job(Job(name="odd", command=command, env={"NAME": "a b'c"}))
        await self.wait_for_end(jobs, "odd")
        words = (await jobs.read_log("odd")).decode()
        assert "IT'S 中文 42" in words
        assert words.endswith("second\nthird\n")

    async def test_secrets_are_in_the_job_s_memory_alone(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        text = "canary-7Q 'quoted' $HOME `x`\nsecond line"
        command = 'printf %s "$TOKEN" | sha256sum; while [ ! -e "$HOME/end" ]; do sleep 0.1; done'
        job = Job(name="job", command=command, secrets={"TOKEN": Secret(text)})
        await asyncio.gather(jobs.start_job(job), self.make_runner(connection).start_job(job))

        async def is_shown() -> bool:
            return sha256(text.encode()).hexdigest().encode() in await jobs.read_log("job")

        await wait_until(is_shown)
        arguments = (await connection.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")).stdout
        assert "canary" not in arguments
        assert "run.sh" in arguments
        assert (await connection.run('grep -rlF canary-7Q "$HOME"')).stdout == ""
        assert (await jobs.start_job(job)).state is JobState.RUNNING, "it has them already"
        await connection.run('touch "$HOME/end"')
        assert (await self.wait_for_end(jobs, "job")).exit_code == 0

    async def test_started_twice_it_runs_once(self, connection: AsyncsshConnection) -> None:
        first, second = self.make_runner(connection), self.make_runner(connection)
        job = Job(name="once", command="echo begun >> ran; sleep 0.3")
        await asyncio.gather(first.start_job(job), second.start_job(job))
        await self.wait_for_end(first, "once")
        await first.start_job(job)
        assert (await connection.run("cat ran")).stdout == "begun\n"

    async def test_r3_a_cut_connection_stops_nothing(
        self, machines: SshFixture, machine: BootedMachine, connection: AsyncsshConnection
    ) -> None:
        await self.make_runner(connection).start_job(Job(name="long", command=ENDLESS_COMMAND))
        await self.wait_until_listed(self.make_runner(connection), "long")
        assert await machines.driver.cut_connections(machine.id) >= 1
        async with machines.open_connection(machine) as again:
            jobs = self.make_runner(again)
            before = len(await jobs.read_log("long"))

            async def has_more_output() -> bool:
                return len(await jobs.read_log("long")) > before

            await wait_until(has_more_output)
            ticks = [line for line in (await jobs.read_log("long")).split(b"\n") if line]
            assert ticks == [b"tick %d" % number for number in range(1, len(ticks) + 1)], "no gap"
            await self.wait_until_listed(jobs, "long")
            await jobs.stop_job("long")

    async def test_r3_attach_leave_and_attach_again(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        await jobs.start_job(Job(name="long", command=ENDLESS_COMMAND))
        for _time in range(2):
            info = await self.wait_until_listed(jobs, "long")
            screen = await self.open_attached(connection, jobs.backend.attach_command(info))
            await self.wait_for_output(screen, "tick")
            assert (await jobs.get_session("long")).attached
            screen.stdin.write(self.detach_keys)
            await wait_within(15, screen.wait_closed())
        assert (await jobs.get_status("long")).state is JobState.RUNNING
        await jobs.stop_job("long")

    async def test_attach_takes_over_from_a_hanging_connection(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        await jobs.start_job(Job(name="long", command=ENDLESS_COMMAND))
        info = await self.wait_until_listed(jobs, "long")
        first = await self.open_attached(connection, jobs.backend.attach_command(info))
        await self.wait_for_output(first, "tick")
        second = await self.open_attached(
            connection, jobs.backend.attach_command(await jobs.get_session("long"))
        )
        await self.wait_for_output(second, "tick")
        try:
            await wait_within(15, first.wait_closed())
        except TimeoutError:
            raise AssertionError(
                "two clients are attached: attach_command has to detach the one before, whose connection may be lost"
            ) from None
        second.close()
        await jobs.stop_job("long")

    async def open_attached(
        self, connection: AsyncsshConnection, command: str
    ) -> asyncssh.SSHClientProcess[bytes]:
        """Run ``command`` on a real terminal on the machine."""
        return await connection.transport.create_process(
            command, term_type="xterm", term_size=(80, 24), encoding=None
        )

    async def wait_for_output(self, process: asyncssh.SSHClientProcess[bytes], word: str) -> None:
        seen = b""
        while word.encode() not in seen:
            chunk = await wait_within(15, process.stdout.read(4096))
            assert chunk, f"it ended and showed {seen!r}"
            seen += chunk

    async def test_stop_ends_the_job_and_its_children(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        command = "sleep 3600 & echo $! > child; wait"
        await jobs.start_job(Job(name="tree", command=command))

        async def started() -> bool:
            return not (await connection.run("test -s child")).exit_status

        await wait_until(started)
        await jobs.stop_job("tree")
        assert (await jobs.get_status("tree")).state is JobState.ENDED

        async def is_gone() -> bool:
            return bool((await connection.run('kill -0 "$(cat child)"')).exit_status)

        await wait_until(is_gone)
        assert list(await jobs.list_sessions()) == []
        await jobs.stop_job("tree")

    async def test_stop_means_exactly_this_name(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        for name in ("a", "ab", "abc"):
            await jobs.start_job(Job(name=name, command=ENDLESS_COMMAND))
            await self.wait_until_listed(jobs, name)
        await jobs.stop_job("a")
        left = sorted(info.name for info in await jobs.list_sessions())
        assert left == ["ab", "abc"], (
            f"after a was stopped, and stop_command had returned, these are listed: {left}"
        )
        for name in ("ab", "abc"):
            await jobs.stop_job(name)

    @pytest.mark.parametrize(
        ("command", "code", "word"),
        [
            ("no-such-command --now", 127, "no-such-command"),
            ("./train.py", 127, "train.py"),
            ("echo bad path >&2; exit 3", 3, "bad path"),
        ],
    )
    async def test_r3_an_end_at_once_is_reported_with_its_reason(
        self, connection: AsyncsshConnection, command: str, code: int, word: str
    ) -> None:
        jobs = self.make_runner(connection)
        await jobs.start_job(Job(name="wrong", command=command))
        status = await jobs.wait_for_early_exit("wrong", 10 * load_factor())
        assert (status.state, status.exit_code) == (JobState.ENDED, code)
        assert word in status.reason

    async def test_what_runs_on_is_no_end_at_once(self, connection: AsyncsshConnection) -> None:
        jobs = self.make_runner(connection)
        await jobs.start_job(Job(name="long", command=ENDLESS_COMMAND))
        assert (await jobs.wait_for_early_exit("long", 0.5)).state is JobState.RUNNING
        await jobs.stop_job("long")

    async def test_r3_the_missing_tool_is_installed(self, machines: SshFixture) -> None:
        machine = await machines.boot(missing=(self.program,))
        async with machines.open_connection(machine) as opened:
            with pytest.raises(JobError):
                await self.make_runner(opened).start_job(Job(name="job", command="true"))
            jobs = self.make_runner(opened, "sudo apt-get install -y")
            await jobs.start_job(Job(name="job", command="echo done"))
            assert (await self.wait_for_end(jobs, "job")).exit_code == 0

    async def test_r4_a_shut_machine_takes_the_session_with_it(
        self, machines: SshFixture, machine: BootedMachine
    ) -> None:
        async with machines.open_connection(machine) as opened:
            first = self.make_runner(opened)
            await first.start_job(Job(name="long", command=ENDLESS_COMMAND))

            async def has_shell_output() -> bool:
                return bool(await first.read_log("long"))

            await wait_until(has_shell_output)
        await machines.driver.kill(machine.id)
        again = await machines.boot()
        machines.ssh.retire_host_keys("lease-1")
        async with machines.open_connection(again) as opened:
            jobs = self.make_runner(opened)
            assert list(await jobs.list_sessions()) == []
            assert (await jobs.get_status("long")).state is JobState.LOST

    async def test_a_name_that_a_power_loss_left_starts_again(self, machines: SshFixture) -> None:
        machine = await machines.boot()
        async with machines.open_connection(machine) as opened:
            jobs = self.make_runner(opened)
            await jobs.start_job(Job(name="again", command=ENDLESS_COMMAND))
            await self.wait_until_listed(jobs, "again")
        await machines.driver.kill(machine.id)
        booted = await machines.boot()
        machines.ssh.retire_host_keys("lease-1")
        async with machines.open_connection(booted) as opened:
            jobs = self.make_runner(opened)
            await opened.run("echo 'while :; do sleep 1; done' > endless.sh")
            ran = await opened.run(jobs.backend.start_command("again", "endless.sh"))
            assert not ran.exit_status, f"what is left of the session before is in the way: {ran.said}"
            info = await self.wait_until_listed(jobs, "again")
            await opened.run(jobs.backend.stop_command(info))

    def test_any_listing_is_read_without_a_crash(self) -> None:
        odd = ["", "\n\n", "No Sockets found in /run/screen/S-mist.\n", "no server running on /tmp/x\n"]
        odd += ["\x1b[31m1.evil\x1b[0m", "\t" * 9, "a" * 10_000, "\t-1.x\t(Detached)\n", "中文\t（已分离）\n"]
        for text in odd:
            assert list(self.backend_type().parse_sessions(text)) == []


def _find_minutes(text: str) -> set[int]:
    """Return the times of day in a text, as minutes of the day."""
    return {int(hour) * 60 + int(minute) for hour, minute in re.findall(r"(\d\d)[:时](\d\d)", text)}


def _find_near_minutes(text: str) -> set[int]:
    """Return the times of day in a text, and those up to five minutes before them."""
    return {(found - back) % (24 * 60) for found in _find_minutes(text) for back in range(6)}
