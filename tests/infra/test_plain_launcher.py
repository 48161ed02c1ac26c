"""The contract of a launcher, for the built-in one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpurent.domain.access import MachineProfile
from gpurent.infra.registry.plain_launcher import PlainLauncher
from gpurent.roles.machine import Launcher
from gpurent.testing.contracts import LauncherContract


class TestPlainLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self) -> Launcher:
        return PlainLauncher()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("train me.py", "train me.py"),
        ("a;b.py", "a;b.py"),
        ("train.py", "{python} train.py"),
        ("x.py", "cd . && {python} x.py"),
    ],
)
def test_one_argument_is_a_file_that_is_there_or_a_line_of_the_shell(
    tmp_path: Path, name: str, line: str
) -> None:
    (tmp_path / name).write_text("print('it runs')")
    profile = MachineProfile(user="me", python=sys.executable)
    command = PlainLauncher().launch_command((line.format(python=sys.executable),), profile)
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("it runs\n", "")
