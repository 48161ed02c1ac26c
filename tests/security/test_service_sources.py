"""Who answers at a URL: what no environment variable or setting can change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gpurent.domain.access import AccessChannel
from gpurent.infra.sandbox_handle import is_sandbox_service
from gpurent.infra.service_sources import ServiceSources
from gpurent.testing.fakes.storage import MemoryState
from tests.security.attacks import Adversary, Outcome, attack


async def is_any_service(_environment: Mapping[str, str], _url: str) -> bool:
    return True


@pytest.mark.parametrize("url", ["https://provider.example/api", "imaps://mail.example:993"])
async def test_tls_is_authenticated_and_marks_the_folder(url: str) -> None:
    state = MemoryState()
    sources = ServiceSources({}, state, is_sandbox_service)
    assert not await sources.uses_real_services()
    source = await sources.identify_service(url)
    assert (source.channel, source.is_authenticated, source.is_sandbox) == (
        AccessChannel.SERVICE,
        True,
        False,
    )
    assert await ServiceSources({}, state, is_sandbox_service).uses_real_services(), "from then on"


@attack(
    Adversary.LOCAL_USER,
    "listens on this computer as a provider's service, and the environment names a sandbox that is not theirs",
    Outcome.ASKED,
    kind="S3",
)
async def test_a_service_on_this_computer_is_nobody_without_a_proof(tmp_path: Path) -> None:
    for environment in ({}, {"GPURENT_SANDBOX": str(tmp_path / "sandbox.json")}, {"GPURENT_SANDBOX": "yes"}):
        state = MemoryState()
        sources = ServiceSources(environment, state, is_sandbox_service)
        for url in ("http://127.0.0.1:8000", "http://localhost:8000/", "imap://127.0.0.1:143", "", "x"):
            source = await sources.identify_service(url)
            assert not source.is_authenticated
            assert not source.is_sandbox
        assert not await sources.uses_real_services()


async def test_a_sandbox_that_proves_itself_marks_nothing() -> None:
    sources = ServiceSources({}, MemoryState(), is_any_service)
    source = await sources.identify_service("http://127.0.0.1:8000")
    assert source.is_authenticated
    assert source.is_sandbox
    assert not await sources.uses_real_services()


async def test_a_login_at_a_real_service_marks_the_folder() -> None:
    sources = ServiceSources({}, MemoryState(), is_any_service)
    await sources.record_use("http://127.0.0.1:8000")
    assert not await sources.uses_real_services()
    await sources.record_use("https://provider.example")
    assert await sources.uses_real_services()
