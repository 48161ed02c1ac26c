"""`gpurent --record FILE` and `gpurent plugin check --replay FILE`, against the sandbox's simulators over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gpurent.testing.plugin_check.replay.recording_reader import read_recording
from gpurent.testing.shared_sandbox import CommandLineResult, CommandLineUser, SharedSandbox, shared_sandbox
from tests.command_line import run_command

PASSWORD, API_KEY = "student-pass", "0123456789abcdef" * 4
LOGINS = {
    "mistgpu": (("-f", "username=student", "--stdin", "password"), PASSWORD),
    "vast": (("--stdin", "api_key"), API_KEY),
}
WRITES = {
    "mistgpu": {("POST", "/create/"), ("POST", "/user/shutdown/")},
    "vast": {("PUT", "/api/v0/asks/{}/"), ("DELETE", "/api/v0/instances/{}/")},
}
FIELDS = {"mistgpu": ('id=\\"balance\\"', 'id=\\"credit\\"'), "vast": ("dph_total", "dph_sum")}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSandbox]:
    settings = {"mistgpu.password": PASSWORD, "vast.api_key": API_KEY}
    with shared_sandbox(tmp_path_factory.mktemp("sandbox"), speed=240, settings=settings) as made:
        yield made


@pytest.fixture
def user(sandbox: SharedSandbox, tmp_path: Path) -> CommandLineUser:
    return sandbox.user(tmp_path / "home")


def type_command(user: CommandLineUser, *arguments: str, code: int = 0, text: str = "") -> CommandLineResult:
    found = run_command(*arguments, environment=user.environment, folder=user.home, input_text=text)
    assert found.code == code, found.out + found.err
    return found


def log_in(user: CommandLineUser, provider: str, *options: str) -> None:
    fields, secret = LOGINS[provider]
    type_command(user, *options, "login", provider, *fields, text=f"{secret}\n")


def replay(user: CommandLineUser, provider: str, path: Path, code: int = 0) -> dict[str, Any]:
    found = type_command(user, "plugin", "check", provider, "--replay", str(path), "--json", code=code)
    data: dict[str, Any] = json.loads(found.out)["data"]["replay"]
    return data


def change_field(path: Path, provider: str) -> Path:
    before, after = FIELDS[provider]
    changed = path.with_name("changed.jsonl")
    text = path.read_text("utf-8")
    assert before in text
    changed.write_text(text.replace(before, after), "utf-8")
    return changed


def find_states(data: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(route["method"], route["route"]): route["state"] for route in data["routes"]}


def test_what_a_command_asked_is_recorded_and_read_again(user: CommandLineUser, tmp_path: Path) -> None:
    path = tmp_path / "balance.jsonl"
    log_in(user, "mistgpu")
    shown = type_command(user, "--record", str(path), "balance", "mistgpu", "--json")
    assert json.loads(shown.out)["ok"] is True
    assert f"recorded in {path}" in shown.err
    assert f"Read it before you hand it on: less {path}" in shown.err
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text("utf-8")
    data = replay(user, "mistgpu", path)
    assert data["ok"]
    assert data["services"] == ["sandbox"]
    assert find_states(data) == {("GET", "/user/"): "parsed"}
    changed = replay(user, "mistgpu", change_field(path, "mistgpu"), code=1)
    assert not changed["ok"]
    (route,) = changed["routes"]
    assert route["state"] == "changed"
    assert "no balance found" in route["errors"][0]


def test_a_file_that_is_there_is_refused_before_anything_is_asked(
    user: CommandLineUser, tmp_path: Path
) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    refused = type_command(user, "--record", str(path), "balance", "mistgpu", code=2)
    assert "is there already" in refused.err
    assert path.read_text() == "mine"


def test_a_command_that_asks_nobody_says_so(user: CommandLineUser, tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    shown = type_command(user, "--record", str(path), "ls")
    assert "Nothing was recorded" in shown.err
    chinese = type_command(user, "--lang", "zh", "--record", str(path), "ls")
    assert "没有" in chinese.err
    assert "recorded" not in chinese.err


def test_another_plugin_s_recording_and_no_recording_are_told(user: CommandLineUser, tmp_path: Path) -> None:
    path = tmp_path / "offers.jsonl"
    log_in(user, "vast", "--record", str(path))
    other = type_command(user, "plugin", "check", "mistgpu", "--replay", str(path), code=2)
    assert "has nothing of this plugin, but of auth vast" in other.err
    path.write_text("{}\n")
    assert (
        "is no line of a recording"
        in type_command(user, "plugin", "check", "vast", "--replay", str(path), code=2).err
    )


@pytest.mark.nightly
@pytest.mark.parametrize("provider", sorted(LOGINS))
def test_a_whole_trip(provider: str, user: CommandLineUser, tmp_path: Path) -> None:
    project, path, read = tmp_path / "project", tmp_path / "trip.jsonl", tmp_path / "read.jsonl"
    project.mkdir()
    (project / "data.txt").write_text("x")
    log_in(user, provider, "--record", str(tmp_path / "login.jsonl"))
    page = json.loads(type_command(user, "topup", provider, "60", "--no-wait", "--json").out)["data"]["url"]
    assert httpx2.post(f"{page.rstrip('/')}/settle").status_code == 200
    options = ("-p", provider, "--folder", str(project), "--no-results")
    type_command(user, "--record", str(path), "-y", "run", *options, "--", "true")
    type_command(user, "--record", str(read), "plugin", "check", provider, "--quick", "--live")
    secret = LOGINS[provider][1]
    for recorded in (path, read, tmp_path / "login.jsonl"):
        assert secret not in recorded.read_text("utf-8")
        data = replay(user, provider, recorded)
        assert data["ok"], data
        assert set(find_states(data).values()) == {"parsed"}, data
    assert WRITES[provider] <= set(find_states(replay(user, provider, path)))
    assert {exchange.kind for exchange in read_recording(path)} == {"auth", "billing", "lease"}
    changed = replay(user, provider, change_field(path, provider), code=1)
    assert "changed" in find_states(changed).values()
    shown = type_command(
        user, "plugin", "check", provider, "--replay", str(tmp_path / "changed.jsonl"), code=1
    )
    assert "changed shape" in shown.out
    assert "it says nothing about the real service" in shown.out
