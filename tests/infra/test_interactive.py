"""The user's own terminal on a machine: its type exists there, it is resized, and what asks for a password can."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.remote.terminal_types import find_type_command, parse_type
from gpurent.roles.shell_door import make_terminal_line
from gpurent.testing.ssh_fixture import SshFixture
from tests.infra.user_screen import UserScreen, open_screen
from tests.remote.local_shell import run_here


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[UserScreen]:
    with open_screen(monkeypatch) as made:
        yield made


async def open_on(machines: SshFixture, screen: UserScreen) -> AsyncsshConnection:
    screen.take()
    return await machines.connect(await machines.boot())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("xterm-kitty-of-next-year", "xterm-256color"), ("screen", "screen"), ("xterm", "xterm")],
)
async def test_the_type_of_the_terminal_exists_on_the_machine(
    machines: SshFixture, screen: UserScreen, monkeypatch: pytest.MonkeyPatch, ours: str, theirs: str
) -> None:
    connection = await open_on(machines, screen)
    monkeypatch.setenv("TERM", ours)
    line = make_terminal_line(connection.endpoint.user, 'echo "type=$TERM."')
    assert await connection.run_interactive(line) == 0
    await screen.wait_for(f"type={theirs}.")


async def test_a_terminal_is_resized_while_it_is_used(machines: SshFixture, screen: UserScreen) -> None:
    connection = await open_on(machines, screen)
    running = asyncio.create_task(
        connection.run_interactive("stty size; read line; stty size; read line; echo over")
    )
    await screen.wait_for("30 90")
    screen.resize(120, 40)
    screen.type("\n")
    await screen.wait_for("40 120")
    screen.type("\n")
    assert await running == 0


async def test_a_program_can_ask_for_a_password(machines: SshFixture, screen: UserScreen) -> None:
    """As sudo does: by the terminal itself, without showing what is typed."""
    connection = await open_on(machines, screen)
    ask = "exec 3<>/dev/tty; stty -echo <&3; printf '[sudo] password: ' >&3; read word <&3; stty echo <&3"
    script = f"{ask}; echo ok $word"
    running = asyncio.create_task(connection.run_interactive(f"({script}) </dev/null"))
    await screen.wait_for("[sudo] password: ")
    screen.type("canary\n")
    assert await running == 0
    await screen.wait_for("ok canary")
    assert screen.seen.count(b"canary") == 1


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("xterm", "xterm"),
        ("no-such-terminal", "xterm-256color"),
        ("", "xterm-256color"),
        ("../x/xterm", "xterm-256color"),
        ("; echo x", "xterm-256color"),
    ],
)
def test_the_type_that_a_machine_has(tmp_path: Path, wanted: str, found: str) -> None:
    assert parse_type(run_here(find_type_command(wanted), tmp_path), wanted) == found


def test_an_answer_that_says_nothing_is_the_common_type() -> None:
    for output in ("", "noise\n", "gpurent-terminal evil\n"):
        assert parse_type(output, "xterm-kitty") == "xterm-256color"
