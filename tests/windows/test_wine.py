"""gpurent by Windows' own Python under Wine, against a sandbox on the Linux side: ``make test-windows``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpurent.testing.shared_sandbox import shared_sandbox
from tests.command_line import ROOT
from tests.windows.journey import Journey
from tests.windows.test_fake_windows import CONTRACT, CONTRACT_FLAGS
from tests.windows.users import WineUser, make_wine_user

TOP = ROOT / ".windows"
pytestmark = [
    pytest.mark.wine,
    pytest.mark.skipif(shutil.which("wine") is None, reason="there is no Wine here"),
    pytest.mark.skipif(not (TOP / "prefix").is_dir(), reason="`make test-windows` gets Windows' Python"),
]


def test_the_platform_keeps_its_contract(record_property: Callable[[str, object], None]) -> None:
    flags = [flag.replace("/dev/null", r"Z:\dev\null") for flag in CONTRACT_FLAGS]
    # A copy on Wine's own drive: on Windows pytest lists every folder above, and others change /tmp meanwhile.
    folder = TOP / "prefix" / "drive_c" / "contract"
    folder.mkdir(exist_ok=True)
    shutil.copy(CONTRACT / "test_platform.py", folder)
    ran = subprocess.run(
        [
            "wine",
            str(TOP / "python" / "python.exe"),
            "-m",
            "pytest",
            *flags,
            "--rootdir",
            ".",
            "test_platform.py",
        ],
        cwd=folder,
        env={**os.environ, "WINEPREFIX": str(TOP / "prefix"), "WINEDEBUG": "-all"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = ran.stdout.strip().splitlines()[-1].strip("= ").partition(" in ")[0]
    record_property("contract of the platform", found)


def test_journey(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    with shared_sandbox(tmp_path / "sandbox", speed=60) as sandbox:
        user = make_wine_user(TOP, sandbox.user(tmp_path / "home"), tmp_path / "work", f"run{os.getpid()}")
        journey = Journey(sandbox, user, tasks=TOP / "prefix" / "drive_c" / "windows" / "system32" / "tasks")
        with running_desktop(user):
            journey.take_steps(record_property)
        shutil.rmtree(user.home, ignore_errors=True)


@contextmanager
def running_desktop(user: WineUser) -> Iterator[None]:
    """Keep Wine's services and its desktop running, which each command would start, and hand its pipes to."""
    nothing = subprocess.DEVNULL
    environment = dict(user.environment)
    subprocess.run(["wineserver", "-w"], env=environment, check=False)  # what the test before has left
    process = subprocess.Popen(
        ["wine", "explorer.exe", "/desktop"], env=environment, stdin=nothing, stdout=nothing, stderr=nothing
    )
    try:
        for _once_more in range(2):
            subprocess.run(
                ["wine", "cmd", "/c", "exit"],
                env=environment,
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
                check=True,
            )
        yield
    finally:
        subprocess.run(["wineserver", "-k"], env=environment, check=False)
        process.wait()
