"""Rows R2 and O5 by the real command line over the sandbox's sockets."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.doctor import fake_programs
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

SAVED_MODELS = Path(__file__).parents[2] / "plugins" / "torch" / "tests" / "saved"
NO_TORCH = "PyTorch is not installed here: make test-torch brings it"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        async with made.open_application() as application:
            await application.account_commands.log_in(
                "mistgpu", {"username": "student", "password": "student-pass"}
            )
            await made.top_up_mistgpu(application, "20")
        yield made


async def rent_machine(sandbox: TripSandbox) -> str:
    result = await sandbox.run_command("-y", "rent", "-p", "mistgpu", "--json")
    assert result.code == 0, result.err
    return str(result.data["id"])


def get_programs_folder(sandbox: TripSandbox) -> Path:
    (machine,) = sandbox.cloud.driver.list_machines()
    return Path(machine.home).parent / "opt" / "bin"


@pytest.mark.nightly
async def test_r2_torchrun_is_only_taken_when_it_is_asked_for(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("print('alone')\nimport time; time.sleep(1)\n")
    result = await sandbox.run_command(
        "-y", "run", "-p", "mistgpu", "--folder", str(folder), "--", "train.py"
    )
    assert result.out.split("\n")[0] == "alone"


@pytest.mark.nightly
async def test_r2_torchrun_is_one_process_where_no_gpu_is_found(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    result = await sandbox.run_command("torch-helper", str(folder))
    assert result.code == 0, result.err
    (folder / "train.py").write_text(
        "import sys, gpurent_torch\nprint('world', gpurent_torch.world_size(), sys.argv[1:])\n"
        "import time; time.sleep(1)\n"
    )
    result = await sandbox.run_command(
        "-y",
        "run",
        "-p",
        "mistgpu",
        "--launcher",
        "torchrun",
        "--folder",
        str(folder),
        "--",
        "train.py",
        "a b",
    )
    assert result.code == 0, result.err
    assert "world 1 ['a b']" in result.out
    assert "one process" in result.out, "the job's log says how it was started"
    wrong = await sandbox.run_command(
        "-y", "run", "-p", "mistgpu", "--launcher", "torchrun", "--folder", str(folder), "--", "make"
    )
    assert wrong.code == 2
    assert "torchrun only starts Python files" in wrong.err
    assert sandbox.cloud.driver.list_machines() == []


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason=NO_TORCH)
async def test_r2_weights_are_unwrapped_on_the_machine(sandbox: TripSandbox) -> None:
    lease = await rent_machine(sandbox)
    python = get_programs_folder(sandbox) / "python3"
    standin_text = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    python.write_text(standin_text)
    python.chmod(0o755)
    assert (await sandbox.run_command("push", lease, str(SAVED_MODELS / "nested.pt"))).code == 0
    checkpoint = (
        await sandbox.run_command("checkpoint", "show", "nested.pt", "--lease", lease, "--json")
    ).data
    assert checkpoint["prefix"] == "module."
    made = await sandbox.run_command("checkpoint", "unwrap", "nested.pt", "-o", "bare.pt", "--lease", lease)
    assert made.code == 0, made.err
    assert "7 tensors in bare.pt" in made.out
    assert (await sandbox.run_command("pull", lease, "bare.pt")).code == 0
    local = (await sandbox.run_command("checkpoint", "show", "bare.pt", "--json")).data
    assert local["prefix"] == ""
    again = await sandbox.run_command("checkpoint", "unwrap", "bare.pt", "--lease", lease)
    assert again.code == 7
    assert "no name has a prefix" in again.err
    # The doctor, with the real framework: a convolution on the machine's CPU.
    result = await sandbox.run_command("doctor", lease, "--json")
    assert result.data["framework"].startswith("torch 2.")
    assert (await sandbox.run_command("release", lease)).code == 0


async def test_r2_weights_that_the_machine_cannot_read_are_reported(sandbox: TripSandbox) -> None:
    """With or without PyTorch there: the machine's own message is shown."""
    lease = await rent_machine(sandbox)
    result = await sandbox.run_command("checkpoint", "show", "missing.pt", "--lease", lease)
    assert result.code == 7
    assert "failed on the machine: " in result.err
    assert (await sandbox.run_command("release", lease)).code == 0


@pytest.mark.nightly
async def test_o5_a_machine_whose_cudnn_does_not_fit_is_released(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    """The error text of the wiki's case, from the remote program that really runs; only the framework is a fake."""
    lease = await rent_machine(sandbox)
    fake_programs.write_nvidia_smi(get_programs_folder(sandbox), "1080ti-440")
    (machine,) = sandbox.cloud.driver.list_machines()
    home = Path(machine.home)
    fake_programs.write_torch(
        home, "Loaded runtime CuDNN library: 7.1.2 but source was compiled with: 7.4.1."
    )
    python = get_programs_folder(sandbox) / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{home}/lib" exec /usr/bin/env -S "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    result = await sandbox.run_command("doctor", lease)
    assert result.code == 7
    assert "cuDNN 7.1.2 is loaded, but the framework was built with 7.4.1" in result.out
    assert "Make the versions match" in result.out
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("print('never')\n")
    result = await sandbox.run_command(
        "-y",
        "run",
        "--lease",
        lease,
        "--doctor",
        "require",
        "--on-error",
        "release",
        "--folder",
        str(folder),
        "train.py",
    )
    assert result.code == 7
    assert "7.1.2" in result.err
    assert "machine was released" in result.err
    assert "never" not in result.out
    assert sandbox.cloud.driver.list_machines() == []
