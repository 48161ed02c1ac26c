"""Every test with a machine runs with asyncssh's server and, where possible, with real OpenSSH."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gpurent.infra.http import HttpClient
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.redact import Redactor
from gpurent.testing.sandbox.machines import find_bwrap_problem
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture


@pytest.fixture(scope="session")
def bwrap_problem() -> str:
    """Return why OpenSSH machines cannot run here; empty if they can."""
    return asyncio.run(find_bwrap_problem())


@pytest.fixture(
    params=[
        pytest.param("embedded", marks=pytest.mark.nightly),
        pytest.param("bwrap", marks=pytest.mark.bwrap),
    ]
)
async def machines(
    request: pytest.FixtureRequest, bwrap_problem: str, tmp_path: Path
) -> AsyncIterator[SshFixture]:
    if request.param == "bwrap" and bwrap_problem:
        pytest.skip(bwrap_problem)
    async with ssh_fixture(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a vault that does not exist yet."""
    return make_private_folder(tmp_path / "vault")


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


@pytest.fixture
async def make_client(redactor: Redactor) -> AsyncIterator[Callable[..., HttpClient]]:
    """Return what makes a client for a URL; all of them are closed after the test."""
    made: list[HttpClient] = []

    def client(url: str, live: str = "") -> HttpClient:
        made.append(HttpClient(url, redact=redactor, log=logging.getLogger("gpurent.test.http"), live=live))
        return made[-1]

    yield client
    for one in made:
        await one.aclose()
