"""The contract of a session keeper, over real machines: asyncssh's server and, where it can be, OpenSSH.

A plugin's test is a subclass with its keeper::

    class TestScreen(SessionContract):
        keeper = Screen
        program = "screen"
        leave = b"\\x01d"
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import asyncssh
import pytest

from gpurent.domain.session import Job, JobState, JobStatus, SessionInfo
from gpurent.errors import JobError
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.roles.machine import SessionBackend
from gpurent.testing.patience import eventually, factor, within
from gpurent.testing.sandbox.machines import Machine, why_not_bwrap
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture
from gpurent.workflow.connection.jobs import JobRunner

LONG = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done"


class SessionContract:
    """``program`` is the tool's name in ``PATH``; ``leave`` what a person types to leave without ending."""

    keeper: ClassVar[type[SessionBackend]]
    program: ClassVar[str]
    leave: ClassVar[bytes]

    @pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
    async def machines(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SshFixture]:
        if request.param == "bwrap" and (why := await why_not_bwrap()):
            pytest.skip(why)
        async with ssh_fixture(request.param, tmp_path) as made:
            yield made

    @pytest.fixture
    async def machine(self, machines: SshFixture) -> Machine:
        return await machines.boot()

    @pytest.fixture
    async def link(self, machines: SshFixture, machine: Machine) -> AsyncIterator[AsyncsshConnection]:
        async with machines.connected(machine) as link:
            yield link

    def jobs(self, link: AsyncsshConnection, prefix: str = "") -> JobRunner:
        return JobRunner(link, self.keeper(), prefix)

    async def ended(self, jobs: JobRunner, name: str) -> JobStatus:
        async def over() -> bool:
            return (await jobs.status(name)).state is JobState.ENDED

        await eventually(over)
        return await jobs.status(name)

    async def listed(self, jobs: JobRunner, name: str) -> SessionInfo:
        async def there() -> bool:
            return any(info.name == name for info in await jobs.listing())

        await eventually(there)
        return await jobs.session(name)

    async def test_nothing_runs_at_first(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        assert list(await jobs.listing()) == []
        assert (await jobs.status("job")).state is JobState.ABSENT

    async def test_r3_detached_named_and_listed(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        assert (await jobs.start(Job(name="train", command=LONG))).state is JobState.RUNNING
        info = await self.listed(jobs, "train")
        assert not info.attached
        assert info.id
        await jobs.stop("train")

    async def test_log_and_exit_code_stay_in_files(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        command = "printf 'o\\0\\377ut'; echo err >&2; exit 42"
        await jobs.start(Job(name="job", command=command))
        status = await self.ended(jobs, "job")
        assert status.exit_code == 42
        assert await jobs.log("job") == b"o\0\xffuterr\n"
        assert await jobs.log("job", 5) == b"err\n"

        async def nothing_left() -> bool:
            return not await jobs.listing()

        await eventually(nothing_left)

    async def test_the_command_is_the_user_s_own_shell_line(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        command = """echo "$HOME" 'it'"'"'s' 中文 $((6*7)) | tr a-z A-Z; echo second
echo third"""
        await jobs.start(Job(name="odd", command=command, env={"NAME": "a b'c"}))
        await self.ended(jobs, "odd")
        words = (await jobs.log("odd")).decode()
        assert "IT'S 中文 42" in words
        assert words.endswith("second\nthird\n")

    async def test_started_twice_it_runs_once(self, link: AsyncsshConnection) -> None:
        first, second = self.jobs(link), self.jobs(link)
        job = Job(name="once", command="echo begun >> ran; sleep 0.3")
        await asyncio.gather(first.start(job), second.start(job))
        await self.ended(first, "once")
        await first.start(job)
        assert (await link.run("cat ran")).out == "begun\n"

    async def test_r3_a_cut_line_stops_nothing(
        self, machines: SshFixture, machine: Machine, link: AsyncsshConnection
    ) -> None:
        await self.jobs(link).start(Job(name="long", command=LONG))
        await self.listed(self.jobs(link), "long")
        assert await machines.driver.cut(machine.id) >= 1
        async with machines.connected(machine) as again:
            jobs = self.jobs(again)
            before = len(await jobs.log("long"))

            async def more() -> bool:
                return len(await jobs.log("long")) > before

            await eventually(more)
            ticks = [line for line in (await jobs.log("long")).split(b"\n") if line]
            assert ticks == [b"tick %d" % number for number in range(1, len(ticks) + 1)], "no gap"
            await self.listed(jobs, "long")
            await jobs.stop("long")

    async def test_r3_attach_leave_and_attach_again(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        await jobs.start(Job(name="long", command=LONG))
        for _time in range(2):
            info = await self.listed(jobs, "long")
            screen = await self.attached(link, jobs.backend.attach(info))
            await self.shows(screen, "tick")
            assert (await jobs.session("long")).attached
            screen.stdin.write(self.leave)
            await within(15, screen.wait_closed())
        assert (await jobs.status("long")).state is JobState.RUNNING
        await jobs.stop("long")

    async def test_attach_takes_over_from_a_line_that_hangs(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        await jobs.start(Job(name="long", command=LONG))
        info = await self.listed(jobs, "long")
        first = await self.attached(link, jobs.backend.attach(info))
        await self.shows(first, "tick")
        second = await self.attached(link, jobs.backend.attach(await jobs.session("long")))
        await self.shows(second, "tick")
        await within(15, first.wait_closed())
        second.close()
        await jobs.stop("long")

    async def attached(self, link: AsyncsshConnection, command: str) -> asyncssh.SSHClientProcess[bytes]:
        """``command`` under a real terminal on the machine."""
        return await link.transport.create_process(
            command, term_type="xterm", term_size=(80, 24), encoding=None
        )

    async def shows(self, process: asyncssh.SSHClientProcess[bytes], word: str) -> None:
        seen = b""
        while word.encode() not in seen:
            chunk = await within(15, process.stdout.read(4096))
            assert chunk, f"it ended and showed {seen!r}"
            seen += chunk

    async def test_stop_ends_the_job_and_its_children(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        command = "sleep 3600 & echo $! > child; wait"
        await jobs.start(Job(name="tree", command=command))

        async def begun() -> bool:
            return not (await link.run("test -s child")).status

        await eventually(begun)
        await jobs.stop("tree")
        assert (await jobs.status("tree")).state is JobState.ENDED

        async def gone() -> bool:
            return bool((await link.run('kill -0 "$(cat child)"')).status)

        await eventually(gone)
        assert list(await jobs.listing()) == []
        await jobs.stop("tree")

    async def test_stop_means_exactly_this_name(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        for name in ("a", "ab", "abc"):
            await jobs.start(Job(name=name, command=LONG))
            await self.listed(jobs, name)
        await jobs.stop("a")
        assert sorted(info.name for info in await jobs.listing()) == ["ab", "abc"]
        for name in ("ab", "abc"):
            await jobs.stop(name)

    @pytest.mark.parametrize(
        ("command", "code", "word"),
        [
            ("no-such-command --now", 127, "no-such-command"),
            ("./train.py", 127, "train.py"),
            ("echo bad path >&2; exit 3", 3, "bad path"),
        ],
    )
    async def test_r3_an_end_at_once_is_told_with_its_reason(
        self, link: AsyncsshConnection, command: str, code: int, word: str
    ) -> None:
        jobs = self.jobs(link)
        await jobs.start(Job(name="wrong", command=command))
        status = await jobs.settle("wrong", 10 * factor())
        assert (status.state, status.exit_code) == (JobState.ENDED, code)
        assert word in status.reason

    async def test_what_runs_on_is_no_end_at_once(self, link: AsyncsshConnection) -> None:
        jobs = self.jobs(link)
        await jobs.start(Job(name="long", command=LONG))
        assert (await jobs.settle("long", 0.5)).state is JobState.RUNNING
        await jobs.stop("long")

    async def test_r3_the_missing_tool_is_installed(self, machines: SshFixture) -> None:
        machine = await machines.boot(missing=(self.program,))
        async with machines.connected(machine) as link:
            with pytest.raises(JobError):
                await self.jobs(link).start(Job(name="job", command="true"))
            jobs = self.jobs(link, "sudo apt-get install -y")
            await jobs.start(Job(name="job", command="echo done"))
            assert (await self.ended(jobs, "job")).exit_code == 0

    async def test_r4_a_shut_machine_takes_the_session_with_it(
        self, machines: SshFixture, machine: Machine
    ) -> None:
        async with machines.connected(machine) as link:
            first = self.jobs(link)
            await first.start(Job(name="long", command=LONG))

            async def speaks() -> bool:
                return bool(await first.log("long"))

            await eventually(speaks)
        await machines.driver.kill(machine.id)
        again = await machines.boot()
        machines.ssh.forget("lease-1")
        async with machines.connected(again) as link:
            jobs = self.jobs(link)
            assert list(await jobs.listing()) == []
            assert (await jobs.status("long")).state is JobState.LOST

    def test_any_listing_is_read_without_a_crash(self) -> None:
        odd = ["", "\n\n", "No Sockets found in /run/screen/S-mist.\n", "no server running on /tmp/x\n"]
        odd += ["\x1b[31m1.evil\x1b[0m", "\t" * 9, "a" * 10_000, "\t-1.x\t(Detached)\n", "中文\t（已分离）\n"]
        for text in odd:
            assert list(self.keeper().parse(text)) == []
