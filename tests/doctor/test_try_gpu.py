"""`scripts/try_gpu.sh` without a GPU: it says what is missing, and reads what a stand-in of nvidia-smi replays."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.doctor.recorded_answers import ANSWERS

SCRIPT = ROOT / "scripts" / "try_gpu.sh"
HAS_TORCH = find_spec("torch") is not None
without_torch = pytest.mark.skipif(HAS_TORCH, reason="PyTorch is installed here")


def try_gpu(root: Path, **variables: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Run the script, with ``root``/bin first in its PATH; return its exit code and the rows of its table."""
    (root / "bin").mkdir(exist_ok=True)
    environment = {"PATH": f"{root / 'bin'}:{os.environ['PATH']}", "HOME": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["sh", SCRIPT, root / "logs"],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    head, *lines, end = done.stdout.splitlines()
    assert head.split() == ["part", "result", "s", "details"], done
    assert end.endswith(f"logs: {root / 'logs'}")
    rows = {line[:14].strip(): (line[15:23].strip(), line[31:]) for line in lines}
    assert list(rows) == ["driver", "pytorch", "doctor", "doctor --perf", "checkpoint", "torchrun"]
    return done.returncode, rows


def write_replaying_smi(root: Path, machine: str, *gpus: str) -> None:
    """Write an nvidia-smi that replays the forms of ``machine``, and lists ``gpus``."""
    (root / "bin").mkdir()
    path, name = root / "bin" / "nvidia-smi", ANSWERS / machine
    listing = "\n".join(gpus)
    path.write_text(
        "#!/bin/sh\n# A stand-in, not NVIDIA's.\n"
        f"case $1 in -q) exec cat '{name}.xml' ;; '') exec cat '{name}.txt' ;; --query-gpu*) echo '{listing}' ;;\n"
        f"*) exec cat '{name}.csv' ;; esac\n"
    )
    path.chmod(0o755)


@without_torch
def test_it_says_what_is_missing(tmp_path: Path) -> None:
    code, rows = try_gpu(tmp_path)
    assert code == 3
    assert rows["driver"] == ("missing", "no nvidia-smi: this computer has no NVIDIA driver")
    assert rows["pytorch"] == ("missing", "no Python with PyTorch was found; PYTHON= names one")
    assert rows["doctor"][0] == "ok"
    assert rows["checkpoint"] == rows["torchrun"] == ("missing", "needs PyTorch")


@without_torch
def test_a_recorded_driver_is_read(tmp_path: Path) -> None:
    write_replaying_smi(tmp_path, "4090-560", "560.35.03, NVIDIA GeForce RTX 4090, 24564 MiB")
    code, rows = try_gpu(tmp_path)
    assert code == 3, "without PyTorch not everything was tried"
    assert rows["driver"] == ("ok", "560.35.03, NVIDIA GeForce RTX 4090, 24564 MiB")
    assert rows["doctor"][0] == "ok"
    assert "busy: 21047 of 24564 MiB in use" in rows["doctor"][1]
    assert "NVIDIA GeForce RTX 4090, 24.0 GiB" in (tmp_path / "logs" / "doctor.log").read_text()
    assert "450 W of 450 W" in (tmp_path / "logs" / "perf.log").read_text()


@without_torch
@pytest.mark.nightly
def test_a_lost_gpu_is_a_failure(tmp_path: Path) -> None:
    listed = "580.95.05, NVIDIA H100 80GB HBM3, 81559 MiB"
    write_replaying_smi(tmp_path, "h100x2-580", listed, listed)
    code, rows = try_gpu(tmp_path)
    assert code == 1
    assert rows["doctor"][0] == "failed"
    assert "the driver has lost a GPU" in rows["doctor"][1]


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed here: make test-torch brings it")
def test_checkpoints_and_processes_on_the_cpu(tmp_path: Path) -> None:
    """With a number of processes, what needs PyTorch is tried without a GPU too."""
    code, rows = try_gpu(tmp_path, GPURENT_NPROC="2")
    assert code == 3
    assert rows["pytorch"][0] == "ok"
    assert rows["checkpoint"][0] == "ok", rows
    assert rows["torchrun"][0] == "ok", rows
    assert rows["torchrun"][1].startswith("2 processes, DistributedDataParallel, gloo, cpu")
