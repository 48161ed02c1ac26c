"""Contract tests for `gpurent.ports.connection.SshConnection`: output, limits, and a lost connection versus a failure.

A test is a subclass with a fixture ``remote``, a machine that accepts connections::

    class TestFakeMachine(ConnectionContract):
        @pytest.fixture
        async def remote(self, tmp_path):
            ...
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest

from gpurent.domain.secret import Secret
from gpurent.errors import RemoteError, UnavailableError
from gpurent.ports.connection import SshConnection
from gpurent.roles.shell_door import MAX_OUTPUT_BYTES
from gpurent.testing.contracts.contract import Contract


class ConnectionUnderTest(SshConnection, Protocol):
    """A connection with what core needs beyond `SshConnection`."""

    @property
    def is_alive(self) -> bool: ...
    async def close(self) -> None: ...


class RemoteMachine(Protocol):
    """A machine that the tests connect to."""

    async def connect(self) -> ConnectionUnderTest:
        """Return a new connection."""

    async def cut_connections(self) -> None:
        """Drop every open connection; the machine keeps running."""

    async def kill(self) -> None:
        """Power the machine off."""


@asynccontextmanager
async def open_connection(remote: RemoteMachine) -> AsyncIterator[ConnectionUnderTest]:
    """Open a connection for the duration of the block."""
    connection = await remote.connect()
    try:
        yield connection
    finally:
        await connection.close()


class ConnectionContract(Contract):
    """Contract tests for an SSH connection; a subclass defines the fixture ``remote``."""

    @abstractmethod
    @pytest.fixture
    def remote(self) -> Any:
        """Return a `RemoteMachine` for one test; any kind of fixture will do."""

    @pytest.fixture
    async def connection(self, remote: RemoteMachine) -> AsyncIterator[ConnectionUnderTest]:
        async with open_connection(remote) as made:
            yield made

    async def test_status_output_and_input(self, connection: ConnectionUnderTest) -> None:
        ran = await connection.run("cat; echo oops >&2; exit 3", input="一行\nno end")
        assert (ran.exit_status, ran.stdout, ran.stderr) == (3, "一行\nno end", "oops\n")
        ran = await connection.run("true")
        assert (ran.exit_status, ran.stdout, ran.stderr) == (0, "", "")
        assert (await connection.run("no-such-program-here")).exit_status == 127
        assert connection.is_alive

    async def test_a_command_starts_in_the_home(self, connection: ConnectionUnderTest) -> None:
        ran = await connection.run('[ "$PWD" = "$HOME" ] && echo home; echo "$USER"')
        assert ran.stdout == f"home\n{connection.endpoint.user}\n"
        await connection.run("echo kept > file; cd /; MARK=gone")
        assert (await connection.run('cat ~/file; echo "${MARK-none}"')).stdout == "kept\nnone\n"

    async def test_without_input_a_command_reads_its_end(self, connection: ConnectionUnderTest) -> None:
        assert (await connection.run("cat; echo over")).stdout == "over\n"

    async def test_a_secret_is_read_from_stdin(self, connection: ConnectionUnderTest) -> None:
        """Every user of the machine can read the command lines of its processes."""
        ran = await connection.run("cat; cat /proc/[0-9]*/cmdline 2>/dev/null", input=Secret("canary-9d1c\n"))
        assert ran.stdout.startswith("canary-9d1c\n")
        assert ran.stdout.count("canary-9d1c") == 1

    async def test_large_input_arrives_whole(self, connection: ConnectionUnderTest) -> None:
        assert (await connection.run("wc -c", input="x" * 1_000_000)).stdout.strip() == "1000000"

    async def test_bytes_that_are_no_utf8_do_not_break_it(self, connection: ConnectionUnderTest) -> None:
        assert (await connection.run(r"printf 'a\377\376b'")).stdout == "a\ufffd\ufffdb"

    async def test_a_command_ended_by_a_signal_has_a_status_and_is_no_lost_connection(
        self, connection: ConnectionUnderTest
    ) -> None:
        assert (await connection.run("kill -9 $$")).exit_status >= 128
        assert (await connection.run("echo on")).stdout == "on\n"

    async def test_concurrent_commands_share_the_connection(self, connection: ConnectionUnderTest) -> None:
        await connection.run("mkfifo pipe")
        ran = await asyncio.gather(connection.run("cat pipe"), connection.run("echo across > pipe"))
        assert [one.stdout for one in ran] == ["across\n", ""]

    async def test_a_command_that_ends_before_its_input_is_written_is_no_lost_connection(
        self, connection: ConnectionUnderTest
    ) -> None:
        """Under load, the start, output and end of a short command can all arrive in one event-loop iteration."""

        async def busy() -> None:
            while True:
                time.sleep(0.015)  # noqa: ASYNC251 - to hold the loop up is the point
                await asyncio.sleep(0)

        busy_task = asyncio.create_task(busy())
        ran = [await connection.run("echo on", input="nobody reads this") for _ in range(4)]
        busy_task.cancel()
        assert [one.stdout for one in ran] == ["on\n"] * 4

    async def test_output_up_to_the_bound_arrives_whole(self, connection: ConnectionUnderTest) -> None:
        assert len((await connection.run(f"head -c {MAX_OUTPUT_BYTES} /dev/zero")).stdout) == MAX_OUTPUT_BYTES

    @pytest.mark.parametrize("command", ["yes; sleep 3600", "yes >&2; sleep 3600"])
    async def test_output_is_bounded(self, connection: ConnectionUnderTest, command: str) -> None:
        with pytest.raises(RemoteError, match="larger than"):
            await connection.run(command, timeout=3000)
        assert connection.is_alive
        assert (await connection.run("echo on")).stdout == "on\n"

    async def test_a_command_that_takes_too_long_is_ended_and_the_connection_stays(
        self, connection: ConnectionUnderTest
    ) -> None:
        reader = "setsid sh -c 'cat pipe; echo over > ended' </dev/null >/dev/null 2>&1 &"
        with pytest.raises(UnavailableError, match=r"no answer within 0\.5 s") as caught:
            await connection.run(f"mkfifo pipe; {reader} exec sleep 3600 > pipe", timeout=0.5)
        assert not caught.value.retryable
        assert connection.is_alive
        # The reader sees end of file only when the command has ended.
        await connection.run("until [ -s ended ]; do sleep 0.02; done")

    async def test_a_cut_connection_is_retryable_and_the_next_one_works(self, remote: RemoteMachine) -> None:
        connection = await remote.connect()
        running = asyncio.create_task(connection.run("mkfifo begun; echo > begun; exec sleep 3600"))
        async with open_connection(remote) as other:
            await other.run("until [ -p begun ]; do sleep 0.02; done; cat begun")
        await remote.cut_connections()
        with pytest.raises(UnavailableError) as caught:
            await running
        assert caught.value.retryable
        assert not connection.is_alive
        with pytest.raises(UnavailableError) as caught:
            await connection.run("echo too late")
        assert caught.value.retryable
        await connection.close()
        async with open_connection(remote) as again:
            assert (await again.run("echo back")).stdout == "back\n"

    async def test_a_detached_process_outlives_the_connection(self, remote: RemoteMachine) -> None:
        async with open_connection(remote) as first:
            await first.run("setsid sh -c 'mkfifo pipe; cat pipe > heard' </dev/null >/dev/null 2>&1 &")
        async with open_connection(remote) as second:
            script = "until [ -p pipe ]; do sleep 0.02; done; echo still here > pipe"
            await second.run(f"{script}; until [ -s heard ]; do sleep 0.02; done")
            assert (await second.run("cat heard")).stdout == "still here\n"

    async def test_a_machine_that_loses_its_power_is_retryable(self, remote: RemoteMachine) -> None:
        connection = await remote.connect()
        running = asyncio.create_task(connection.run("mkfifo begun; echo > begun; exec sleep 3600"))
        async with open_connection(remote) as other:
            await other.run("until [ -p begun ]; do sleep 0.02; done; cat begun")
        await remote.kill()
        with pytest.raises(UnavailableError) as caught:
            await running
        assert caught.value.retryable
        assert not connection.is_alive
        await connection.close()
        with pytest.raises(UnavailableError) as caught:
            await remote.connect()
        assert caught.value.retryable

    async def test_a_closed_connection_runs_nothing(self, remote: RemoteMachine) -> None:
        connection = await remote.connect()
        await connection.close()
        await connection.close()
        assert not connection.is_alive
        with pytest.raises(UnavailableError) as caught:
            await connection.run("echo too late")
        assert caught.value.retryable
