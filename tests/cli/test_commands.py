"""Small commands, errors, both languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpurent.cli.builtin import gpurent_register_command


def gpurent(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GPURENT_HOME": str(home / "state"),
        "LANG": "C.UTF-8",
    }
    return subprocess.run(
        [sys.executable, "-m", "gpurent.cli.main", *arguments],
        capture_output=True,
        text=True,
        env={**base, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path


NAMES = [entry.name for entry in gpurent_register_command()]


def test_every_command_of_the_issue_is_there() -> None:
    wanted = (
        "providers offers login logout whoami balance topup rent ls show upgrade release push pull ssh exec start "
        "sessions attach logs run trips resume plugins sandbox demo renew receipts completion"
    )
    assert set(wanted.split()) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help_of_every_command(home: Path, name: str) -> None:
    said = gpurent(home, name, "--help")
    assert said.returncode == 0
    assert said.stdout.startswith("Usage: gpurent")


def test_errors_say_what_was_spent_and_what_to_do(home: Path) -> None:
    said = gpurent(home, "balance", "mistgpu")
    assert said.returncode == 4
    assert said.stdout == ""
    assert "not logged in" in said.stderr
    assert "Nothing was charged." in said.stderr
    assert "gpurent login" in said.stderr


def test_errors_as_json_are_one_document(home: Path) -> None:
    said = gpurent(home, "balance", "mistgpu", "--json")
    found = json.loads(said.stdout)
    assert found["ok"] is False
    assert found["error"]["code"] == "auth"
    assert found["error"]["spent"] == "no"
    assert found["error"]["exit_code"] == said.returncode == 4
    assert said.stderr == ""


def test_usage_errors_as_json(home: Path) -> None:
    said = gpurent(home, "renew", "x", "--for", "never", "--json")
    assert json.loads(said.stdout)["error"]["exit_code"] == said.returncode == 2


def test_unknown_command_names_the_nearest(home: Path) -> None:
    said = gpurent(home, "offerz")
    assert said.returncode == 2
    assert "offers" in said.stderr


def test_unknown_provider_says_what_to_install(home: Path) -> None:
    said = gpurent(home, "run", "--provider", "vast", "--", "true")
    assert said.returncode == 3
    assert "gpurent-plugin-vast" in said.stderr


def test_a_secret_on_the_command_line_is_refused(home: Path) -> None:
    said = gpurent(home, "login", "mistgpu", "-f", "username=a", "-f", "password=hush-hush")
    assert said.returncode == 2
    assert "hush-hush" not in said.stdout + said.stderr


def test_nobody_there_is_told(home: Path) -> None:
    said = gpurent(home, "login", "mistgpu")
    assert said.returncode == 11
    assert "phone number" in said.stderr


def test_results_outside_the_folder_are_refused(home: Path) -> None:
    said = gpurent(home, "run", "--provider", "mistgpu", "--results", "../x", "--", "true")
    assert said.returncode == 2


def test_real_site_says_plainly_what_is_known(home: Path) -> None:
    said = gpurent(home, "providers")
    assert "Never run against the live site" in said.stdout
    assert "The service of 2020 is gone" in said.stdout


@pytest.mark.parametrize("how", [("--lang", "zh"), ()])
def test_chinese(home: Path, how: tuple[str, ...]) -> None:
    environment = {} if how else {"GPURENT_LANG": "zh_CN"}
    said = gpurent(home, *how, "ls", **environment)
    assert said.stdout.strip() == "现在没有机器在花你的钱。"
    said = gpurent(home, *how, "balance", "mistgpu", **environment)
    assert "没有扣费" in said.stderr
    said = gpurent(home, *how, "--help", **environment)
    assert "整趟行程" in said.stdout


def test_the_journal_of_a_newer_version_is_left_alone(home: Path) -> None:
    import sqlite3

    assert gpurent(home, "ls").returncode == 0
    with sqlite3.connect(home / "state" / "journal.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    said = gpurent(home, "ls")
    assert said.returncode == 2
    assert "newer gpurent" in said.stderr


def test_a_state_folder_open_to_others_is_refused(home: Path) -> None:
    (home / "state").chmod(0o755)
    said = gpurent(home, "ls")
    assert said.returncode == 2
    assert "chmod 700" in said.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(home: Path, shell: str) -> None:
    said = gpurent(home, "completion", shell)
    assert said.returncode == 0
    assert "_GPURENT_COMPLETE" in said.stdout
    words = gpurent(
        home, _GPURENT_COMPLETE=f"{shell}_complete", COMP_WORDS="gpurent offers -p ", COMP_CWORD="3"
    )
    if shell == "bash":
        assert "1024gpu" in words.stdout


def test_a_key_is_forgotten_only_by_a_yes(home: Path) -> None:
    refused = gpurent(home, "logout", "1024gpu", "--forget-key")
    assert refused.returncode == 2
    assert "nothing was forgotten" in refused.stderr
    assert gpurent(home, "-y", "logout", "1024gpu", "--forget-key").returncode == 0
    assert gpurent(home, "logout", "1024gpu").returncode == 0, "the key stays: nothing to ask"
