"""`gpurent config`: values are checked, comments stay, the file is private, and secrets are never shown."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from gpurent.cli.builtin import load_registry
from gpurent.composition.configuration import make_config_editor
from gpurent.errors import UsageError
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command

WRITTEN = """\
# my settings
[budget]   # all together
month = "500CNY"  # a lot

[budget.mistgpu]
month = '200CNY'

[guard]
idle = "30m"
# the end
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state"


def run(home: Path, *arguments: str, input_text: str = "", **more: str) -> CommandLineResult:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home.parent), "GPURENT_HOME": str(home), "LANG": "C.UTF-8", **more,
    }  # fmt: skip
    return run_command(
        "config", *arguments, environment=environment, folder=home.parent, input_text=input_text
    )


def read(home: Path) -> str:
    return (home / "config.toml").read_text("utf-8")


def test_a_value_is_set_in_a_new_private_file(home: Path) -> None:
    assert run(home, "path").out.strip() == str(home / "config.toml")
    assert run(home, "set", "budget.month", "500CNY").code == 0
    assert tomllib.loads(read(home)) == {"budget": {"month": "500CNY"}}
    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
    assert run(home, "get", "budget.month").out == "500CNY\n"


def test_comments_order_and_everything_else_stay(home: Path) -> None:
    (home / "config.toml").write_text(WRITTEN)
    assert run(home, "set", "budget.month", "300CNY").code == 0
    assert read(home) == WRITTEN.replace("500CNY", "300CNY")
    assert run(home, "set", "guard.deadline", "8h").code == 0
    assert read(home).startswith(WRITTEN.replace("500CNY", "300CNY").partition("# the end")[0])
    assert tomllib.loads(read(home))["guard"] == {"idle": "30m", "deadline": "8h"}
    assert "# the end" in read(home)
    assert run(home, "set", "guard.deadline", "--unset").code == 0
    assert read(home) == WRITTEN.replace("500CNY", "300CNY")


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_other_line_ends_stay(home: Path, mark: str, end: str) -> None:
    (home / "config.toml").write_bytes((mark + WRITTEN.replace("\n", end)).encode())
    assert run(home, "set", "budget.month", "300CNY").code == 0
    assert (home / "config.toml").read_bytes() == (mark + WRITTEN.replace("\n", end)).encode().replace(
        b"500CNY", b"300CNY"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("budgt.month", "5CNY"), "budget"),
        (("budget.mnth", "5CNY"), "budget.month"),
        (("budget.month", "five"), 'month = "500CNY"'),
        (("budget.nosuch.month", "5CNY"), "nosuch"),
        (("month", "5CNY"), "budget.month"),
        (("a.b.c.d", "5CNY"), "budget.month"),
        (("core.x.browser", "no"), "no such setting"),
        (("imap.password", "hunter22"), "--stdin"),
        (("budget.month", "5CNY", "--unset"), "together"),
        (("budget.month",), "--stdin"),
    ],
)
def test_what_is_wrong_changes_nothing(home: Path, words: tuple[str, ...], told: str) -> None:
    (home / "config.toml").write_text(WRITTEN)
    result = run(home, "set", *words)
    assert result.code in (2, 11)
    assert told in result.err
    assert read(home) == WRITTEN


def test_a_file_with_a_mistake_is_left_alone(home: Path) -> None:
    (home / "config.toml").write_text("[budget]\nmnth = 5\n")
    result = run(home, "set", "guard.idle", "30m")
    assert result.code == 2
    assert "line 2" in result.err
    assert read(home) == "[budget]\nmnth = 5\n"


def test_secrets_are_taken_and_never_shown(home: Path) -> None:
    secret = "hunter22 with words"
    result = run(home, "set", "imap.password", "--stdin", input_text=f"{secret}\n")
    assert result.code == 0
    assert tomllib.loads(read(home))["imap"]["password"] == secret
    shown = [result, run(home, "list"), run(home, "list", "--json"), run(home, "get", "imap.password")]
    assert all(secret not in one.out + one.err for one in shown)
    assert shown[-1].out == "***\n"
    row = next(row for row in json.loads(shown[2].out)["data"] if row["name"] == "imap.password")
    assert (row["value"], row["is_set"], row["is_secret"]) == (None, True, True)


def test_what_is_set_where(home: Path) -> None:
    (home / "config.toml").write_text(WRITTEN)
    found = {
        row["name"]: (row["value"], row["source"])
        for row in json.loads(run(home, "list", "--json", GPURENT_GUARD_IDLE="1h").out)["data"]
    }
    assert found == {
        "budget.month": ("500CNY", "config.toml"),
        "budget.mistgpu.month": ("200CNY", "config.toml"),
        "guard.idle": ("1h", "GPURENT_GUARD_IDLE"),
    }
    every = json.loads(run(home, "list", "--all", "--json").out)["data"]
    assert {"core.browser", "rates.date", "vast.url"} <= {row["name"] for row in every}
    missing = run(home, "get", "core.browser")
    assert (missing.code, missing.out) == (1, "")


def test_numbers_and_lists_are_written_as_such(home: Path) -> None:
    for name, value in (
        ("offers.timeout", "45"),
        ("rates.USD/CNY", "7.10"),
        ("notify.events", "failed, job-ended"),
    ):
        assert run(home, "set", name, value).code == 0
    assert "timeout = 45" in read(home)
    assert '"USD/CNY" = 7.10' in read(home)
    assert 'events = ["failed", "job-ended"]' in read(home)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_kept_exactly_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("state")
    folder.chmod(0o700)
    editor = make_config_editor(load_registry(), folder)
    name = editor.parse_name("rates.source")
    try:
        editor.set_value(name, text)
    except UsageError:
        return
    assert tomllib.loads((folder / "config.toml").read_bytes().decode("utf-8"))["rates"]["source"] == text


def edit(home: Path, script: str, answers: bytes = b"") -> tuple[int, str]:
    """Run `gpurent config edit` in a terminal, with a shell script as the editor."""
    editor = home.parent / "editor.sh"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o700)
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpurent", "config", "edit"],
        stdin=side,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home.parent),
            "GPURENT_HOME": str(home),
            "EDITOR": f"{editor} -x",
        },
    )
    os.close(side)
    os.write(main, answers)
    out, _none = process.communicate(timeout=60)
    os.close(main)
    return process.returncode, out.decode()


def test_what_an_editor_saves_is_checked_before_it_counts(home: Path) -> None:
    (home / "config.toml").write_text(WRITTEN)
    assert edit(home, "true") == (0, "Nothing was changed.\n")
    code, _out = edit(home, """printf '[warn]\\nat = "1h"\\n' >> "$2" """)
    assert (code, tomllib.loads(read(home))["warn"]) == (0, {"at": "1h"})
    before = read(home)
    code, out = edit(home, """printf 'mnth = 5\\n' >> "$2" """, b"n\n")
    assert code != 0
    assert "unknown key 'mnth'" in out
    assert read(home) == before
    code, out = edit(home, "exit 3")
    assert (code, "exit code 3" in out) == (2, True)
    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
