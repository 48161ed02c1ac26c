"""The one door to a machine's shell: makes a script one line that every login shell hands to ``sh`` as it is.

Bash, dash, ash, ksh, zsh, fish, csh and tcsh read the line alike: it has no line break, no history sign, no backslash
that one of them takes away, no word too long for csh. Their start files may print, change the folder, move HOME, read
from stdin, or leave a process behind that keeps the output open. So the script runs in the home folder of the user
database, what it needs to read travels in the line, and marks in the output say where its own begins and ends.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from attrs import define, field, frozen

from gpurent.domain.secret import Secret
from gpurent.ports.connection import TerminalLine
from gpurent.terminal_text import ForeignText

MAX_OUTPUT_BYTES = 8 << 20
NO_HOME_STATUS = 97
"""The exit status if the home folder cannot be entered; ``cd`` has said why."""
_MAX_NOISE_BYTES = 1 << 20
_MAX_SHOWN_BYTES = 2000
_MAX_WORD = 900  # characters; the BSD csh refuses words of 1024
# What the line has, whose limit is 128 KiB: bytes of the input, of which each may take five characters, and characters
# of the script in the line.
_MAX_INPUT_BYTES, _MAX_SCRIPT_LENGTH = 16 << 10, 40 << 10
# A start file that reads from stdin gets these lines instead of ours.
_DECOYS = b"\n" * 8
_MARK_HEAD, _STREAM = "gpurent", "stream"
_UNSAFE = re.compile(rb"[^ -~]|['\\!]")

# Sets gs and gi to the first @count@ words and to the others. They are joined and decoded by the shell itself.
_JOIN = (
    "gs=; gi=; gn=@count@; for gw do if [ $gn -gt 0 ]; then gs=$gs$gw; gn=$((gn - 1)); else gi=$gi$gw; fi; done; "
    'set --; gs=$(printf "%b." "$gs"); gs=${gs%.}; gi=$(printf "%b." "$gi"); gi=${gi%.}; '
)
# What start files may have exported. The user of an SSH gateway is not in the machine's user database.
_ENTER_HOME = (
    "set +eufvx; unset CDPATH; "
    "command -v sed >/dev/null 2>&1 || { PATH=$PATH:/usr/local/bin:/usr/bin:/bin; export PATH; }; "
    "gu=@user@; gh=$(getent passwd $gu 2>/dev/null); "
    "case $gh in $gu:*) gh=${gh%:*}; gh=${gh##*:} ;; *) eval gh=~$gu ;; esac; "
    "case $gh in /*) ;; *) gh=$(getent passwd $(id -u) 2>/dev/null) && gh=${gh%:*} && gh=${gh##*:} ;; esac; "
    "case $gh in /*) ;; *) gh=$HOME ;; esac; "
    'if [ "$gh" = "$HOME" ]; then unset GPURENT_LOGIN_HOME; '
    "else GPURENT_LOGIN_HOME=$HOME; HOME=$gh; export GPURENT_LOGIN_HOME HOME; fi; "
)
_BEGIN = (
    'gm() { printf "\\n%s%s%s\\n" @head@ -@token@ "$1"; }; gm; gm >&2; '
    f'cd "$HOME" || exit {NO_HOME_STATUS}; '
)
# A terminal would take it for a title of an unknown kind, and show nothing.
_TERMINAL_MARK = b"\x1b]gpurent-begins\x07"
_TELL_TERMINAL = 'printf "\\033]gpurent-begins\\007"; '
_END = 'gr=$?; gm " $gr"; gm " $gr" >&2; exit $gr'
_SKIP_DECOYS = 'while IFS= read -r gw; do [ "$gw" = @head@-@token@ ] && break; done; '
_READ_SCRIPT = "gs=$(cat; printf .); gs=${gs%.}; "
# How the script runs: with the rest of stdin, with the input of the line, or in place of the shell.
_RUN, _RUN_WITH_INPUT = '( eval "$gs" ); ', 'printf %s "$gi" | ( eval "$gs" ); '
_BECOME = 'eval "$gs"'

LOGIN_HOME_VARIABLE = "GPURENT_LOGIN_HOME"
"""The HOME that start files have set, where it is another one; `RESTORE_HOME` gives it back to the user's commands."""
RESTORE_HOME = (
    f'if [ -n "${{{LOGIN_HOME_VARIABLE}-}}" ]; then HOME=${LOGIN_HOME_VARIABLE}; export HOME; '
    f"unset {LOGIN_HOME_VARIABLE}; fi"
)


def _make_line(user: str, program: str, script: Sequence[str], text: str = "", token: str = "") -> str:
    """Return the line that runs ``program``, with ``script`` (its words) in its variable gs and ``text`` in gi."""
    more = _split_words(text)
    for name, value in (("count", str(len(script))), ("user", user), ("head", _MARK_HEAD), ("token", token)):
        program = program.replace(f"@{name}@", value)
    quoted = " ".join(f"'{word}'" for word in (*script, *more))
    return f"exec /bin/sh -c '{program}' gpurent {quoted}"


def _split_words(text: str) -> list[str]:
    """Return ``text`` as words that ``printf %b`` decodes, for single quotes of any shell.

    None ends in a backslash: fish would take the quote behind it away.
    """
    encoded = _UNSAFE.sub(_escape_byte, text.encode("utf-8", "surrogateescape")).decode()
    words, at = [], 0
    while at < len(encoded):
        end = at + _MAX_WORD
        while encoded[at:end].endswith("\\"):
            end -= 1
        words.append(encoded[at:end])
        at = end
    return words


def _escape_byte(found: re.Match[bytes]) -> bytes:
    return b"\\n" if found[0] == b"\n" else b"\\0%03o" % found[0][0]


def make_terminal_line(user: str, script: str) -> TerminalLine:
    """Return the line for a terminal: ``script`` takes the shell's place, in the home folder."""
    line = _make_line(
        user, f'{_JOIN}{_ENTER_HOME}cd "$HOME"; {_TELL_TERMINAL}{_BECOME}', _split_words(script)
    )
    return TerminalLine(line, _TERMINAL_MARK)


@frozen
class ShellStream:
    """A script whose stdin and stdout carry a protocol of its own.

    ``line`` is for the login shell. ``preamble`` is to be sent first, without waiting for anything; in what is
    received, everything up to ``mark`` is noise.
    """

    line: str
    preamble: bytes
    mark: bytes


def make_shell_stream(user: str, script: str) -> ShellStream:
    """Return ``script`` as a stream; ``user``: the login name, as in an `Endpoint`.

    The same arguments give the same stream, so that one can be started before it is needed.
    """
    line = _make_line(
        user, f"{_JOIN}{_ENTER_HOME}{_BEGIN}{_SKIP_DECOYS}{_BECOME}", _split_words(script), token=_STREAM
    )
    mark = f"{_MARK_HEAD}-{_STREAM}\n".encode()
    return ShellStream(line, _DECOYS + mark, b"\n" + mark)


@define
class DoorOutput:
    """One of the two output streams of a script: what comes before its mark is noise, what comes after it is dropped.

    ``exit_status``: None until the mark at the end.
    """

    _mark: bytes
    noise: bytes = b""
    data: bytearray = field(factory=bytearray)
    is_begun: bool = False
    exit_status: int | None = None

    @property
    def has_ended(self) -> bool:
        return self.exit_status is not None

    @property
    def is_too_large(self) -> bool:
        """Whether there is more output, or more noise, than is accepted."""
        most = MAX_OUTPUT_BYTES if self.has_ended else MAX_OUTPUT_BYTES + len(self._mark) + 8
        return len(self.data) > most or len(self.noise) > _MAX_NOISE_BYTES

    def feed(self, data: bytes) -> None:
        if self.has_ended:
            return
        if not self.is_begun:
            before, mark, data = (self.noise + data).partition(b"\n" + self._mark + b"\n")
            self.noise, self.is_begun = before, bool(mark)
        start = max(0, len(self.data) - len(self._mark) - 8)
        self.data += data
        if found := re.compile(rb"\n" + self._mark + rb" (\d{1,3})\n").search(self.data, start):
            self.exit_status = int(found[1])
            del self.data[found.start() :]


@define
class DoorRun:
    """One script that runs to its end: its ``line``, and its output, which is fed as it arrives.

    ``stdin`` is to be sent once ``out`` has begun; what a start file reads before that is `decoy`. Empty: send the end.
    """

    line: str
    stdin: bytes = field(repr=False)
    out: DoorOutput
    err: DoorOutput

    decoy = b"\n"

    @property
    def has_ended(self) -> bool:
        return self.out.has_ended and self.err.has_ended

    @property
    def said(self) -> ForeignText:
        """What was printed before the script began, on one line: the login shell's own words."""
        seen = b"\n".join(part.noise[-_MAX_SHOWN_BYTES:].strip() for part in (self.out, self.err))
        return ForeignText(" ".join(seen.decode("utf-8", "replace").split()))


def make_run(user: str, script: str, text: str | Secret = "") -> DoorRun:
    """Return a run of ``script`` that reads ``text`` as its stdin; ``user``: the login name, as in an `Endpoint`.

    What does not fit into a line, one of the two, is sent over stdin, behind a mark; so is a secret, since every user
    of the machine can read the line.
    """
    is_secret = isinstance(text, Secret)
    text = text.reveal() if isinstance(text, Secret) else text
    token = os.urandom(4).hex()
    mark = f"{_MARK_HEAD}-{token}".encode()
    given, sent = text.encode("utf-8", "surrogateescape"), b""
    how, words = _RUN_WITH_INPUT if text else _RUN, _split_words(script)
    if given and (is_secret or len(given) > _MAX_INPUT_BYTES or b"\0" in given):
        how, sent, text = _SKIP_DECOYS + _RUN, given, ""
    elif sum(map(len, words)) > _MAX_SCRIPT_LENGTH:
        how, sent, words = _SKIP_DECOYS + _READ_SCRIPT + how, script.encode("utf-8", "surrogateescape"), []
    line = _make_line(user, _JOIN + _ENTER_HOME + _BEGIN + how + _END, words, text, token)
    return DoorRun(line, mark + b"\n" + sent if sent else b"", DoorOutput(mark), DoorOutput(mark))
