"""What people expect of any command line: colours that can be switched off, pipes that may close, locales, zones."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.stored_leases import make_home

ESCAPE = b"\x1b["


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home") / "state")


def make_environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home.parent), "GPURENT_HOME": str(home), "LANG": "C.UTF-8", **more}


def run_in_terminal(home: Path, *arguments: str, **environment: str) -> bytes:
    """Run the command with a terminal as stdout and stderr; return what it printed there."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpurent", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=side,
        stderr=side,
        env=make_environment(home, **environment),
    )
    os.close(side)
    found = b""
    while True:
        try:
            data = os.read(main, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        found += data
    os.close(main)
    process.wait()
    return found


def test_colours_end_with_no_color_and_in_a_dumb_terminal(home: Path) -> None:
    words = ("show", "nosuch")
    assert ESCAPE in run_in_terminal(home, *words, TERM="xterm-256color")
    for environment in ({"TERM": "dumb"}, {"TERM": "xterm-256color", "NO_COLOR": "1"}):
        shown = run_in_terminal(home, *words, **environment)
        assert b"no such lease" in shown
        assert ESCAPE not in shown, environment
    assert ESCAPE in run_in_terminal(home, *words, TERM="xterm-256color", NO_COLOR=""), "empty is not set"


def test_the_width_of_the_terminal_counts(home: Path) -> None:
    """The terminal says 0 columns here, which is no width; COLUMNS wins over it."""
    lines = run_in_terminal(home, "ls", COLUMNS="80", TERM="dumb").decode().splitlines()
    assert max(map(len, lines)) <= 84
    assert any(line.startswith("mistgpu-abc23") for line in lines)


@pytest.mark.parametrize("line", ["ls", "providers", "run --help"])
def test_a_pipe_that_closes_early_is_no_error(home: Path, line: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `| head -0` does, before anything is printed
    done = subprocess.run(
        [sys.executable, "-m", "gpurent", *line.split()],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=make_environment(home),
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode in (0, 141), "by the shell's convention for SIGPIPE"


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "LANG": "C"},
        {"LC_ALL": "POSIX"},
        {"LC_ALL": "zh_CN.GBK", "PYTHONIOENCODING": "gbk"},
        {"LC_ALL": "no_SUCH.locale"},
        {"LANG": ""},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
def test_every_locale_shows_the_list(home: Path, environment: dict[str, str]) -> None:
    for language in ("en", "zh"):
        done = subprocess.run(
            [sys.executable, "-m", "gpurent", "--lang", language, "ls"],
            capture_output=True,
            env=make_environment(home, **environment),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert b"mistgpu-abc23" in done.stdout


def test_python_m_gpurent_is_gpurent(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gpurent", "nosuch"],
        capture_output=True,
        text=True,
        env=make_environment(home),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: gpurent ")


def test_wrong_certificates_are_a_clear_error(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gpurent", "login", "vast", "--stdin", "api_key"],
        input="0123456789abcdef\n",
        capture_output=True,
        text=True,
        env=make_environment(home, SSL_CERT_FILE="/nonexistent.pem"),
        check=False,
    )
    assert done.returncode == 2
    assert "SSL_CERT_FILE is /nonexistent.pem" in done.stderr
    assert "Report it" not in done.stderr
