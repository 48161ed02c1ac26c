"""The door of the command line: quick, and shut to heavy modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("asyncssh", "ssl", "asyncio", "rich", "httpx2", "cryptography", "sqlite3")
PROBE = """
import json, sys
from gpurent.cli.main import main
try:
    main({arguments!r})
except SystemExit as stop:
    code = stop.code
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


def modules(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=list(arguments))],
        capture_output=True,
        text=True,
        check=True,
    )
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    assert code in (0, None)
    return set(loaded)


@pytest.mark.parametrize("arguments", [("--help",), ("plugins",), ("--lang", "zh", "--help"), ("providers",)])
def test_nothing_heavy_at_the_door(arguments: tuple[str, ...]) -> None:
    loaded = modules(*arguments)
    assert not loaded & set(HEAVY)


def test_help_imports_no_command_module() -> None:
    assert not [name for name in modules("--help") if name.startswith("gpurent.cli.commands.")]
    assert not [
        name for name in modules("--help") if name.startswith("gpurent_plugin_") and name.count(".") > 1
    ]


SOCKETS = """
import sys
asked = []
WATCHED = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, given: asked.append(event) if event in WATCHED else None)
from gpurent.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(asked, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("--help",), ("ls",), ("ls", "--json")])
def test_no_socket_is_opened(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """What `ls` shows comes from the journal; only --refresh goes to the providers."""
    (tmp_path / "state").mkdir(mode=0o700)
    environment = {
        **os.environ,
        "GPURENT_HOME": str(tmp_path / "state"),
        "GPURENT_MISTGPU_URL": "http://127.0.0.1:9",
    }
    code = SOCKETS.format(arguments=list(arguments))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr.splitlines()[-1] == "[]"
