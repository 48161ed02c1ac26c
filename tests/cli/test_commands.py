"""Small commands, errors, both languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpurent.cli.builtin import gpurent_register_command
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command


def run_gpurent(home: Path, *arguments: str, **environment: str) -> CommandLineResult:
    base = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GPURENT_HOME": str(home / "state"),
        "LANG": "C.UTF-8",
    }
    return run_command(*arguments, environment={**base, **environment}, folder=home)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path


COMMAND_NAMES = [entry.name for entry in gpurent_register_command()]


def test_every_command_of_the_issue_is_there() -> None:
    wanted = (
        "providers offers login logout whoami balance topup rent ls show upgrade release push pull ssh exec start "
        "sessions attach logs run trips resume plugin sandbox demo renew receipts completion"
    )
    assert set(wanted.split()) <= set(COMMAND_NAMES)


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_help_of_every_command(home: Path, name: str) -> None:
    said = run_gpurent(home, name, "--help")
    assert said.code == 0
    assert said.out.startswith("Usage: gpurent")


def test_errors_say_what_was_spent_and_what_to_do(home: Path) -> None:
    said = run_gpurent(home, "balance", "mistgpu")
    assert said.code == 4
    assert said.out == ""
    assert "not logged in" in said.err
    assert "Nothing was charged." in said.err
    assert "gpurent login" in said.err


def test_errors_as_json_are_one_document(home: Path) -> None:
    said = run_gpurent(home, "balance", "mistgpu", "--json")
    found = json.loads(said.out)
    assert {key: found[key] for key in ("version", "command", "ok")} == {
        "version": 1,
        "command": "balance",
        "ok": False,
    }
    assert found["error"]["code"] == "auth"
    assert found["error"]["spent"] == "no"
    assert found["error"]["exit_code"] == said.code == 4
    assert said.err == ""


def test_usage_errors_as_json(home: Path) -> None:
    said = run_gpurent(home, "renew", "x", "--for", "never", "--json")
    found = json.loads(said.out)
    assert found["error"]["exit_code"] == said.code == 2
    assert found["command"] == "renew"


@pytest.mark.parametrize("words", [("--json", "sandbox", "status"), ("sandbox", "status", "--json")])
def test_the_json_document_names_its_command(home: Path, words: tuple[str, ...]) -> None:
    found = json.loads(run_gpurent(home, *words).out)
    assert (found["version"], found["command"], found["ok"]) == (1, "sandbox status", False)


def test_a_command_that_is_unknown_has_no_name_in_json(home: Path) -> None:
    found = json.loads(run_gpurent(home, "--json", "offerz").out)
    assert (found["command"], found["error"]["code"]) == ("", "usage")


def test_unknown_command_names_the_nearest(home: Path) -> None:
    said = run_gpurent(home, "offerz")
    assert said.code == 2
    assert "offers" in said.err


def test_unknown_provider_says_what_to_install(home: Path) -> None:
    said = run_gpurent(home, "run", "--provider", "vast", "--", "true")
    assert said.code == 3
    assert "gpurent-plugin-vast" in said.err


def test_a_secret_on_the_command_line_is_refused(home: Path) -> None:
    said = run_gpurent(home, "login", "mistgpu", "-f", "username=a", "-f", "password=hush-hush")
    assert said.code == 2
    assert "hush-hush" not in said.out + said.err


def test_without_a_person_input_is_required(home: Path) -> None:
    said = run_gpurent(home, "login", "mistgpu")
    assert said.code == 11
    assert "phone number" in said.err


def test_results_outside_the_folder_are_refused(home: Path) -> None:
    said = run_gpurent(home, "run", "--provider", "mistgpu", "--results", "../x", "--", "true")
    assert said.code == 2


def test_the_real_provider_says_what_is_known(home: Path) -> None:
    said = run_gpurent(home, "providers")
    assert "Never run against the live service" in said.out
    assert "The 2020 service no longer exists" in said.out


@pytest.mark.parametrize("how", [("--lang", "zh"), ()])
def test_chinese(home: Path, how: tuple[str, ...]) -> None:
    environment = {} if how else {"GPURENT_LANG": "zh_CN"}
    said = run_gpurent(home, *how, "ls", **environment)
    assert said.out.strip() == "现在没有机器在计费。"
    said = run_gpurent(home, *how, "balance", "mistgpu", **environment)
    assert "没有扣费" in said.err
    said = run_gpurent(home, *how, "--help", **environment)
    assert "行程" in said.out


def test_the_journal_of_a_newer_version_is_left_alone(home: Path) -> None:
    import sqlite3

    assert run_gpurent(home, "ls").code == 0
    with sqlite3.connect(home / "state" / "journal.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    said = run_gpurent(home, "ls")
    assert said.code == 2
    assert "newer gpurent" in said.err


def test_a_state_folder_open_to_others_is_refused(home: Path) -> None:
    (home / "state").chmod(0o755)
    said = run_gpurent(home, "ls")
    assert said.code == 2
    assert "chmod 700" in said.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(home: Path, shell: str) -> None:
    said = run_gpurent(home, "completion", shell)
    assert said.code == 0
    assert "_GPURENT_COMPLETE" in said.out
    words = run_gpurent(
        home, _GPURENT_COMPLETE=f"{shell}_complete", COMP_WORDS="gpurent offers -p ", COMP_CWORD="3"
    )
    if shell == "bash":
        assert "1024gpu" in words.out


def test_a_key_is_deleted_only_by_a_yes(home: Path) -> None:
    refused = run_gpurent(home, "logout", "1024gpu", "--forget-key")
    assert refused.code == 2
    assert "nothing was deleted" in refused.err
    assert run_gpurent(home, "-y", "logout", "1024gpu", "--forget-key").code == 0
    assert run_gpurent(home, "logout", "1024gpu").code == 0, "the key stays: nothing to ask"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "gbk"])
def test_json_is_the_same_in_every_encoding(home: Path, encoding: str) -> None:
    words = ("--lang", "zh", "--json", "show", "nope")
    found = run_gpurent(home, *words, PYTHONIOENCODING=encoding)
    assert json.loads(found.out) == json.loads(run_gpurent(home, *words).out)


def test_people_see_a_mark_in_place_of_a_letter(home: Path) -> None:
    said = run_gpurent(home, "--lang", "zh", "ls", PYTHONIOENCODING="latin-1")
    assert (said.code, said.err) == (0, "")
    assert "?" in said.out


def test_output_that_cannot_be_written_is_told(home: Path) -> None:
    variables = {"HOME": str(home), "GPURENT_HOME": str(home / "state"), "GPURENT_LANG": "en"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gpurent", "ls"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=variables,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"cannot write the output: no space left on the disk\n")


def test_the_settings_of_the_plugins_are_listed(home: Path) -> None:
    plugins = run_gpurent(home, "plugin", "list", "--json").data["plugins"]
    settings = {entry["name"]: entry["settings"] for plugin in plugins for entry in plugin["entries"]}
    secrets = {setting["name"]: setting["secret"] for setting in settings["imap"]}
    assert secrets["password"] is True
    assert secrets["host"] is False
    assert settings["screen"] == []
