"""Shell templates and commands, and the common form of all probes of a machine.

A probe is one POSIX shell script, and only marked parts of its output are read, because a machine's start files may
print before, between and after them. The output is untrusted: parsing it never fails.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from attrs import frozen


def fill_template(template: str, **parts: str | int) -> str:
    """Replace each ``@name@`` in ``template`` in one pass, so that values are not expanded again."""
    return re.sub("@([a-z]+)@", lambda mark: str(parts[mark[1]]), template)


def sh_command(script: str, *arguments: str, name: str = "gpurent") -> str:
    """Return a command that runs ``script`` with sh, whatever the login shell. ``name`` prefixes sh's own errors."""
    return " ".join(["sh -c", shlex.quote(script), name, *map(shlex.quote, arguments)])


# The start of every probe.
_PRELUDE = r"""
LC_ALL=C; export LC_ALL
has() { command -v "$1" >/dev/null 2>&1; }
"""
_NAME = r"[a-z][a-z-]{0,20}(?: [A-Za-z0-9_./~-]{1,200})?"


def probe_command(script: str, *arguments: str, name: str = "gpurent", **parts: str | int) -> str:
    """Return the command of a probe: ``script`` with ``parts`` filled in, and with ``arguments`` as $1 and so on."""
    return sh_command(_PRELUDE + fill_template(script, **parts), *arguments, name=name)


def iter_marked_lines(output: str, mark: str) -> Iterator[str]:
    """Yield the rest of each line that begins with ``mark``."""
    for line in output.split("\n"):
        if line.startswith(mark):
            yield line.removeprefix(mark).rstrip("\r")


def split_after_marks(output: str, mark: str, count: int = 1) -> list[str] | None:
    """Return the ``count`` parts that follow a line ``mark`` each; None if a marker is missing."""
    parts = output.split(f"{mark}\n", count)
    return parts[1:] if len(parts) > count else None


@frozen
class ProbeSection:
    """The output of one tool. ``exit_status`` is None if it did not end within its time limit."""

    exit_status: int | None
    stdout: str
    stderr: str = ""

    @property
    def timed_out(self) -> bool:
        return self.exit_status is None


def parse_sections(output: str, mark: str) -> Mapping[str, ProbeSection]:
    """Parse framed output: lines ``begin NAME``, ``err NAME`` and ``end NAME STATUS``, each after ``mark``.

    The first section of a name counts; one without its end is ignored.
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
