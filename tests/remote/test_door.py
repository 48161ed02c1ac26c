"""A script passes the login shell as it is, whatever the shell and its start files are."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from gpurent.domain.secret import Secret
from gpurent.roles.shell_door import DoorOutput, DoorRun, make_run, make_shell_stream, make_terminal_line
from tests.remote.login_shells import LEFT_BEHIND, SHELLS, LoginShell

USER = "mist"
ODD = 'it\'s "$HOME" `id` \\ \\\\ \\n \\0101 !x! !! ^a^b^ {a,b} * ? ~ # % && || ; & | < > ( ) 深度\ttab é\x07'


def start_shell(
    shell: LoginShell, line: str, home: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run ``line`` in the shell, as sshd does."""
    program = [shell.require_path()] + (["ash"] if shell.program == "busybox" else [])
    environment = {"HOME": str(home), "PATH": f"{home}:/usr/bin:/bin"}
    return subprocess.run(
        [*program, "-c", line],
        cwd=home,
        env=environment,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home folder, with a user database that knows it."""
    getent = tmp_path / "getent"
    getent.write_text(
        f'#!/bin/sh\n[ "$*" = "passwd {USER}" ] && echo "{USER}:x:1:1:a b:{tmp_path}:/bin/sh"\n'
    )
    getent.chmod(0o755)
    return tmp_path


def run_in(shell: LoginShell, run: DoorRun, home: Path) -> DoorRun:
    done = start_shell(shell, run.line, home, run.stdin)
    run.out.feed(done.stdout)
    run.err.feed(done.stderr)
    return run


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
def test_a_script_passes_every_shell_as_it_is(shell: LoginShell, home: Path) -> None:
    run = run_in(shell, make_run(USER, f"cat <<'END'\n{ODD}\nEND\npwd; echo oops >&2; exit 3"), home)
    assert (run.out.data.decode(), run.err.data.decode()) == (f"{ODD}\n{home}\n", "oops\n")
    assert run.out.exit_status == run.err.exit_status == 3


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
def test_what_a_script_reads_travels_in_the_line(shell: LoginShell, home: Path) -> None:
    text = f"{ODD}\n\n" * 50
    run = make_run(USER, "cat", text)
    assert not run.stdin
    assert run_in(shell, run, home).out.data.decode() == text


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
def test_a_secret_is_sent_and_is_in_no_line(shell: LoginShell, home: Path) -> None:
    run = make_run(USER, "cat", Secret("hunter2\nno end"))
    assert "hunter2" not in run.line + repr(run)
    assert bytes(run_in(shell, run, home).out.data).decode() == "hunter2\nno end"
    assert not make_run(USER, "cat", Secret("")).stdin


@pytest.mark.parametrize("text", ["x" * 200_000, "a\0b\n"], ids=["large", "zero byte"])
def test_what_fits_no_line_is_sent_behind_lines_for_start_files(home: Path, text: str) -> None:
    run = make_run(USER, "cat", text)
    done = start_shell(SHELLS[1], run.line, home, run.decoy * 3 + run.stdin)
    run.out.feed(done.stdout)
    assert run.out.data.decode() == text


@pytest.mark.parametrize("lead", range(5))
def test_no_word_ends_within_an_encoded_byte(home: Path, lead: int) -> None:
    """Fish would take the quote behind a backslash away."""
    (fish,) = (shell for shell in SHELLS if shell.name == "fish")
    text = "x" * lead + "é" * 400
    assert run_in(fish, make_run(USER, "cat", text), home).out.data.decode() == text


@pytest.mark.parametrize("text", ["x" * 200_000, "深" * 20_000], ids=["long", "each sign takes fifteen"])
def test_a_script_that_fits_no_line_is_sent_in_the_same_way(home: Path, text: str) -> None:
    script = f"cat <<'END'\n{text}\nEND\ncat\n"
    run = make_run(USER, script, "its input")
    assert len(run.line) < 5_000
    done = start_shell(SHELLS[1], run.line, home, run.decoy + run.stdin)
    run.out.feed(done.stdout)
    assert run.out.data.decode() == f"{text}\nits input"


def test_no_line_is_longer_than_a_machine_takes() -> None:
    run = make_run(USER, "深" * 2_730, "é" * (8 << 10))
    assert 100_000 < len(run.line) < 128 << 10


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
def test_a_stream_begins_where_the_start_files_ended(shell: LoginShell, home: Path) -> None:
    stream = make_shell_stream(USER, "pwd; exec cat")
    shell.write_start_file(home, shell.start_text.replace(LEFT_BEHIND, ""))
    done = start_shell(shell, stream.line, home, stream.preamble + b"\x00\xff frames")
    noise, _mark, rest = done.stdout.partition(stream.mark)
    assert rest == f"{home}\n".encode() + b"\x00\xff frames", noise


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
def test_a_line_for_a_terminal_takes_the_place_of_the_shell(shell: LoginShell, home: Path) -> None:
    made = make_terminal_line(USER, f"cat <<'END'\n{ODD}\nEND\npwd; exit 5")
    done = start_shell(shell, made.line, home)
    assert (done.stdout, done.returncode) == (made.mark + f"{ODD}\n{home}\n".encode(), 5)


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("exit 2", "{home}"),
        ('[ "$2" = "$(id -u)" ] && echo "a:x:0:0::{home}/other:/bin/sh"', "{home}/other"),
        ('echo "mist:x:0:0::{home}/other:/bin/sh"', "{home}/other"),
        ('[ "$2" = mist ] && echo "other:x:0:0::/:/bin/sh"', "{home}"),
    ],
    ids=["none", "by number", "by name", "another user's"],
)
def test_the_home_is_that_of_the_user_database(home: Path, database: str, expected: str) -> None:
    (home / "getent").write_text("#!/bin/sh\n" + database.format(home=home))
    (home / "other").mkdir()
    run = run_in(SHELLS[1], make_run(USER, 'pwd; echo "$HOME ${GPURENT_LOGIN_HOME-none}"'), home)
    found = expected.format(home=home)
    login_home = "none" if found == str(home) else str(home)
    assert run.out.data.decode() == f"{found}\n{found} {login_home}\n"


def test_a_home_that_cannot_be_entered_is_said(home: Path) -> None:
    (home / "getent").write_text(f'#!/bin/sh\necho "mist:x:0:0::{home}/absent:/bin/sh"')
    run = run_in(SHELLS[1], make_run(USER, "echo never"), home)
    assert not run.out.data
    assert b"absent" in run.err.data


def test_noise_is_dropped_and_kept_for_errors() -> None:
    run = make_run(USER, "true")
    run.out.feed(b"Welcome\x1b[2J\n")
    run.err.feed(b"you must change your password\n")
    assert run.said == "Welcome you must change your password"
    assert not run.out.is_begun


@given(
    noise=st.binary(max_size=40),
    data=st.binary(max_size=40),
    late=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 200), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_output_is_read_alike_however_it_is_cut(
    noise: bytes, data: bytes, late: bytes, cuts: Sequence[int]
) -> None:
    mark = b"gpurent-1234abcd"
    sent = noise + b"\n" + mark + b"\n" + data + b"\n" + mark + b" 7\n" + late
    output, ends = DoorOutput(mark), sorted({*cuts, len(sent)})
    for start, end in zip([0, *ends], ends, strict=False):
        output.feed(sent[start:end])
    assert (output.noise, bytes(output.data), output.exit_status) == (noise, data, 7)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3000))
@settings(max_examples=40, deadline=None)
def test_no_line_has_what_a_login_shell_would_read(text: str) -> None:
    line = make_run("u" * 64, text, text).line
    assert line.isascii()
    assert line.isprintable()
    words = line.split("'")[1::2]
    assert not any(word.endswith("\\") or len(word) > 1000 for word in words)
    assert "!" not in line
