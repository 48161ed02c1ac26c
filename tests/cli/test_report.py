"""The report for whoever helps: shown before it is written, and nothing secret in it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from gpurent.testing.shared_sandbox import CommandLineResult
from tests.cli.stored_leases import make_home
from tests.command_line import run_command

SECRETS = {
    "passphrase": "correct-horse-battery",
    "password": "hunter22-of-the-mailbox",
    "proxy": "proxy-pa55word",
    "address": "jane.doe@example.org",
    "server": "imap.intranet.example.org",
    "user": "jane.doe",
    "api key": "k-0123456789abcdef0123456789abcdef",
    "home": "jdoe-home",
}
CONFIG = f"""
[mail]
address = "{SECRETS["address"]}"
[imap]
host = "{SECRETS["server"]}"
user = "{SECRETS["address"]}"
password = "{SECRETS["password"]}"
[budget]
month = "500CNY"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / SECRETS["home"]).mkdir()
    return make_home(tmp_path / SECRETS["home"] / "state")


def run(home: Path, *arguments: str) -> CommandLineResult:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home.parent),
        "GPURENT_HOME": str(home),
        "LANG": "C.UTF-8",
        "USER": SECRETS["user"],
        "GPURENT_PASSPHRASE": SECRETS["passphrase"],
        "GPURENT_VAST_API_KEY": SECRETS["api key"],
        "HTTPS_PROXY": f"http://me:{SECRETS['proxy']}@proxy.example.org:3128",
    }
    return run_command(*arguments, environment=environment, folder=home.parent)


def write_config(home: Path) -> None:
    path = home / "config.toml"
    path.touch(mode=0o600)
    path.write_text(CONFIG)


def test_nothing_secret_is_in_it(home: Path) -> None:
    write_config(home)
    crash = home / "logs" / "gpurent-crash-x.txt"
    crash.parent.mkdir(mode=0o700)
    crash.write_text(f"gpurent\n  connect to {SECRETS['server']} as {SECRETS['address']}\nValueError\n")
    path = home.parent / "report.txt"
    result = run(home, "-y", "report", "-o", str(path))
    assert result.code == 0, result.err
    text = path.read_text()
    for name, secret in SECRETS.items():
        assert secret not in text, name
        assert name == "home" or secret not in result.out, name
    assert "budget.month = 500CNY" in text, "what is not secret helps"
    assert "imap.password = ***" in text
    assert "leases: mistgpu ready 1" in text
    assert "trip t1129-abd45: run" in text
    assert "train.py" not in text
    assert "ValueError" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_shown_and_not_written_unless_the_user_agrees(home: Path) -> None:
    result = run(home, "report")
    assert result.code == 11
    assert "[installation]" in result.out
    assert "gpurent -y report" in result.err
    assert not list(home.parent.glob("gpurent-report-*"))


def test_an_existing_file_is_not_overwritten(home: Path) -> None:
    path = home.parent / "report.txt"
    path.write_text("mine")
    assert run(home, "-y", "report", "-o", str(path)).code == 2
    assert path.read_text() == "mine"
    assert run(home, "-y", "report", "-o", str(path), "--force").code == 0


def test_what_is_broken_is_in_it(home: Path) -> None:
    (home / "config.toml").write_text("[budgt]\nmonth = 1\n")
    (home / "journal.sqlite").write_bytes(b"this is no database" * 100)
    found = json.loads(run(home, "--json", "-y", "report", "-o", str(home.parent / "r.txt")).out)
    assert found["ok"]
    assert "cannot be read: usage: " in found["data"]["report"]
    assert found["data"]["report"].count("cannot be read") == 2
