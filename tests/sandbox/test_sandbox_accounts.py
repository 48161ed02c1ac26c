"""``gpurent sandbox login PROVIDER --account LABEL``: one more account at a simulator."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.sandbox.test_sandbox_command import run_gpurent


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    root = str(tmp_path / "sandbox")
    started = run_gpurent("sandbox", "up", "--root", root, "--driver", "embedded")
    assert started.returncode == 0, started.stderr
    try:
        lines = run_gpurent("sandbox", "env", "--root", root).stdout.splitlines()
        pairs = [shlex.split(line)[1].partition("=") for line in lines]
        yield {"ROOT": root, **{name: value for name, _mark, value in pairs}}
    finally:
        run_gpurent("sandbox", "down", "--root", root)


def log_in(environment: Mapping[str, str], *arguments: str) -> tuple[str, str]:
    done = run_gpurent(
        *("sandbox", "login", "--root", environment["ROOT"], "--json", *arguments), environment=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(done.stdout)["data"]
    return data["provider"], data["account"]


@pytest.mark.nightly
def test_each_label_has_an_account_of_its_own(environment: Mapping[str, str]) -> None:
    made = [
        log_in(environment, provider, *account)
        for provider in ("vast", "mistgpu", "1024gpu")
        for account in ((), ("--account", "lab"))
    ]
    assert [name for name, _account in made] == [
        "vast", "vast@lab", "mistgpu", "mistgpu@lab", "1024gpu", "1024gpu@lab",
    ]  # fmt: skip
    assert len({account for _name, account in made}) == len(made)
    assert log_in(environment, "vast@lab") == made[1], "the same one again"
    known = run_gpurent("whoami", "--json", environment=environment)
    assert {(row["provider"], row["account"]) for row in json.loads(known.stdout)["data"]} == set(made)
