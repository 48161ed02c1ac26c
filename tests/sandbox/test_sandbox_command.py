"""``gpurent sandbox`` and ``gpurent demo`` as a user runs them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.testing.sandbox.machines import find_bwrap_problem

ROOT = Path(__file__).parents[2]


def run_gpurent(
    *arguments: str, timeout: float = 60, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpurent.cli.main", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )


def test_up_status_env_down(tmp_path: Path) -> None:
    root = str(tmp_path / "sandbox")
    result = run_gpurent(
        "sandbox", "up", "--root", root, "--speed", "60", "--machines", "3", "--driver", "embedded"
    )
    assert result.returncode == 0, result.stderr
    try:
        assert run_gpurent("sandbox", "up", "--root", root).returncode == 2, "one at a time"
        state = json.loads(run_gpurent("sandbox", "status", "--root", root, "--json").stdout)["data"]
        assert set(state["urls"]) == set(EntryPointRegistry.load().list_names("simulator"))
        assert {"mistgpu", "1024gpu", "dbc", "dbc-chain"} <= set(state["urls"])
        assert state["billed_machines"] == state["machines"] == []
        assert all(route["evidence"] for routes in state["routes"].values() for route in routes)
        assert "source" in run_gpurent("sandbox", "status", "--root", root).stdout
        lines = run_gpurent("sandbox", "env", "--root", root).stdout.splitlines()
        pairs = [shlex.split(line)[1].partition("=") for line in lines]
        environment = {name: value for name, _mark, value in pairs}
        offers = run_gpurent("offers", "-p", "mistgpu", "--json", environment=environment)
        assert json.loads(offers.stdout)["data"][0]["error"], "not logged in yet"
        before = state["now"]
        assert run_gpurent("sandbox", "advance", "86400", "--root", root).returncode == 0
        later = json.loads(run_gpurent("sandbox", "status", "--root", root, "--json").stdout)["data"]["now"]
        assert later[:10] > before[:10]
        pid = json.loads((tmp_path / "sandbox" / "sandbox.json").read_text())["pid"]
    finally:
        down = run_gpurent("sandbox", "down", "--root", root)
    assert down.returncode == 0, down.stderr
    assert not Path(f"/proc/{pid}").exists()
    assert run_gpurent("sandbox", "status", "--root", root).returncode == 2


@pytest.mark.slow
def test_demo_makes_both_trips_and_leaves_nothing(tmp_path: Path) -> None:
    # Root is given machines that are not isolated only if they are named.
    options = ("--driver", "embedded") if asyncio.run(find_bwrap_problem()) else ()
    result = run_gpurent("demo", *options, timeout=110, environment={"TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No machine is running any more." in result.stdout
    assert "✗" not in result.stdout
    assert result.stdout.count("✓") >= 12
    accuracies = re.findall(r"Accuracy reached: (0\.\d+)", result.stdout)
    assert len(accuracies) == 2
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.nightly
def test_demo_fails_when_the_job_does(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text("import sys\nsys.exit('no luck')\n")
    result = run_gpurent("demo", "--driver", "embedded", "--example", str(tmp_path / "project"), timeout=110)
    assert result.returncode != 0
    assert "No machine is running any more." not in result.stdout
