"""The start of the command line: fast, without heavy modules."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve
from importlib_metadata import entry_points

from gpurent.domain.access import Endpoint
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer
from gpurent.infra.sqlite.store import SqliteStore

PLUGINS = {point.module.partition(".")[0] for point in entry_points(group="gpurent")}
HEAVY_MODULES = {"asyncssh", "ssl", "asyncio", "rich", "httpx2", "cryptography", "lxml", "sqlite3"}
# Modules that `--help` once loaded but does not need.
UNUSED_MODULES = {
    "cattrs",
    "difflib",
    "email.parser",
    "html",
    "json",
    "logging",
    "platformdirs",
    "socket",
    "tomllib",
}
# Modules for actions, which a listing does not need.
ACTION_MODULES = {
    "concurrent.futures",
    "difflib",
    "email.parser",
    "gpurent.cli.terminal",
    "gpurent.cli.trip_spec",
    "gpurent.composition.application",
    "gpurent.composition.runtime",
    "gpurent.domain.trip",
    "gpurent.infra.plugin_context",
    "gpurent.infra.redact",
    "gpurent.infra.vault",
    "gpurent.workflow.runtime.questions",
    "gpurent.workflow.trips.operations",
    "logging",
    "platformdirs",
    "secrets",
    "socket",
    "subprocess",
    "tomllib",
}
MODULES_SCRIPT = """
import sys
from gpurent.cli.main import main
try:
    main({arguments!r})
except SystemExit as stop:
    code = stop.code
loaded = sorted(sys.modules)
import json
print(json.dumps([code, loaded]), file=sys.stderr)
"""


def list_loaded_modules(*arguments: str, **environment: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES_SCRIPT.format(arguments=list(arguments))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    assert code in (0, None)
    return set(loaded)


def filter_modules(loaded: set[str], *packages: str) -> set[str]:
    """Return the loaded modules of ``packages``."""
    return {name for name in loaded for package in packages if name.startswith(f"{package}.")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The state of a user with one running lease."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    now = datetime.now(UTC)
    store = SqliteStore(folder / "journal.sqlite", lambda: now)
    tariff = Metered(price=UnitPrice(Decimal(3), CNY))
    offer = Offer(provider="mistgpu", key="1", hardware=Hardware(gpu="2080Ti", gpus=1), tariff=tariff)
    lease = Lease(id="mistgpu-00001", provider="mistgpu", offer=offer, state=LeaseState.READY)
    endpoint = Endpoint("root", "127.0.0.1", 9)
    asyncio.run(store.save_lease(evolve(lease, endpoint=endpoint, started_at=now - timedelta(hours=1))))
    store.close()
    return folder


@pytest.mark.parametrize(
    "arguments", [("--help",), ("plugin", "list"), ("--lang", "zh", "--help"), ("providers",)]
)
def test_startup_loads_no_heavy_module(arguments: tuple[str, ...]) -> None:
    assert not list_loaded_modules(*arguments) & HEAVY_MODULES


def test_help_imports_no_command_module() -> None:
    loaded = list_loaded_modules("--help")
    assert not filter_modules(loaded, "gpurent.cli.commands")
    assert not [
        name for name in filter_modules(loaded, *PLUGINS) if not name.endswith((".plugin", ".messages"))
    ]


def test_help_loads_no_more_of_core_than_the_entries_are_made_of() -> None:
    loaded = list_loaded_modules("--help")
    assert not loaded & UNUSED_MODULES
    assert not filter_modules(loaded, "gpurent.ports", "gpurent.remote", "gpurent.workflow")
    assert filter_modules(loaded, "gpurent.infra") <= filter_modules(loaded, "gpurent.infra.registry") | {
        "gpurent.infra",
        "gpurent.infra.registry",
    }
    assert filter_modules(loaded, "gpurent.roles") == {"gpurent.roles.entries", "gpurent.roles.hookspecs"}
    assert filter_modules(loaded, "gpurent.domain") == {
        "gpurent.domain.access",
        "gpurent.domain.provider_names",
        "gpurent.domain.retention",
        "gpurent.domain.setting_checks",
        "gpurent.domain.ssh_names",
    }


@pytest.mark.parametrize("more", [(), ("--all",), ("--json",)])
def test_listings_load_no_action_modules(home: Path, more: tuple[str, ...]) -> None:
    loaded = list_loaded_modules("ls", *more, GPURENT_HOME=str(home))
    assert "sqlite3" in loaded
    assert not loaded & (HEAVY_MODULES - {"sqlite3"} | ACTION_MODULES)


SOCKETS_SCRIPT = """
import sys
asked = []
WATCHED = ("socket.__new__", "socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, given: asked.append(event) if event in WATCHED else None)
from gpurent.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(asked, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("--help",), ("ls",), ("ls", "--json")])
def test_no_socket_is_opened(arguments: tuple[str, ...], home: Path) -> None:
    """`ls` shows what is in the journal; only --refresh contacts the providers."""
    environment = {**os.environ, "GPURENT_HOME": str(home), "GPURENT_MISTGPU_URL": "http://127.0.0.1:9"}
    code = SOCKETS_SCRIPT.format(arguments=list(arguments))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr.splitlines()[-1] == "[]"
    assert arguments == ("--help",) or "mistgpu-00001" in done.stdout
