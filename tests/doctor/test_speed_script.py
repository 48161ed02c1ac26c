"""The script of ``doctor --perf`` in the real sh, with stand-ins of PyTorch and nvidia-smi, and without them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpurent.domain.health import Finding, Verdict
from gpurent.remote.doctor.health_report import ExpectedMachine
from gpurent.remote.doctor.speed_findings import assess_performance
from gpurent.remote.doctor.speed_script import parse_performance_output, performance_command
from tests.doctor import fake_programs

# As far as the program uses it: copies take no time, and so are very fast.
TORCH = """
import time
uint8 = float16 = None
class Tensor:
    def pin_memory(self): return self
    def copy_(self, other, non_blocking=False): time.sleep(0.01)
    def __getitem__(self, part): return self
    def __matmul__(self, other): time.sleep(0.001)
def empty(*given, **options): return Tensor()
def empty_like(other): return Tensor()
def randn(*given, **options): return Tensor()
class cuda:
    device_count = staticmethod(lambda: COUNT)
    synchronize = staticmethod(lambda device: None)
    class get_device_properties:
        def __init__(self, device): self.total_memory = 80_000_000_000
"""


def run_script(home: Path, *, gpu: str = "", **limits: int) -> dict[str, Finding]:
    """Measure this computer as the machine, with ``home`` as its home and ``home``/bin first in its PATH."""
    line = performance_command(
        ("no-such-python", "python3"), data=str(home / "lib"), load_seconds=1, **{"write_mib": 1, **limits}
    )
    done = subprocess.run(
        ["sh", "-c", line],
        env={
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "PYTHONPATH": str(home / "lib"),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    assert {path.name for path in home.iterdir()} <= {"bin", "lib"}, "nothing is left behind"
    assert not list((home / "lib").glob(".gpurent*"))
    sections = parse_performance_output(done.stdout)
    assert "end" in sections
    return {one.check: one for one in assess_performance(sections, ExpectedMachine(gpu=gpu, gpus=1))}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("bin", "lib"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_it_is_measured_under_load(home: Path) -> None:
    fake_programs.write_nvidia_smi(home / "bin", "4090-560")
    (home / "lib" / "torch.py").write_text(f"COUNT = 2\n{TORCH}")
    found = run_script(home, gpu="4090")
    assert found["clocks"].cause == "gpu-throttled", "the reading of the moment of full load"
    assert found["power"].verdict is Verdict.OK
    assert "GB/s" in found["gpu-bandwidth"].text
    assert "GB/s" in found["pcie"].text
    assert "writes" in found["disk-throughput"].text


def test_without_pytorch_the_rest_is_measured(home: Path) -> None:
    fake_programs.write_nvidia_smi(home / "bin", "3090-545")
    found = run_script(home, gpu="3090")
    assert found["power"].cause == "power-capped"
    assert found["clocks"].verdict is found["gpu-bandwidth"].verdict is Verdict.UNCHECKED
    assert "no Python with PyTorch" in found["clocks"].text


def test_without_a_gpu_only_the_disk_is_measured(home: Path) -> None:
    (home / "lib" / "torch.py").write_text(f"COUNT = 0\n{TORCH}")
    found = run_script(home)
    assert found["gpu-bandwidth"].text == "PyTorch sees no GPU"
    assert found["power"].verdict is found["pcie"].verdict is Verdict.UNCHECKED
    assert found["disk-throughput"].verdict is not Verdict.UNCHECKED


def test_a_driver_that_hangs_under_load_is_not_waited_for(home: Path) -> None:
    fake_programs.write_nvidia_smi(home / "bin", hangs=True)
    (home / "lib" / "torch.py").write_text(f"COUNT = 1\n{TORCH}")
    found = run_script(home, speed_timeout=12, tool_timeout=6)
    assert found["clocks"].verdict is Verdict.UNCHECKED
    assert "GB/s" in found["gpu-bandwidth"].text, "what came before it counts"


def test_a_disk_without_room_is_not_filled(home: Path) -> None:
    found = run_script(home, write_mib=1 << 40)
    assert found["disk-throughput"].verdict is Verdict.UNCHECKED
