"""The script itself, in the real sh: whatever is missing, it runs to its end and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpurent.domain.health import HealthReport, Verdict
from gpurent.remote.doctor.health_report import ExpectedMachine, make_health_report
from gpurent.remote.doctor.script import (
    Measurements,
    doctor_command,
    parse_doctor_output,
    read_convolution_program,
)
from tests.doctor import fake_programs
from tests.doctor.recorded_answers import find_finding

SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


def run_script(
    home: Path,
    *,
    seen: str = "",
    pythons: tuple[str, ...] = ("python3",),
    tool: int = 10,
    long: int = 60,
    shell: str = "sh",
) -> tuple[HealthReport, str]:
    """Examine this computer as the machine, with ``home`` as its home and ``home``/bin first in its PATH."""
    line = doctor_command(pythons, write_mib=1, tool_timeout=tool, convolution_timeout=long)
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", line],
        input=read_convolution_program(),
        env={"PATH": path, "HOME": seen or str(home), "PYTHONPATH": str(home / "lib")},
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    health = make_health_report(
        datetime.now(UTC), parse_doctor_output(done.stdout), Measurements(), ExpectedMachine(gpus=1)
    )
    assert {path.name for path in home.iterdir()} <= {"bin", "lib"}, "nothing is left behind"
    return health, done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    return tmp_path


def wait_until_gone(pid: int) -> bool:
    """Return whether the process ends; on a busy computer a killed one may take a while."""
    for _attempt in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("shell", SHELLS)
def test_script_completes_under_every_shell(home: Path, shell: str) -> None:
    fake_programs.write_nvidia_smi(home / "bin", "h100-550")
    health, out = run_script(home, shell=shell)
    assert "end" in parse_doctor_output(out)
    assert health.gpus[0].name == "NVIDIA H100 80GB HBM3"
    assert health.driver == "550.54.15"
    assert find_finding(health, "disk-speed").verdict in (Verdict.OK, Verdict.WARNING)
    assert find_finding(health, "python").verdict is Verdict.OK


def test_hanging_driver_does_not_block_the_examination(home: Path) -> None:
    fake_programs.write_nvidia_smi(home / "bin", hangs=True)
    health, _out = run_script(home, tool=1)
    assert find_finding(health, "driver").cause == "driver-hangs"
    assert find_finding(health, "disk").verdict is not Verdict.FAILURE, "the rest was looked at"


def test_o5_output_of_the_real_program_reaches_the_verdict(home: Path) -> None:
    """The remote program really runs; only the framework is a fake that fails as in the wiki's case."""
    fake_programs.write_nvidia_smi(home / "bin", "1080ti-440")
    fake_programs.write_torch(
        home, "Loaded runtime CuDNN library: 7.1.2 but source was compiled with: 7.4.1.  CuDNN library"
    )
    health, _out = run_script(home)
    found = find_finding(health, "cudnn")
    assert (found.verdict, found.cause) == (Verdict.FAILURE, "cudnn-mismatch")
    assert "7.1.2" in found.text
    assert "7.4.1" in found.text
    assert health.cudnn == "7.1.2"


def test_a_framework_that_kills_its_process(home: Path) -> None:
    (home / "lib").mkdir()
    (home / "lib" / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    assert find_finding(run_script(home)[0], "framework").cause == "processor-old"


def test_a_framework_that_never_loads_is_ended_with_its_children(home: Path) -> None:
    (home / "lib").mkdir()
    text = "import subprocess, pathlib, os\np = subprocess.Popen(['sleep', '300'])\n"
    text += "pathlib.Path(os.environ['HOME'], 'lib', 'pid').write_text(str(p.pid))\np.wait()\n"
    (home / "lib" / "torch.py").write_text(text)
    health, _out = run_script(home, long=3)
    assert find_finding(health, "cudnn").cause == "slow-load"
    child = int((home / "lib" / "pid").read_text())
    assert wait_until_gone(child), "killed with its parent"


def test_the_first_python_that_has_a_framework_is_taken(home: Path) -> None:
    (home / "lib").mkdir()
    bare = home / "bin" / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "$@"\n')
    bare.chmod(0o755)
    names = (str(bare), "no-such-python", "python3")
    _health, out = run_script(home, pythons=names)
    asked = [name for name in parse_doctor_output(out) if name.startswith("which ")]
    assert asked[0] == f"which {bare}"
    assert not any("no-such-python" in name for name in asked)


def test_an_unwritable_home(home: Path) -> None:
    health, _out = run_script(home, seen="/proc")
    assert find_finding(health, "disk").cause == "disk-unwritable"


@pytest.mark.parametrize("module", ["torch", "tensorflow"])
def test_a_real_convolution_on_the_processor(home: Path, module: str) -> None:
    """The remote program with the real framework: forward, backward, and its real messages."""
    pytest.importorskip(
        module, reason=f"{module} is not installed here: make test-torch brings PyTorch", exc_type=ImportError
    )
    health, out = run_script(home, pythons=(sys.executable,))
    trial = parse_doctor_output(out)[f"convolution {sys.executable}"]
    assert trial.exit_status == 0, trial.stderr
    assert '"stage": "cpu"' in trial.stdout
    assert '"stage": "end"' in trial.stdout
    assert health.framework.startswith(f"{module} ")
