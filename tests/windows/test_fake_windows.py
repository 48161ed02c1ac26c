"""gpurent as on Windows, without one: its modules see neither POSIX functions nor POSIX permissions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.testing.shared_sandbox import shared_sandbox
from tests.command_line import ROOT
from tests.windows.journey import STEPS, Journey
from tests.windows.users import make_fake_user, make_fake_windows

CONTRACT = ROOT / "tests" / "platforms"
CONTRACT_FLAGS = (
    *("-q", "-c", "/dev/null", "--noconftest", "-p", "no:cacheprovider", "--import-mode=importlib"),
    *("-W", "ignore", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fake_windows(tmp_path_factory.mktemp("windows") / "venv")


def test_the_platform_keeps_its_contract(python: Path, tmp_path: Path) -> None:
    command = [str(python), "-m", "pytest", *CONTRACT_FLAGS, "--rootdir", str(CONTRACT)]
    place = ["--basetemp", str(tmp_path / "t"), str(CONTRACT / "test_platform.py")]
    ran = subprocess.run([*command, *place], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


@pytest.fixture(scope="module")
def journey(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("fake-windows")
    with shared_sandbox(folder / "sandbox", speed=300) as sandbox:
        user = make_fake_user(python, sandbox.user(folder / "home"), folder / "work")
        yield Journey(sandbox, user, is_short=True)


@pytest.mark.parametrize("step", STEPS)
def test_journey(journey: Journey, step: str) -> None:
    journey.take_step(step)
