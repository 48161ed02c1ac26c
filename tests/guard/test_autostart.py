"""What makes the system start the guard: compared with golden files, and read by the systems' own tools."""

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
from gpurent.infra.platform.posix.autostart import Start
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run

GOLDEN = Path(__file__).parent / "golden"
PLAIN = Start(
    program=("/opt/gpurent/bin/python", "-m", "gpurent", "--no-input", "watch"),
    environment={"GPURENT_HOME": "/home/ada/.local/share/gpurent", "LANG": "zh_CN.UTF-8"},
    log=Path("/home/ada/.local/share/gpurent/watch.log"),
)
ODD = Start(
    program=("/opt/my tools/100%/py$thon", "-m", 'a"b\\c'),
    environment={"GPURENT_HOME": "/home/ada b/$x %h"},
    log=Path("/home/ada b/watch%.log"),
)


def files(start: Start) -> Mapping[str, str]:
    found = {f"timer-{name}": text for name, text in autostart.systemd_timer(start).items()}
    return {
        **autostart.systemd(start),
        **found,
        **autostart.launchd(start),
        "crontab": autostart.cron(start),
    }


@pytest.mark.parametrize("name", sorted(files(PLAIN)))
def test_golden(name: str) -> None:
    written = files(PLAIN)[name]
    golden = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(written)
    assert written == golden.read_text()


def test_every_golden_file_is_made() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(files(PLAIN))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("make", [autostart.systemd, autostart.systemd_timer])
def test_systemd_takes_the_units(make: object, tmp_path: Path) -> None:
    program = Start(
        program=(sys.executable, "-m", "gpurent", "watch"),
        environment=PLAIN.environment,
        log=PLAIN.log,
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
    about = [line for line in ran.stderr.splitlines() if autostart.UNIT in line]
    assert about == []


def test_odd_words_stay_words() -> None:
    unit = autostart.systemd(ODD)[f"{autostart.UNIT}.service"]
    assert 'ExecStart="/opt/my tools/100%%/py$$thon" -m "a\\"b\\\\c"' in unit
    assert 'Environment="GPURENT_HOME=/home/ada b/$x %%h"' in unit
    line = autostart.cron(ODD)
    assert line.count("%") == line.count("\\%")
    command = line.removeprefix("*/5 * * * * ").replace("\\%", "%").partition(" >>")[0]
    shown = subprocess.run(
        ["/bin/sh", "-c", command.replace("'/opt/my tools/100%/py$thon'", "printf '%s|'")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == '-m|a"b\\c|--once|'
    agent = plistlib.loads(autostart.launchd(ODD)[f"{autostart.LABEL}.plist"].encode())
    assert agent["ProgramArguments"] == list(ODD.program)


def test_no_secret_goes_into_them() -> None:
    given = {
        "GPURENT_HOME": "/h",
        "GPURENT_PASSPHRASE": "canary",
        "GPURENT_MISTGPU_PASSWORD": "canary",
        "LANG": "",
    }
    assert autostart.kept(given) == {"GPURENT_HOME": "/h"}


def test_a_crontab_has_the_line_once_and_loses_it_again() -> None:
    table = "0 1 * * * backup\n"
    line = autostart.cron(PLAIN)
    once = autostart.with_line(autostart.with_line(table, line), line)
    assert once == table + line
    assert autostart.with_line(once, "") == table


def gpurent(tmp_path: Path, *arguments: str) -> CommandLineResult:
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "GPURENT_HOME": str(tmp_path / "state"),
        "GPURENT_PASSPHRASE": "canary",
        "LANG": "C.UTF-8",
    }
    return run("watch", *arguments, environment=environment, folder=tmp_path)


def test_install_writes_and_uninstall_removes(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "systemd" / "user"
    shown = gpurent(tmp_path, "install", "--as", "systemd", "--print")
    assert shown.code == 0, shown.err
    assert not folder.exists()
    done = gpurent(tmp_path, "install", "--as", "systemd")
    assert "loginctl enable-linger" in done.out
    assert "GPURENT_PASSPHRASE" in done.out
    text = (folder / "gpurent-watch.service").read_text()
    assert text in shown.out
    assert "canary" not in text + shown.out
    gone = gpurent(tmp_path, "uninstall", "--as", "systemd")
    assert "removed" in gone.out
    assert list(folder.iterdir()) == []


def test_cron_is_changed_by_its_own_tool(tmp_path: Path) -> None:
    """A crontab that keeps its table in a file."""
    tool = tmp_path / "bin" / "crontab"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nif [ "$1" = -l ]; then cat "$HOME/table"; else cat > "$HOME/table"; fi\n')
    tool.chmod(0o755)
    (tmp_path / "table").write_text("0 1 * * * backup\n")
    assert gpurent(tmp_path, "install", "--as", "cron").code == 0
    assert (tmp_path / "table").read_text().count("gpurent watch") == 1
    assert gpurent(tmp_path, "uninstall", "--as", "cron").code == 0
    assert (tmp_path / "table").read_text() == "0 1 * * * backup\n"
