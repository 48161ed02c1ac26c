"""A lease whose provider's plugin is not installed is loud in every command that it concerns."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.domain.lease import LeaseState
from gpurent.errors import PluginError, UnavailableError
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command_async
from tests.sample_lease import make_lease

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = "acme-abcde"
SENTENCE = f"the plugin of acme is missing or broken: gpurent can neither check nor release {LEASE}"


@pytest.fixture
async def environment(tmp_path: Path) -> Mapping[str, str]:
    home = tmp_path / "state"
    home.mkdir(mode=0o700)
    store = SqliteStore(home / "journal.sqlite", lambda: NOW)
    await store.save_lease(evolve(make_lease("r-1"), id=LEASE, provider="acme", started_at=NOW))
    store.close()
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GPURENT_HOME": str(home), "LANG": "C.UTF-8"}


async def run(environment: Mapping[str, str], *arguments: str) -> CommandLineResult:
    return await run_command_async(
        "--no-input", *arguments, environment=environment, folder=Path(environment["HOME"])
    )


@pytest.mark.parametrize(
    "arguments",
    [("ls",), ("ls", "--refresh"), ("show", LEASE), ("release", LEASE), ("watch", "--once")],
    ids="-".join,
)
async def test_text_says_it_and_what_to_do(
    environment: Mapping[str, str], arguments: tuple[str, ...]
) -> None:
    done = await run(environment, *arguments)
    shown = done.out + done.err
    assert done.code == PluginError.exit_code, shown
    assert SENTENCE in shown
    assert "may still cost money" in shown
    assert "gpurent plugin list" in shown
    assert "pip install" not in shown, "nobody knows the name of its package"
    assert "on the page of acme" in shown
    assert "Nothing was charged" not in shown


@pytest.mark.parametrize(
    ("arguments", "key"), [(("ls",), "problem"), (("watch", "--once"), "error")], ids=["ls", "watch"]
)
async def test_json_says_it(environment: Mapping[str, str], arguments: tuple[str, ...], key: str) -> None:
    done = await run(environment, "--json", *arguments)
    assert done.code == PluginError.exit_code
    (row,) = json.loads(done.out)["data"]
    assert SENTENCE in row[key]


async def test_json_of_one_lease_says_it(environment: Mapping[str, str]) -> None:
    shown: dict[str, Any] = json.loads((await run(environment, "--json", "show", LEASE)).out)["data"]
    assert SENTENCE in shown["problem"]
    refused = json.loads((await run(environment, "--json", "release", LEASE)).out)["error"]
    assert SENTENCE in refused["message"]
    assert refused["burning"] == [LEASE]
    assert refused["spent"] == "yes"


async def test_watch_once_fails_if_a_provider_cannot_be_asked(environment: Mapping[str, str]) -> None:
    store = SqliteStore(Path(environment["GPURENT_HOME"]) / "journal.sqlite", lambda: NOW)
    known = evolve(make_lease("r-2"), id="mistgpu-abcde", provider="mistgpu", started_at=NOW)
    await store.save_lease(known)
    await store.save_lease(evolve(make_lease("r-1"), id=LEASE, provider="acme", state=LeaseState.RELEASED))
    store.close()
    done = await run(environment, "--json", "watch", "--once")
    assert done.code == UnavailableError.exit_code
    (row,) = json.loads(done.out)["data"]
    assert (row["lease"], row["guarded"]) == (known.id, True)
    assert "mistgpu does not answer" in row["error"]
