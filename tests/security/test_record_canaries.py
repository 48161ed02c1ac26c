"""Journeys under --record: no secret and nothing that tells whose they are gets into the file."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from gpurent.testing.plugin_check.replay.recording_reader import read_recording
from tests.reliability.providers import TestableProvider, list_testable_providers
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.canary_journey import CanaryJourney, open_journey
from tests.security.secret_search import SecretSearch
from tests.security.terminal_user import Screen

PROVIDERS = list_testable_providers()
BY_DAY = next(provider for provider in PROVIDERS if not provider.stages and not provider.renews)
# Addresses of the sandbox's machines and mailboxes, and keys.
TELLING = re.compile(
    rb"127\.0\.0\.1|AAAA[A-Za-z0-9+/]{20}|@sandbox\.example|[\w.]+@[\w-]+\.(?:example|com)\b"
)


@define(eq=False)
class RecordedJourney(CanaryJourney):
    """Every command has a recording of its own."""

    @property
    def recordings(self) -> list[Path]:
        return sorted((self.root / "recordings").glob("*.jsonl"))

    async def type(self, *arguments: str, code: int | None = 0, **given: Any) -> Screen:
        folder = self.root / "recordings"
        folder.mkdir(exist_ok=True)
        path = folder / f"{len(self.terminal.screens):03}.jsonl"
        return await super().type("--record", str(path), *arguments, code=code, **given)

    async def take_recorded(self) -> None:
        await self.log_in()
        await self.look_at_offers()
        await self.run_job()
        await self.meet_errors()
        await self.account()
        await self.release()


async def check_recordings(journey: RecordedJourney, account: str) -> None:
    search = SecretSearch(journey.find_secrets())
    assert search.secrets
    methods, bodies = set(), 0
    for path in journey.recordings:
        data = path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
        assert search.find(data) == set(), path
        assert TELLING.findall(data) == [], path
        assert not re.search(rf"(?<!\w){re.escape(account)}(?!\w)".encode(), data), (path, account)
        if not data:
            continue
        for exchange in read_recording(path):
            methods.add(exchange.method)
            bodies += bool(exchange.body)
            assert exchange.service == "sandbox"
    assert bodies > 10
    assert methods


async def take_journey(provider: TestableProvider, language: str) -> None:
    with tempfile.TemporaryDirectory(prefix="gpr-") as name:
        async with open_journey(provider, Path(name), language) as opened:
            journey = RecordedJourney(
                opened.provider,
                opened.sandbox,
                opened.terminal,
                opened.root,
                opened.sampler,
                opened.typed_secrets,
            )
            await journey.take_recorded()
            (identity,) = await journey.read("whoami")
            await check_recordings(journey, identity["account"])
            told = "".join(screen.text for screen in journey.terminal.screens)
            assert ("请先阅读" if language == "zh" else "Read it before you hand it on") in told
            assert journey.list_leaks() == []


@attack(
    Adversary.PROVIDER,
    "answers, also errors, repeat the user's secrets, addresses and names while they are recorded to be handed on",
    Outcome.KEPT_OUT,
)
@pytest.mark.nightly
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
async def test_nothing_of_the_user_is_recorded(provider: TestableProvider, language: str) -> None:
    await take_journey(provider, language)


def test_what_tells_is_found() -> None:
    for text in ("ssh root@127.0.0.1", json.dumps("AAAAC3NzaC1lZDI1NTE5AAAAIKvabc"), "user1@sandbox.example"):
        assert TELLING.search(text.encode())
