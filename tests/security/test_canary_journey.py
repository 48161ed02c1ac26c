"""Whole journeys with canary secrets and canary escapes: none gets out, none reaches the terminal."""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.reliability.providers import TestableProvider, list_testable_providers
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.canaries import HOSTILE
from tests.security.canary_journey import PASSPHRASE, CanaryJourney, open_journey
from tests.security.secret_search import ProcessSampler, SecretSearch, list_parts
from tests.security.terminal_user import Screen

PROVIDERS = list_testable_providers()
STAGED = next(provider for provider in PROVIDERS if provider.stages)
CANARY = "canary-7f3a/secret+1"


async def check_journey(journey: CanaryJourney) -> None:
    await journey.take()
    assert len(journey.find_secrets()) >= 3
    assert journey.list_leaks() == []
    assert journey.list_harm() == []
    assert any("said" in screen.text for screen in journey.terminal.screens), "nothing hostile was shown"


@attack(
    Adversary.PROVIDER,
    "escapes in offers, refusals and errors, through a whole journey at a terminal",
    Outcome.HARMLESS,
    kind="S5",
)
@attack(
    Adversary.MACHINE_OWNER,
    "escapes in the output of jobs, in logs and in the names of results, through a whole journey at a terminal",
    Outcome.HARMLESS,
    kind="S5",
)
@attack(
    Adversary.LOCAL_USER,
    "passwords, cookies, keys, in arguments and environments of processes, logs, Store, crash reports and exports",
    Outcome.HARMLESS,
    kind="S15",
)
async def test_a_journey() -> None:
    with tempfile.TemporaryDirectory(prefix="gpr-") as name:
        async with open_journey(STAGED, Path(name), "en") as journey:
            await check_journey(journey)


@pytest.mark.nightly
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
async def test_every_journey(provider: TestableProvider, language: str) -> None:
    with tempfile.TemporaryDirectory(prefix="gpr-") as name:
        passphrase = PASSPHRASE if language == "zh" else ""
        async with open_journey(provider, Path(name), language, passphrase) as journey:
            await check_journey(journey)


@pytest.mark.parametrize(
    "form",
    [CANARY.encode(), CANARY.encode().hex().encode(), b"canary-7f3a%2Fsecret%2B1", CANARY.encode("utf-16-le"),
     *(base64.b64encode(b"x" * lead + CANARY.encode() + b"yy") for lead in range(3)),
     base64.urlsafe_b64encode(b">>" + CANARY.encode())],
)  # fmt: skip
def test_a_secret_is_found_in_every_form(form: bytes, tmp_path: Path) -> None:
    search = SecretSearch({"login": CANARY})
    assert search.find(b"before " + form + b" after") == {"login"}
    assert search.find(b"canary-7f3b/secret") == set()
    (tmp_path / "file").write_bytes(form)
    assert list(search.find_in_folder(tmp_path)) == ["login in file"]
    assert list(search.find_in_folder(tmp_path, [tmp_path / "file"])) == []


def test_the_parts_of_a_stored_secret() -> None:
    line = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz"
    assert list_parts(f'{{"account": "student-name", "token": "{CANARY}"}}') == {CANARY}
    assert line in list_parts(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{line}\n")
    assert list_parts("short") == set()


@pytest.mark.parametrize("place", ["argument", "environment"])
def test_a_secret_of_a_process_is_found(place: str) -> None:
    sampler, waits = ProcessSampler(), "input()"
    arguments = [sys.executable, "-c", waits, *([CANARY] if place == "argument" else [])]
    environment = {"TOKEN": CANARY} if place == "environment" else {}
    with sampler.sampling(), subprocess.Popen(arguments, env=environment, stdin=subprocess.PIPE) as process:
        while not sampler.find(SecretSearch({"login": CANARY})):
            assert process.poll() is None
        process.communicate(b"\n")


async def test_what_reaches_the_terminal_is_found(tmp_path: Path) -> None:
    async with open_journey(STAGED, tmp_path, "en") as journey:
        journey.terminal.screens.append(Screen(("ls",), 0, "\x1b[31mred\x1b[0m\r\x1b[2K\x1b[?25l50 %\r\n"))
        assert journey.list_harm() == []
        journey.terminal.screens.append(Screen(("ls",), 0, HOSTILE))
        assert len(journey.list_harm()) > 10
