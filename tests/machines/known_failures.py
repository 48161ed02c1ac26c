"""Cells that fail today, each with its reason; one that starts to pass fails its test, and is to be removed here."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from tests.machines.machine import ADOPT


@frozen
class KnownFailure:
    """``reason``: what goes wrong, and where, in one line; ``sometimes``: not always, so that a pass says nothing."""

    machine: str
    acts: tuple[str, ...]
    reason: str
    sometimes: bool = False


_JOBS = ("start screen", "start tmux", "logs", "attach", "stop")
_TURBO = ("push turbo", "pull turbo")
_FRAMES = "turbo takes what a start file prints for its first frame, and does not fall back"
_POSIX_LINES = "several lines of POSIX shell go to the login shell (`sh_command` and its users)"
_LAST_LINE = (
    "the status is taken from the last line of the output, which a start file printed (`parse_status`)"
)
_CWD = "a path relative to the login's folder is used, and a start file changed that"
_ONE_DIAGNOSIS = "every failure to install the key is called a full disk; what the machine said is hidden"
_KEY_REJECTED = "the key was written elsewhere or not at all, and then is said to be rejected"
_CHANNEL = "a channel that is refused counts as a lost connection, and is asked for again without end"

KNOWN_FAILURES: tuple[KnownFailure, ...] = (
    KnownFailure("fish", (*_JOBS, "timer"), _POSIX_LINES),
    KnownFailure("csh", (ADOPT,), _POSIX_LINES),
    KnownFailure("tcsh", (ADOPT,), _POSIX_LINES),
    KnownFailure("prints", _TURBO, _FRAMES),
    KnownFailure("prints raw", _TURBO, _FRAMES),
    KnownFailure(
        "prints raw",
        ("push sftp", "pull sftp"),
        "the hash in the output of sha256sum follows what a start file printed without a line end",
    ),
    KnownFailure(
        "prints raw", _JOBS, "the first word of the status follows what was printed without a line end"
    ),
    KnownFailure(
        "prints raw", ("timer",), "the mark of the answer follows what was printed without a line end"
    ),
    KnownFailure("prints at exit", _JOBS, _LAST_LINE),
    KnownFailure("cd", _TURBO, _CWD),
    KnownFailure("cd", ("start tmux",), _CWD),
    KnownFailure("read", (ADOPT,), "the key is sent over standard input, and a start file reads it"),
    KnownFailure(
        "HOME moved", (ADOPT,), "the key is written below $HOME, and sshd reads the home of /etc/passwd"
    ),
    KnownFailure(
        "background", (ADOPT,), "the end of the output is waited for, which a background process holds open"
    ),
    KnownFailure("exec zsh", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure("exec fish -c", (*_JOBS, "timer"), _POSIX_LINES),
    KnownFailure("exit", (ADOPT,), _KEY_REJECTED),
    KnownFailure("PATH lost", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure(
        "tmux in terminals", ("attach",), "the start file's tmux takes the terminal; the user is not told"
    ),
    KnownFailure("zsh prints", _TURBO, _FRAMES),
    KnownFailure("zsh prints", ("start tmux",), _CWD),
    KnownFailure("fish prints", _TURBO, _FRAMES),
    KnownFailure("fish prints", (*_JOBS, "timer"), _POSIX_LINES),
    KnownFailure("csh prints", (ADOPT,), _POSIX_LINES),
    KnownFailure("ssh rc prints", _TURBO, _FRAMES),
    KnownFailure("MaxSessions 1", ("push sftp", "pull sftp", *_JOBS, "doctor"), _CHANNEL, sometimes=True),
    KnownFailure("old ciphers", (ADOPT,), "a warning of a library about Diffie-Hellman is printed"),
    KnownFailure("keys moved", (ADOPT,), _KEY_REJECTED),
    KnownFailure("forced command", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure("sftp alone", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure("no sftp", ("push sftp", "pull sftp"), "a missing SFTP server is called a lost connection"),
    KnownFailure("no terminals", ("attach",), "a refused terminal is called a lost connection"),
    KnownFailure("nologin shell", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure("nologin file", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure("password expired", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure(
        "no setsid", ("stop",), "without setsid the job leads no process group, and its children stay"
    ),
    KnownFailure(
        "no /run/screen",
        ("start screen", "logs", "attach", "stop"),
        "the error does not say that another session backend may work: --session tmux",
    ),
    KnownFailure(
        "home fills up",
        ("start screen", "start tmux"),
        "the exit code cannot be written, and `logs --follow` ends with 0",
    ),
    KnownFailure("home full at once", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure("home read-only", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure("home missing", (ADOPT,), _ONE_DIAGNOSIS),
    KnownFailure(
        "home not writable",
        (*_JOBS, "timer"),
        "a folder that cannot be made is said to be a link or another user's",
    ),
    KnownFailure(
        "terminal unknown", ("attach",), "the terminal's name is sent although the machine does not know it"
    ),
)


def index_failures(
    failures: tuple[KnownFailure, ...] = KNOWN_FAILURES,
) -> Mapping[tuple[str, str], KnownFailure]:
    """Return them by their cells."""
    return {(known.machine, act): known for known in failures for act in known.acts}
