"""Shell texts: how they are filled in and become commands; and the form that every probe of a machine has.

A probe is one POSIX sh script, and an answer of which only marked parts are read: a machine's start files may print
before, between and behind them. The answer is hostile: nothing here ever fails.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from attrs import frozen


def fill_template(template: str, **parts: str | int) -> str:
    """``template`` with each ``@name@`` replaced, in one pass: a value that looks like a mark stays what it is."""
    return re.sub("@([a-z]+)@", lambda mark: str(parts[mark[1]]), template)


def sh_command(script: str, *arguments: str, name: str = "gpurent") -> str:
    """Run ``script`` by sh, whatever the user's own shell is. ``name`` stands before what sh itself complains of."""
    return " ".join(["sh -c", shlex.quote(script), name, *map(shlex.quote, arguments)])


# Each probe begins with it.
_PRELUDE = r"""
LC_ALL=C; export LC_ALL
has() { command -v "$1" >/dev/null 2>&1; }
"""
_NAME = r"[a-z][a-z-]{0,20}(?: [A-Za-z0-9_./~-]{1,200})?"


def probe_command(script: str, *arguments: str, name: str = "gpurent", **parts: str | int) -> str:
    """The shell command of one probe: ``script`` with ``parts`` filled in, given ``arguments`` as $1 and so on."""
    return sh_command(_PRELUDE + fill_template(script, **parts), *arguments, name=name)


def iter_marked_lines(output: str, mark: str) -> Iterator[str]:
    """Of each line that begins with ``mark``, the rest."""
    for line in output.split("\n"):
        if line.startswith(mark):
            yield line.removeprefix(mark).rstrip("\r")


def split_after_marks(output: str, mark: str, count: int = 1) -> list[str] | None:
    """The ``count`` parts that each follow a line which is ``mark``; None when a mark is missing."""
    parts = output.split(f"{mark}\n", count)
    return parts[1:] if len(parts) > count else None


@frozen
class ProbeSection:
    """What one tool printed. ``exit_status`` is its exit status, None: it did not end in its time."""

    exit_status: int | None
    stdout: str
    stderr: str = ""

    @property
    def timed_out(self) -> bool:
        return self.exit_status is None


def parse_sections(output: str, mark: str) -> Mapping[str, ProbeSection]:
    """Framed answers, ``begin NAME``, ``err NAME`` and ``end NAME STATUS`` each behind ``mark``.

    The first of a name counts; one without its end is left out.
    """
    begin_line = re.compile(rf"{mark}begin ({_NAME})", re.ASCII)
    end_line = re.compile(rf"{mark}end ({_NAME}) (\d{{1,3}}|hangs)", re.ASCII)
    found: dict[str, ProbeSection] = {}
    name, streams, lines = "", [], list[str]()
    for line in output.split("\n"):
        if begin := begin_line.fullmatch(line):
            name, lines = begin[1], []
            streams = [lines]
        elif name and line == f"{mark}err {name}" and len(streams) == 1:
            lines = []
            streams.append(lines)
        elif name and (end := end_line.fullmatch(line)) and end[1] == name:
            out, err = (*("\n".join(stream).strip() for stream in streams), "")[:2]
            found.setdefault(name, ProbeSection(None if end[2] == "hangs" else int(end[2]), out, err))
            name = ""
        else:
            lines.append(line)
    return found
