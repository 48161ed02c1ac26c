"""`gpurent plugin check --live`: what it asks a service, here the sandbox's, and that it says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gpurent.testing.shared_sandbox import CommandLineUser, SharedSandbox, shared_sandbox
from tests.command_line import run_command

PASSWORD = "student-pass"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSandbox]:
    settings = {"mistgpu.password": PASSWORD}
    with shared_sandbox(tmp_path_factory.mktemp("sandbox"), speed=240, settings=settings) as made:
        yield made


@pytest.fixture
def user(sandbox: SharedSandbox, tmp_path: Path) -> CommandLineUser:
    return sandbox.user(tmp_path / "home")


def check(user: CommandLineUser, *options: str, code: int = 0) -> dict[str, Any]:
    arguments = ("plugin", "check", "mistgpu", "--quick", "--json", *options)
    result = run_command(*arguments, environment=user.environment, folder=user.home)
    assert result.code == code, result.out + result.err
    found: dict[str, Any] = json.loads(result.out)["data"]
    return found


def log_in(user: CommandLineUser) -> None:
    arguments = ("login", "mistgpu", "-f", "username=student", "--stdin", "password")
    result = run_command(
        *arguments, environment=user.environment, folder=user.home, input_text=f"{PASSWORD}\n"
    )
    assert result.code == 0, result.err


def test_without_a_login_it_says_what_to_do(user: CommandLineUser) -> None:
    live = check(user, "--live", code=1)["live"]
    assert not live["ok"]
    (login,) = [answer for answer in live["answers"] if answer["question"] == "is_valid"]
    assert "not logged in" in login["text"]


def test_reading_costs_nothing_and_the_sandbox_is_no_evidence(
    user: CommandLineUser, sandbox: SharedSandbox
) -> None:
    log_in(user)
    data = check(user, "--live")
    live = data["live"]
    assert live["ok"]
    assert live["is_sandbox"]
    assert live["trips"] == []
    questions = {(answer["kind"], answer["question"]) for answer in live["answers"]}
    assert {
        ("auth", "is_valid"),
        ("lease", "list_offers"),
        ("lease", "list_leases"),
        ("billing", "get_balance"),
    } <= questions
    assert data["level"] != "gold"
    text = run_command(
        "plugin", "check", "mistgpu", "--quick", "--live", environment=user.environment, folder=user.home
    )
    assert "it says nothing about the real service" in text.out
    assert "Date it in quality.toml" not in text.out


@pytest.mark.nightly
def test_a_trip_within_the_budget(user: CommandLineUser) -> None:
    log_in(user)
    page = run_command(
        *("topup", "mistgpu", "60", "--no-wait", "--json"), environment=user.environment, folder=user.home
    )
    url = json.loads(page.out)["data"]["url"].rstrip("/")
    assert httpx2.post(f"{url}/settle").status_code == 200
    (trip,) = check(user, "--live", "--spend", "5CNY")["live"]["trips"]
    assert trip["exit_code"] == 0
    leases = run_command("ls", "--json", environment=user.environment, folder=user.home)
    assert json.loads(leases.out)["data"] == []


def test_spending_without_live_is_refused(tmp_path: Path) -> None:
    arguments = ("plugin", "check", "tmux", "--spend", "5CNY")
    result = run_command(*arguments, environment={"HOME": str(tmp_path)}, folder=tmp_path)
    assert result.code == 2
    assert "--spend needs --live" in result.err
