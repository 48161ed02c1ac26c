"""Contract tests for `gpurent.roles.machine.Launcher`, in a real shell: what arrives is what was given.

A plugin's test is a subclass with its launcher::

    class TestNice(LauncherContract):
        @pytest.fixture
        def launcher(self) -> Launcher:
            return NiceLauncher()
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from abc import abstractmethod
from pathlib import Path

import pytest

from gpurent.domain.access import MachineProfile
from gpurent.errors import GpurentError, UsageError
from gpurent.roles.machine import Launcher
from gpurent.testing.contracts.contract import Contract

ODD_ARGUMENTS = (
    "",
    "a b",
    "--lr=0.1",
    "it's",
    'say "hi"',
    "$HOME",
    "`id`",
    "$(id)",
    "a;b|c&d>e<f",
    "*",
    "~",
    "\\",
    "line\nbreak",
    "模型",
    "#x",
    "!x",
    "-",
    "{a,b}",
)
_SCRIPT = """
import json, os, sys
json.dump({"arguments": sys.argv[1:], "folder": os.getcwd(), "name": sys.argv[0]}, open(os.environ["REPORT"], "w"))
sys.stdout.write("to stdout\\n")
sys.stderr.write("to stderr\\n")
sys.exit(int(os.environ.get("CODE", "0")))
"""


class LauncherContract(Contract):
    """Contract tests for a launcher; ``program`` is the name of the script that it is given."""

    program = "train.py"

    @abstractmethod
    @pytest.fixture
    def launcher(self) -> Launcher:
        """Return the launcher."""

    @pytest.fixture
    def profile(self, tmp_path: Path) -> MachineProfile:
        """The profile of a machine whose Python is not in ``PATH``, and counts its calls."""
        python = tmp_path / "opt" / "own-python"
        python.parent.mkdir()
        calls = shlex.quote(str(tmp_path / "calls"))
        python.write_text(f'#!/bin/sh\necho call >>{calls}\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        return MachineProfile(user="me", python=str(python))

    def run_line(
        self, line: str, folder: Path, *, code: int = 0
    ) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
        """Run a command line as a session does, in ``sh``; return how it ended and what the script reported."""
        report = folder / "report.json"
        report.unlink(missing_ok=True)
        environment = {"PATH": "/usr/bin:/bin", "REPORT": str(report), "CODE": str(code), "HOME": "/"}
        done = subprocess.run(
            ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        return done, json.loads(report.read_text()) if report.exists() else {}

    def write_script(self, folder: Path, name: str = "") -> str:
        name = name or self.program
        (folder / name).write_text(_SCRIPT)
        return name

    def test_every_argument_arrives_unchanged(
        self, launcher: Launcher, profile: MachineProfile, tmp_path: Path
    ) -> None:
        name = self.write_script(tmp_path)
        line = launcher.launch_command((name, *ODD_ARGUMENTS), profile)
        done, report = self.run_line(line, tmp_path)
        assert report.get("arguments") == list(ODD_ARGUMENTS), done.stderr

    def test_the_machine_s_own_python_runs_it(
        self, launcher: Launcher, profile: MachineProfile, tmp_path: Path
    ) -> None:
        self.run_line(launcher.launch_command((self.write_script(tmp_path),), profile), tmp_path)
        assert (tmp_path / "calls").exists(), "another Python was used than the profile's"

    def test_an_odd_name_is_one_word(
        self, launcher: Launcher, profile: MachineProfile, tmp_path: Path
    ) -> None:
        name = self.write_script(tmp_path, "it's $HOME; my.py")
        done, report = self.run_line(launcher.launch_command((name, "1"), profile), tmp_path)
        assert report.get("arguments") == ["1"], done.stderr

    @pytest.mark.parametrize("code", [0, 1, 7])
    def test_the_exit_code_is_the_command_s(
        self, launcher: Launcher, profile: MachineProfile, tmp_path: Path, code: int
    ) -> None:
        line = launcher.launch_command((self.write_script(tmp_path),), profile)
        done, report = self.run_line(line, tmp_path, code=code)
        assert report, done.stderr
        assert done.returncode == code

    def test_output_and_folder_are_the_command_s(
        self, launcher: Launcher, profile: MachineProfile, tmp_path: Path
    ) -> None:
        done, report = self.run_line(
            launcher.launch_command((self.write_script(tmp_path),), profile), tmp_path
        )
        assert "to stdout\n" in done.stdout
        assert "to stderr\n" in done.stderr
        assert Path(str(report["folder"])).resolve() == tmp_path.resolve()

    def test_it_is_pure(
        self, launcher: Launcher, profile: MachineProfile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = sorted(tmp_path.rglob("*"))
        command = ("train.py", "--epochs", "3")
        assert launcher.launch_command(command, profile) == launcher.launch_command(command, profile)
        assert sorted(tmp_path.rglob("*")) == before
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("command", [("make", "train"), ("./run.sh",), ("python", "-c", "1"), ("a b",)])
    def test_what_it_cannot_start_is_said_beforehand(
        self, launcher: Launcher, profile: MachineProfile, command: tuple[str, ...]
    ) -> None:
        try:
            line = launcher.launch_command(command, profile)
        except GpurentError as error:
            assert isinstance(error, UsageError), f"{type(error).__name__} is no error of the command line"
            return
        assert line
        assert "\0" not in line
