"""gpurent as on Windows, without one: its modules see neither POSIX functions nor POSIX permissions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpurent.testing.shared_sandbox import shared_sandbox
from tests.command_line import ROOT
from tests.windows.journey import Journey
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


LOOK = """
from gpurent.infra.platform import system
print(system.open_page("https://pay.example/1?a=2", ["pay.example"]), system.open_page("https://x.example/", []))
"""


def test_pages_open_in_the_users_browser(python: Path, tmp_path: Path) -> None:
    """W8."""
    opened = tmp_path / "opened"
    environment = {"PATH": os.environ["PATH"], "FAKE_WINDOWS_OPENED": str(opened)}
    ran = subprocess.run([python, "-c", LOOK], env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "True False\n", ran.stderr
    assert opened.read_text() == "https://pay.example/1?a=2\n"


@pytest.mark.parametrize(("number", "word"), [("2052", "\u7528\u6cd5"), ("1033", "Usage")])
def test_the_language_is_that_of_windows(python: Path, tmp_path: Path, number: str, word: str) -> None:
    """W8: where no variable says it. 2052 is Chinese (China), 1033 English (United States)."""
    environment = {"PATH": os.environ["PATH"], "FAKE_WINDOWS_LANGUAGE": number, "HOME": str(tmp_path)}
    command = [str(python), "-m", "gpurent", "ls", "--help"]
    ran = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert word in ran.stdout.decode("utf-8")


@pytest.mark.parametrize("is_short", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_journey(python: Path, tmp_path: Path, is_short: bool) -> None:
    with shared_sandbox(tmp_path / "sandbox", speed=300) as sandbox:
        user = make_fake_user(python, sandbox.user(tmp_path / "home"), tmp_path / "work")
        Journey(sandbox, user, is_short=is_short).take_steps()
