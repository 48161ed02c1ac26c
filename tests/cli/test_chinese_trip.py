"""A whole trip in Chinese: what gpurent itself says is Chinese, line by line."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command

CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Two English words in a row are a phrase. Names, commands, units and addresses stay as they are.
PHRASE = re.compile(r"[A-Za-z]{2,}(?:'s)?,? [a-z]{2,}")
COMMAND = re.compile(r"gpurent [a-z]+(?: [a-z0-9.-]+)*")


def find_english_lines(said: str) -> list[str]:
    """The lines of ``said`` that hold an English phrase."""
    return [line for line in said.splitlines() if PHRASE.search(COMMAND.sub("", line))]


def run_gpurent(
    *arguments: str, environment: Mapping[str, str], folder: Path, given: str = ""
) -> CommandLineResult:
    base = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    return run_command(*arguments, environment={**base, **environment}, folder=folder, input_text=given)


@pytest.fixture
def sandbox_environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    root = str(tmp_path / "sandbox")
    up = ("sandbox", "up", "--root", root, "--speed", "240", "--machines", "3", "--driver", "embedded")
    raised = run_gpurent(*up, environment={}, folder=tmp_path)
    assert raised.code == 0, raised.err
    try:
        lines = run_gpurent(
            "sandbox", "env", "--root", root, environment={}, folder=tmp_path
        ).out.splitlines()
        pairs = [shlex.split(line)[1].partition("=") for line in lines]
        yield {**{name: value for name, _mark, value in pairs}, "GPURENT_LANG": "zh"}
    finally:
        run_gpurent("sandbox", "down", "--root", root, environment={}, folder=tmp_path)


def test_the_probe_sees_english() -> None:
    assert find_english_lines("错误：the line is lost") == ["错误：the line is lost"]
    assert not find_english_lines(
        "没有花钱。请先充值：gpurent topup mistgpu 3.00CNY\n  mistgpu-sp66t: 已关机"
    )


def test_a_trip_speaks_chinese(sandbox_environment: dict[str, str], tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("print('output of the job')\n")
    login = ("login", "mistgpu", "-f", "username=student", "--stdin", "password")
    wrong = run_gpurent(*login, environment=sandbox_environment, folder=project, given="wrong\n")
    assert wrong.code != 0
    assert (
        run_gpurent(*login, environment=sandbox_environment, folder=project, given="student-pass\n").code == 0
    )
    rented = ("run", "-p", "mistgpu", "python3", "train.py")
    poor = run_gpurent(*rented, environment=sandbox_environment, folder=project)
    assert poor.code != 0
    way = run_gpurent(
        "topup", "mistgpu", "20", "--no-wait", "--json", environment=sandbox_environment, folder=project
    )
    page = json.loads(way.out)["data"]["url"]
    assert httpx2.post(f"{page.rstrip('/')}/settle").status_code == 200
    trip = run_gpurent(*rented, environment=sandbox_environment, folder=project)
    assert trip.code == 0, trip.err
    for said in (wrong.err, poor.err, trip.err):
        assert CHINESE.search(said), said
        assert find_english_lines(said) == []
    assert len([line for line in trip.err.splitlines() if CHINESE.search(line)]) > 10
