"""What stands between the user and a command on a machine: start files that print, wait, or open something else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from gpurent.errors import RemoteError
from gpurent.infra.ssh import attached_terminal
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.roles.shell_door import make_terminal_line
from gpurent.testing.load_timeouts import wait_within
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture
from tests.infra.odd_machine import connect
from tests.infra.user_screen import UserScreen, open_screen
from tests.remote.login_shells import BASH, SHELLS, LoginShell

pytestmark = pytest.mark.bwrap
WORDS = "printf '%s\\n' 'a!b' \"it's\" 'back\\slash'"
TCSH = next(shell for shell in SHELLS if shell.name in ("tcsh", "csh"))


@pytest.fixture
async def machines(bwrap_problem: str, tmp_path: Path) -> AsyncIterator[SshFixture]:
    if bwrap_problem:
        pytest.skip(bwrap_problem)
    async with ssh_fixture("bwrap", tmp_path) as made:
        yield made


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[UserScreen]:
    with open_screen(monkeypatch) as made:
        yield made


@contextmanager
def redirected(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Give this process files in the place of a terminal; yield those of stdout and stderr."""
    paths = [folder / name for name in ("out", "err")]
    with Path(os.devnull).open() as empty, paths[0].open("w") as out, paths[1].open("w") as err:
        for name, stream in (("stdin", empty), ("stdout", out), ("stderr", err)):
            monkeypatch.setattr(f"sys.{name}", stream)
        yield paths[0], paths[1]


@asynccontextmanager
async def connect_to(
    machines: SshFixture, tmp_path: Path, start_text: str, shell: LoginShell = BASH
) -> AsyncIterator[AsyncsshConnection]:
    async with connect(machines, tmp_path, shell) as (connection, home):
        shell.write_start_file(home, start_text)
        yield connection


@pytest.mark.parametrize("shell", [BASH, TCSH], ids=lambda shell: shell.name)
async def test_arguments_and_output_arrive_as_they_are(
    machines: SshFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: LoginShell
) -> None:
    """What a start file prints is no part of a file that is made of the output."""
    async with connect_to(machines, tmp_path, "echo Welcome\n", shell) as connection:
        with redirected(monkeypatch, tmp_path) as (out, err):
            status = await connection.run_interactive(
                make_terminal_line(connection.endpoint.user, f"{WORDS}; exit 4")
            )
    assert (status, out.read_text()) == (4, "a!b\nit's\nback\\slash\n")
    assert "Welcome" in err.read_text()


async def test_what_the_command_leaves_behind_is_not_waited_for(
    machines: SshFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attached_terminal, "END_GRACE", 0.5)
    async with connect_to(machines, tmp_path, "sleep 97 &\n") as connection:
        with redirected(monkeypatch, tmp_path) as (out, err):
            line = make_terminal_line(connection.endpoint.user, "sleep 98 & echo done; exit 3")
            assert await wait_within(15, connection.run_interactive(line)) == 3
    assert out.read_text() == "done\n"
    assert "left behind" in err.read_text()


async def test_a_shell_that_ends_before_the_command_is_an_error(
    machines: SshFixture, tmp_path: Path, screen: UserScreen
) -> None:
    async with connect_to(machines, tmp_path, "[ -t 1 ] && exit 0\n") as connection:
        screen.take()
        with pytest.raises(RemoteError, match="ended before it ran a command"):
            await connection.run_interactive(make_terminal_line(connection.endpoint.user, "echo never"))


async def test_a_start_file_that_waits_for_a_line_is_explained(
    machines: SshFixture, tmp_path: Path, screen: UserScreen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attached_terminal, "START_GRACE", 0.5)
    async with connect_to(machines, tmp_path, "[ -t 0 ] && read -r answer\n") as connection:
        screen.take()
        line = make_terminal_line(connection.endpoint.user, "echo here; read -r word; exit 2")
        running = asyncio.create_task(connection.run_interactive(line))
        await screen.wait_for("press Enter")
        screen.type("\n")
        await screen.wait_for("here")
        screen.type("\n")
        assert await running == 2
    assert b"gpurent-begins" not in screen.seen


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_the_mark_is_found_however_it_is_cut(tmp_path: Path, size: int) -> None:
    """Text that begins like the mark is no mark."""
    mark = b"\x1b]mark\x07"
    data = b"noise \x1b]mar noise \x1b" + mark + b"own " + mark
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    out, noise = Written(), Written()
    output = attached_terminal.Output(mark, noise, 0.0)
    await output.forward_marked(Pieces(pieces), out)
    assert (noise.data, out.data) == (b"noise \x1b]mar noise \x1b", b"own " + mark)
    assert output.has_begun


async def test_output_without_a_mark_is_noise_to_its_end() -> None:
    out, noise = Written(), Written()
    output = attached_terminal.Output(b"\x1b]mark\x07", noise, 0.0)
    await output.forward_marked(Pieces([b"noise \x1b]ma"]), out)
    assert (noise.data, out.data, output.has_begun) == (b"noise \x1b]ma", b"", False)


class Written:
    """What was written to one side of the terminal."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


class Pieces:
    """What a machine sends, as it arrives."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._left = pieces

    async def read(self, most: int) -> bytes:
        return self._left.pop(0) if self._left else b""
