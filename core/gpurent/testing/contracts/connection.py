"""The promises of `gpurent.ports.connection.SshConnection`: outputs, bounds, and a lost line told from a failure.

A test is a subclass with a fixture ``place``, a machine that can be connected to::

    class TestFakeMachine(ConnectionContract):
        @pytest.fixture
        async def place(self, tmp_path):
            ...
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest

from gpurent.errors import RemoteError, UnavailableError
from gpurent.infra.ssh.connection import LARGEST
from gpurent.ports.connection import SshConnection


class OpenConnection(SshConnection, Protocol):
    """As core holds it."""

    @property
    def alive(self) -> bool: ...
    async def aclose(self) -> None: ...


class ConnectionPlace(Protocol):
    """One machine."""

    async def connect(self) -> OpenConnection:
        """A fresh line."""

    async def cut(self) -> None:
        """Every open line is lost; the machine goes on."""

    async def kill(self) -> None:
        """The machine loses its power."""


@asynccontextmanager
async def connected(place: ConnectionPlace) -> AsyncIterator[OpenConnection]:
    """A line that is closed at the end."""
    connection = await place.connect()
    try:
        yield connection
    finally:
        await connection.aclose()


class ConnectionContract(ABC):
    """What is said of every line."""

    @abstractmethod
    @pytest.fixture
    def place(self) -> Any:
        """A `ConnectionPlace`, a machine of one test; any fixture that gives one."""

    @pytest.fixture
    async def connection(self, place: ConnectionPlace) -> AsyncIterator[OpenConnection]:
        async with connected(place) as made:
            yield made

    async def test_status_output_and_input(self, connection: OpenConnection) -> None:
        ran = await connection.run("cat; echo oops >&2; exit 3", input="一行\nno end")
        assert (ran.status, ran.out, ran.err) == (3, "一行\nno end", "oops\n")
        ran = await connection.run("true")
        assert (ran.status, ran.out, ran.err) == (0, "", "")
        assert (await connection.run("no-such-program-here")).status == 127
        assert connection.alive

    async def test_a_command_starts_in_the_home(self, connection: OpenConnection) -> None:
        ran = await connection.run('[ "$PWD" = "$HOME" ] && echo home; echo "$USER"')
        assert ran.out == f"home\n{connection.endpoint.user}\n"
        await connection.run("echo kept > file; cd /; MARK=gone")
        assert (await connection.run('cat ~/file; echo "${MARK-none}"')).out == "kept\nnone\n"

    async def test_without_input_a_command_reads_its_end(self, connection: OpenConnection) -> None:
        assert (await connection.run("cat; echo over")).out == "over\n"

    async def test_large_input_arrives_whole(self, connection: OpenConnection) -> None:
        assert (await connection.run("wc -c", input="x" * 1_000_000)).out.strip() == "1000000"

    async def test_bytes_that_are_no_utf8_do_not_break_it(self, connection: OpenConnection) -> None:
        assert (await connection.run(r"printf 'a\377\376b'")).out == "a\ufffd\ufffdb"

    async def test_a_command_ended_by_a_signal_has_a_status_and_is_no_lost_line(
        self, connection: OpenConnection
    ) -> None:
        assert (await connection.run("kill -9 $$")).status >= 128
        assert (await connection.run("echo on")).out == "on\n"

    async def test_commands_at_once_share_the_line(self, connection: OpenConnection) -> None:
        await connection.run("mkfifo pipe")
        ran = await asyncio.gather(connection.run("cat pipe"), connection.run("echo across > pipe"))
        assert [one.out for one in ran] == ["across\n", ""]

    async def test_a_command_that_ends_before_its_input_is_written_is_no_lost_line(
        self, connection: OpenConnection
    ) -> None:
        """A busy computer of ours sees "started", the output and the end of a short command all at once."""

        async def busy() -> None:
            while True:
                time.sleep(0.015)  # noqa: ASYNC251 - to hold the loop up is the point
                await asyncio.sleep(0)

        burden = asyncio.create_task(busy())
        ran = [await connection.run("echo on", input="nobody reads this") for _ in range(4)]
        burden.cancel()
        assert [one.out for one in ran] == ["on\n"] * 4

    async def test_output_up_to_the_bound_arrives_whole(self, connection: OpenConnection) -> None:
        assert len((await connection.run(f"head -c {LARGEST} /dev/zero")).out) == LARGEST

    @pytest.mark.parametrize("command", ["yes; sleep 3600", "yes >&2; sleep 3600"])
    async def test_output_is_bounded(self, connection: OpenConnection, command: str) -> None:
        with pytest.raises(RemoteError, match="larger than"):
            await connection.run(command, timeout=3000)
        assert connection.alive
        assert (await connection.run("echo on")).out == "on\n"

    async def test_a_command_that_takes_too_long_is_ended_and_the_line_goes_on(
        self, connection: OpenConnection
    ) -> None:
        reader = "setsid sh -c 'cat pipe; echo over > ended' </dev/null >/dev/null 2>&1 &"
        with pytest.raises(UnavailableError, match=r"no answer within 0\.5 s") as caught:
            await connection.run(f"mkfifo pipe; {reader} exec sleep 3600 > pipe", timeout=0.5)
        assert not caught.value.retryable
        assert connection.alive
        # Its reader comes to the end of the pipe only when the command has ended.
        await connection.run("until [ -s ended ]; do sleep 0.02; done")

    async def test_a_cut_line_is_retryable_and_the_next_one_works(self, place: ConnectionPlace) -> None:
        connection = await place.connect()
        running = asyncio.create_task(connection.run("mkfifo begun; echo > begun; exec sleep 3600"))
        async with connected(place) as other:
            await other.run("until [ -p begun ]; do sleep 0.02; done; cat begun")
        await place.cut()
        with pytest.raises(UnavailableError) as caught:
            await running
        assert caught.value.retryable
        assert not connection.alive
        with pytest.raises(UnavailableError) as caught:
            await connection.run("echo too late")
        assert caught.value.retryable
        await connection.aclose()
        async with connected(place) as again:
            assert (await again.run("echo back")).out == "back\n"

    async def test_what_was_detached_outlives_the_line(self, place: ConnectionPlace) -> None:
        async with connected(place) as first:
            await first.run("setsid sh -c 'mkfifo pipe; cat pipe > heard' </dev/null >/dev/null 2>&1 &")
        async with connected(place) as second:
            script = "until [ -p pipe ]; do sleep 0.02; done; echo still here > pipe"
            await second.run(f"{script}; until [ -s heard ]; do sleep 0.02; done")
            assert (await second.run("cat heard")).out == "still here\n"

    async def test_a_machine_that_loses_its_power_is_retryable(self, place: ConnectionPlace) -> None:
        connection = await place.connect()
        running = asyncio.create_task(connection.run("mkfifo begun; echo > begun; exec sleep 3600"))
        async with connected(place) as other:
            await other.run("until [ -p begun ]; do sleep 0.02; done; cat begun")
        await place.kill()
        with pytest.raises(UnavailableError) as caught:
            await running
        assert caught.value.retryable
        assert not connection.alive
        await connection.aclose()
        with pytest.raises(UnavailableError) as caught:
            await place.connect()
        assert caught.value.retryable

    async def test_a_closed_line_runs_nothing(self, place: ConnectionPlace) -> None:
        connection = await place.connect()
        await connection.aclose()
        await connection.aclose()
        assert not connection.alive
        with pytest.raises(UnavailableError) as caught:
            await connection.run("echo too late")
        assert caught.value.retryable
