"""How ``--launcher torchrun`` rewrites a command; a fake interpreter prints its arguments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gpurent.api import MachineProfile, UsageError
from gpurent_plugin_torch.launcher import TorchrunLauncher

PROFILE = MachineProfile(user="root")
DISTRIBUTED = "from gpurent_torch import parallelize\nnet = parallelize(Net())\n"
PARALLEL = "net = nn.DataParallel(net)\n"


def run_launcher(tmp_path: Path, command: tuple[str, ...], found: str, script: str = "") -> list[str]:
    """Return the interpreter's final arguments. ``found``: what PyTorch on the machine reports."""
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && {{ echo "{found}"; exit; }}\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "train.py").write_text(script)
    line = TorchrunLauncher().launch_command(command, PROFILE)
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.startswith("gpurent: ")
    return done.stdout.splitlines()


TORCHRUN_ARGUMENTS = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=4"]


@pytest.mark.parametrize(
    "command",
    [
        ("train.py", "--lr", "a b"),
        ("python3", "train.py", "--lr", "a b"),
        ("python3", "-u", "train.py", "--lr", "a b"),
        ("python3 train.py --lr 'a b'",),
    ],
)
def test_r2_one_process_for_every_gpu(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert run_launcher(tmp_path, command, "run 4", DISTRIBUTED) == [
        *TORCHRUN_ARGUMENTS,
        "train.py",
        "--lr",
        "a b",
    ]


def test_r2_one_or_no_gpu_is_one_process(tmp_path: Path) -> None:
    assert run_launcher(tmp_path, ("train.py",), "plain", DISTRIBUTED) == ["train.py"]
    assert run_launcher(tmp_path, ("train.py",), "", DISTRIBUTED) == ["train.py"], "no PyTorch there"


def test_r2_pytorch_before_torchrun(tmp_path: Path) -> None:
    found = run_launcher(tmp_path, ("train.py", "-x"), "launch 2", DISTRIBUTED)
    assert found == ["-m", "torch.distributed.launch", "--use_env", "--nproc_per_node=2", "train.py", "-x"]


def test_r2_data_parallel_is_left_as_it_is(tmp_path: Path) -> None:
    assert run_launcher(tmp_path, ("train.py", "-x"), "run 4", PARALLEL) == ["train.py", "-x"]
    both = PARALLEL + "# or DistributedDataParallel\n"
    assert run_launcher(tmp_path, ("train.py",), "run 4", both) == [*TORCHRUN_ARGUMENTS, "train.py"]


def test_a_module(tmp_path: Path) -> None:
    assert run_launcher(tmp_path, ("python3", "-m", "pkg.train", "1"), "run 4") == [
        *TORCHRUN_ARGUMENTS,
        "-m",
        "pkg.train",
        "1",
    ]


def test_the_named_python_is_kept() -> None:
    assert "/opt/conda/bin/python train.py" in TorchrunLauncher().launch_command(
        ("/opt/conda/bin/python", "train.py"), PROFILE
    )
    assert "python3 train.py" in TorchrunLauncher().launch_command(("train.py",), PROFILE)


@pytest.mark.parametrize(
    "command",
    [
        ("make", "train"),
        ("cd x && python train.py",),
        ("python",),
        ("python", "-c", "1"),
        ("python", "-m"),
        ("./train",),
    ],
)
def test_unsupported_commands_are_reported(command: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="torchrun only starts"):
        TorchrunLauncher().launch_command(command, PROFILE)


def test_an_odd_name_stays_one_word() -> None:
    assert "';rm -rf x.py'" in TorchrunLauncher().launch_command((";rm -rf x.py", "a"), PROFILE)
