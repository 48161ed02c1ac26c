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


def test_every_command_exists() -> None:
    expected = (
        "providers offers login logout whoami balance topup rent ls show upgrade release push pull ssh exec start "
        "sessions attach logs run trips resume plugin sandbox demo renew receipts completion"
    )
    assert set(expected.split()) <= set(COMMAND_NAMES)


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_help_of_every_command(home: Path, name: str) -> None:
    result = run_gpurent(home, name, "--help")
    assert result.code == 0
    assert result.out.startswith("Usage: gpurent")


def test_errors_say_what_was_spent_and_what_to_do(home: Path) -> None:
    result = run_gpurent(home, "balance", "mistgpu")
    assert result.code == 4
    assert result.out == ""
    assert "not logged in" in result.err
    for word in ("charged", "spent"):
        assert word not in result.err, "a balance has nothing to do with spending"
    assert "gpurent login" in result.err


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("GPURENT_BUDGETS_MONTH", "5CNY", "GPURENT_BUDGET_MONTH"),
        ("GPURENT_BUDGET_MONTHLY", "5CNY", "GPURENT_BUDGET_MONTH"),
        ("GPURENT_BUDGET_MISTGPU_MONTH", "five", "invalid value"),
        ("GPURENT_GUARD_DEADLIN", "8h", "GPURENT_GUARD_DEADLINE"),
        ("GPURENT_GUARD_TIMER", "of", "invalid value"),
    ],
)
def test_a_misspelt_limit_in_the_environment_is_refused(
    home: Path, variable: str, value: str, told: str
) -> None:
    result = run_gpurent(home, "ls", **{variable: value})
    assert result.code == 2
    assert told in result.err
    assert run_gpurent(home, "ls", GPURENT_BUDGET_MISTGPU_MONTH="5CNY", GPURENT_GUARD_DEADLINE="8h").code == 0


def test_errors_as_json_are_one_document(home: Path) -> None:
    result = run_gpurent(home, "balance", "mistgpu", "--json")
    found = json.loads(result.out)
    assert {key: found[key] for key in ("version", "command", "ok")} == {
        "version": 1,
        "command": "balance",
        "ok": False,
    }
    assert found["error"]["code"] == "auth"
    assert found["error"]["spent"] is None
    assert found["error"]["exit_code"] == result.code == 4
    assert result.err == ""


def test_usage_errors_as_json(home: Path) -> None:
    result = run_gpurent(home, "renew", "x", "--for", "never", "--json")
    found = json.loads(result.out)
    assert found["error"]["exit_code"] == result.code == 2
    assert found["command"] == "renew"


@pytest.mark.parametrize("words", [("--json", "sandbox", "status"), ("sandbox", "status", "--json")])
def test_the_json_document_names_its_command(home: Path, words: tuple[str, ...]) -> None:
    found = json.loads(run_gpurent(home, *words).out)
    assert (found["version"], found["command"], found["ok"]) == (1, "sandbox status", False)


def test_a_command_that_is_unknown_has_no_name_in_json(home: Path) -> None:
    found = json.loads(run_gpurent(home, "--json", "offerz").out)
    assert (found["command"], found["error"]["code"]) == ("", "usage")


def test_unknown_command_names_the_nearest(home: Path) -> None:
    result = run_gpurent(home, "offerz")
    assert result.code == 2
    assert "offers" in result.err


@pytest.mark.parametrize(
    ("line", "name", "near"),
    [
        (("run", "--buget", "20CNY", "-p", "mistgpu"), "--buget", "--budget"),
        (("plan", "--buget=20CNY", "-p", "mistgpu", "--", "true"), "--buget", "--budget"),
        (("start", "--nmae", "x", "lease", "true"), "--nmae", "--name"),
        (("start", "lease", "--nmae", "x", "true"), "--nmae", "--name"),
        (("run", "-y", "-p", "mistgpu", "--", "true"), "-y", "gpurent -y run"),
    ],
)
def test_an_unknown_option_is_not_taken_as_the_command(
    home: Path, line: tuple[str, ...], name: str, near: str
) -> None:
    result = run_gpurent(home, *line)
    assert result.code == 2
    assert f"no such option: {name}\n" in result.err
    assert near in result.err
    assert not list((home / "state").iterdir()), "nothing was begun"


@pytest.mark.parametrize("line", [("python3", "-u", "x.py"), ("--", "-x"), ("--", "python3", "--buget", "1")])
def test_words_of_the_command_stay_the_jobs(home: Path, line: tuple[str, ...]) -> None:
    (home / "project").mkdir()
    result = run_gpurent(home, "plan", "-p", "mistgpu", "--folder", str(home / "project"), *line)
    assert result.code == 4, "the options are accepted, but the user is not logged in"


def test_an_account_error_names_the_provider(home: Path) -> None:
    result = run_gpurent(home, "balance", "1024gpu")
    assert "you are not logged in to 1024gpu" in result.err


def test_an_empty_label_of_an_account_is_not_the_main_account(home: Path) -> None:
    result = run_gpurent(home, "login", "mistgpu", "--account", "")
    assert (result.code, "label is not empty" in result.err) == (2, True)


def test_unknown_provider_says_where_the_known_ones_are(home: Path) -> None:
    result = run_gpurent(home, "run", "--provider", "nimbus", "--", "true")
    assert result.code == 3
    assert "installed:" in result.err
    assert "gpurent plugin list" in result.err
    assert "gpurent-plugin-nimbus" not in result.err


def test_a_secret_on_the_command_line_is_refused(home: Path) -> None:
    result = run_gpurent(home, "login", "mistgpu", "-f", "username=a", "-f", "password=hush-hush")
    assert result.code == 2
    assert "hush-hush" not in result.out + result.err


def test_without_a_terminal_input_is_required(home: Path) -> None:
    result = run_gpurent(home, "login", "mistgpu")
    assert result.code == 11
    assert "phone number" in result.err
    assert "gpurent login mistgpu -f username=…" in result.err


def test_results_outside_the_folder_are_refused(home: Path) -> None:
    result = run_gpurent(home, "run", "--provider", "mistgpu", "--results", "../x", "--", "true")
    assert result.code == 2


def test_the_real_provider_says_what_is_known(home: Path) -> None:
    result = run_gpurent(home, "providers")
    assert "Never run against the live service" in result.out
    assert "The 2020 service no longer exists" in result.out


@pytest.mark.parametrize("language_options", [("--lang", "zh"), ()])
def test_chinese(home: Path, language_options: tuple[str, ...]) -> None:
    environment = {} if language_options else {"GPURENT_LANG": "zh_CN"}
    result = run_gpurent(home, *language_options, "ls", **environment)
    assert result.out.strip() == "现在没有机器在产生费用。"
    result = run_gpurent(home, *language_options, "balance", "mistgpu", **environment)
    assert "请先登录" in result.err
    result = run_gpurent(home, *language_options, "--help", **environment)
    assert "行程" in result.out


def test_the_journal_of_a_newer_version_is_left_alone(home: Path) -> None:
    import sqlite3

    assert run_gpurent(home, "ls").code == 0
    with sqlite3.connect(home / "state" / "journal.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    result = run_gpurent(home, "ls")
    assert result.code == 2
    assert "newer gpurent" in result.err


def test_a_state_folder_open_to_others_is_refused(home: Path) -> None:
    (home / "state").chmod(0o755)
    result = run_gpurent(home, "ls")
    assert result.code == 2
    assert "chmod 700" in result.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(home: Path, shell: str) -> None:
    result = run_gpurent(home, "completion", shell)
    assert result.code == 0
    assert "_GPURENT_COMPLETE" in result.out
    words = run_gpurent(
        home, _GPURENT_COMPLETE=f"{shell}_complete", COMP_WORDS="gpurent offers -p ", COMP_CWORD="3"
    )
    if shell == "bash":
        assert "1024gpu" in words.out


def test_deleting_a_key_needs_confirmation(home: Path) -> None:
    refused = run_gpurent(home, "logout", "1024gpu", "--forget-key")
    assert refused.code == 11
    assert "nothing was deleted" in refused.err
    assert run_gpurent(home, "-y", "logout", "1024gpu", "--forget-key").code == 0
    assert run_gpurent(home, "logout", "1024gpu").code == 0, "the key stays: nothing to ask"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "gbk"])
def test_json_is_the_same_in_every_encoding(home: Path, encoding: str) -> None:
    words = ("--lang", "zh", "--json", "show", "nope")
    found = run_gpurent(home, *words, PYTHONIOENCODING=encoding)
    assert json.loads(found.out) == json.loads(run_gpurent(home, *words).out)


def test_unencodable_characters_are_replaced(home: Path) -> None:
    result = run_gpurent(home, "--lang", "zh", "ls", PYTHONIOENCODING="latin-1")
    assert (result.code, result.err) == (0, "")
    assert "?" in result.out


def test_output_that_cannot_be_written_is_reported(home: Path) -> None:
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
