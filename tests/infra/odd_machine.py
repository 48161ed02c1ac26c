"""Machines with real OpenSSH that are not as they should be, and what is done with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gpurent.api import PullRequest, PushRequest
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.roles.machine import TransferBackend
from gpurent.testing.contracts.file_trees import read_tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.ssh_fixture import SshFixture
from tests.remote.login_shells import LoginShell


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


async def check_transfer(
    connection: AsyncsshConnection, backend: TransferBackend, source: Path, home: Path, target: Path
) -> None:
    push = PushRequest(sources=(source,), target="gpurent/w", contents_only=True)
    await backend.push(connection, push, CountingProgress())
    sent = read_tree(source)
    assert read_tree(home / "gpurent" / "w") == sent
    await backend.pull(connection, PullRequest(sources=("gpurent/w",), target=target), CountingProgress())
    assert read_tree(target / "w") == sent
