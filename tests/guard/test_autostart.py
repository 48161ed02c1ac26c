"""The autostart of the guard: compared with golden files, and read by the systems' own tools."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gpurent.infra.platform.posix import autostart
from gpurent.infra.platform.posix.autostart import AutostartProgram
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command

GOLDEN = Path(__file__).parent / "golden"
PLAIN_START = AutostartProgram(
    program=("/opt/gpurent/bin/python", "-I", "-m", "gpurent", "--no-input", "watch"),
    environment={"GPURENT_HOME": "/home/ada/.local/share/gpurent", "LANG": "zh_CN.UTF-8"},
    log=Path("/home/ada/.local/share/gpurent/watch.log"),
)
ODD_START = AutostartProgram(
    program=("/opt/my tools/100%/py$thon", "-m", 'a"b\\c'),
    environment={"GPURENT_HOME": "/home/ada b/$x %h"},
    log=Path("/home/ada b/watch%.log"),
)


def render_files(start: AutostartProgram) -> Mapping[str, str]:
    found = {f"timer-{name}": text for name, text in autostart.make_systemd_timer(start).items()}
    return {
        **autostart.make_systemd_service(start),
        **found,
        **autostart.make_launchd_agent(start),
        "crontab": autostart.make_cron_line(start),
    }


@pytest.mark.parametrize("name", sorted(render_files(PLAIN_START)))
def test_golden(name: str) -> None:
    written = render_files(PLAIN_START)[name]
    golden = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(written)
    assert written == golden.read_text()


def test_every_golden_file_is_made() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(render_files(PLAIN_START))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("make", [autostart.make_systemd_service, autostart.make_systemd_timer])
def test_systemd_takes_the_units(make: object, tmp_path: Path) -> None:
    program = AutostartProgram(
        program=(sys.executable, "-m", "gpurent", "watch"),
        environment=PLAIN_START.environment,
        log=PLAIN_START.log,
    )
    paths = []
    for name, text in make(program).items():  # type: ignore[operator]
        (tmp_path / name).write_text(text)
        paths.append(str(tmp_path / name))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--user", *paths],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    about = [line for line in ran.stderr.splitlines() if autostart.SYSTEMD_UNIT in line]
    assert about == []


def test_odd_words_stay_words() -> None:
    unit = autostart.make_systemd_service(ODD_START)[f"{autostart.SYSTEMD_UNIT}.service"]
    assert 'ExecStart="/opt/my tools/100%%/py$$thon" -m "a\\"b\\\\c"' in unit
    assert 'Environment="GPURENT_HOME=/home/ada b/$x %%h"' in unit
    line = autostart.make_cron_line(ODD_START)
    assert line.count("%") == line.count("\\%")
    command = line.removeprefix("*/5 * * * * cd / && ").replace("\\%", "%").partition(" >>")[0]
    completed = subprocess.run(
        ["/bin/sh", "-c", command.replace("'/opt/my tools/100%/py$thon'", "printf '%s|'")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout == '-m|a"b\\c|--once|'
    agent = plistlib.loads(
        autostart.make_launchd_agent(ODD_START)[f"{autostart.LAUNCHD_LABEL}.plist"].encode()
    )
    assert agent["ProgramArguments"] == list(ODD_START.program)


def test_no_secret_goes_into_them() -> None:
    environment = {
        "GPURENT_HOME": "/h",
        "GPURENT_PASSPHRASE": "canary",
        "GPURENT_MISTGPU_PASSWORD": "canary",
        "LANG": "",
    }
    assert autostart.select_environment(environment) == {"GPURENT_HOME": "/h"}


def test_a_crontab_has_the_line_once_and_loses_it_again() -> None:
    table = "0 1 * * * backup\n"
    line = autostart.make_cron_line(PLAIN_START)
    once = autostart.replace_cron_line(autostart.replace_cron_line(table, line), line)
    assert once == table + line
    assert autostart.replace_cron_line(once, "") == table


def run_watch(tmp_path: Path, *arguments: str) -> CommandLineResult:
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "GPURENT_HOME": str(tmp_path / "state"),
        "GPURENT_PASSPHRASE": "canary",
        "LANG": "C.UTF-8",
    }
    return run_command("watch", *arguments, environment=environment, folder=tmp_path)


def test_install_writes_and_uninstall_removes(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "systemd" / "user"
    result = run_watch(tmp_path, "install", "--as", "systemd", "--print")
    assert result.code == 0, result.err
    assert not folder.exists()
    done = run_watch(tmp_path, "install", "--as", "systemd")
    assert "loginctl enable-linger" in done.out
    assert "GPURENT_PASSPHRASE" in done.out
    text = (folder / "gpurent-watch.service").read_text()
    assert text in result.out
    assert "canary" not in text + result.out
    gone = run_watch(tmp_path, "uninstall", "--as", "systemd")
    assert "Removed" in gone.out
    assert list(folder.iterdir()) == []


def test_cron_is_changed_by_its_own_tool(tmp_path: Path) -> None:
    """Uses a fake crontab that keeps its table in a file."""
    tool = tmp_path / "bin" / "crontab"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nif [ "$1" = -l ]; then cat "$HOME/table"; else cat > "$HOME/table"; fi\n')
    tool.chmod(0o755)
    (tmp_path / "table").write_text("0 1 * * * backup\n")
    assert run_watch(tmp_path, "install", "--as", "cron").code == 0
    assert (tmp_path / "table").read_text().count("gpurent watch") == 1
    assert run_watch(tmp_path, "uninstall", "--as", "cron").code == 0
    assert (tmp_path / "table").read_text() == "0 1 * * * backup\n"
