"""The facts about a machine: the probe, and a parser that accepts only strictly matching output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from gpurent.domain.machine_facts import DiskSpace, Gpu, MachineFacts, PythonInterpreter
from gpurent.remote.nvidia_smi import CARD_PATTERN, CARD_QUERY
from gpurent.remote.shell import iter_marked_lines, probe_command

FACTS_TIMEOUT = 90.0
MAX_OUTPUT_CHARS = 64 * 1024
MAX_ROWS = 64
_MARK = "gpurent-found:"

# Each fact is on its own line after the marker. $1 is the data folder.
_SCRIPT = r"""
say() { printf '@mark@%s %s\n' "$1" "$2"; }
soon() { if has timeout; then timeout 15 "$@"; else "$@"; fi; }
room() { df -Pk "$2" 2>/dev/null | awk -v what="@mark@$1" 'END { if (NF >= 6) print what, $4, $2 }'; }
say user "$(id -un 2>/dev/null)"
if [ "$(id -u 2>/dev/null)" = 0 ]; then say sudo root
elif has sudo; then
  if soon sudo -n true </dev/null >/dev/null 2>&1; then say sudo passwordless; else say sudo password; fi
fi
say system "$( (. /etc/os-release; echo "$PRETTY_NAME") 2>/dev/null || uname -sr)"
say cpus "$(nproc 2>/dev/null)"
awk '/^MemTotal:/ { print "@mark@memory", int($2 / 1024) }' /proc/meminfo 2>/dev/null
for name in python3 python python2 "$HOME/miniconda3/bin/python" "$HOME/anaconda3/bin/python" \
  /opt/conda/bin/python /usr/local/bin/python; do
  has "$name" || continue
  say python "$name $(soon "$name" --version 2>&1 </dev/null | sed -n 's/^Python \([0-9.]*\).*/\1/p')"
done
for name in apt-get dnf yum apk zypper pacman; do
  if has "$name"; then say packages "$name"; break; fi
done
if has nvcc; then
  say cuda "$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
elif [ -r /usr/local/cuda/version.json ]; then
  say cuda "$(sed -n '/"cuda"/,/}/s/.*"version"[^0-9]*\([0-9.]*\).*/\1/p' /usr/local/cuda/version.json)"
elif [ -r /usr/local/cuda/version.txt ]; then
  say cuda "$(sed -n 's/.*Version \([0-9.]*\).*/\1/p' /usr/local/cuda/version.txt)"
fi
if has nvidia-smi; then
  soon @query@ | while IFS= read -r line; do say card "$line"; done
fi
room home "$HOME"
if [ -d "$1" ]; then room data "$1"; fi
say end ok
"""

_VERSION = r"\d{1,4}(?:\.\d{1,6}){1,3}"
_FACT_PATTERNS = {
    "user": r"([A-Za-z_][A-Za-z0-9_.-]{0,31})",
    "sudo": r"(root|passwordless|password)",
    "system": r"([A-Za-z0-9][A-Za-z0-9 .,()/_-]{0,79})",
    "cpus": r"(\d{1,5})",
    "memory": r"(\d{1,10})",
    "python": rf"((?:/[A-Za-z0-9_.-]+)+|python[23]?) ({_VERSION})",
    "packages": r"([a-z-]{2,16})",
    "cuda": rf"({_VERSION})",
    "card": CARD_PATTERN,
    "home": r"(\d{1,18}) (\d{1,18})",
    "data": r"(\d{1,18}) (\d{1,18})",
    "end": r"(ok)",
}


def facts_command(data: str) -> str:
    """Return the shell command; ``data`` is the provider's folder for large files, empty if it names none."""
    return probe_command(_SCRIPT, data or "/data", name="survey", mark=_MARK, query=CARD_QUERY)


def parse_facts(output: str, at: datetime, data: str = "") -> MachineFacts:
    """Parse what matches in ``output``; the first value of a fact counts. Never fails."""
    facts: dict[str, list[tuple[str, ...]]] = {}
    for name, parts in _iter_facts(output[:MAX_OUTPUT_CHARS]):
        facts.setdefault(name, []).append(parts)
    cards = facts.get("card", [])[:MAX_ROWS]

    def word(name: str) -> str:
        return facts[name][0][0] if name in facts else ""

    return MachineFacts(
        at=at,
        user=word("user"),
        sudo=word("sudo"),
        system=word("system").strip(),
        cpus=int(word("cpus") or 0),
        memory=int(word("memory") or 0),
        pythons=_parse_pythons(facts.get("python", [])),
        cuda=word("cuda"),
        driver=cards[0][0] if cards else "",
        gpus=tuple(Gpu(name=name.strip(), memory=int(memory)) for _driver, memory, name in cards),
        home=_parse_space(facts.get("home"), "~"),
        data=_parse_space(facts.get("data"), data or "/data"),
        package_manager=word("packages"),
    )


def is_facts_output_complete(output: str) -> bool:
    """Return whether the script ran to its end."""
    return any(line == "end ok" for line in iter_marked_lines(output[:MAX_OUTPUT_CHARS], _MARK))


def _iter_facts(output: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in iter_marked_lines(output, _MARK):
        name, _, value = line.partition(" ")
        form = _FACT_PATTERNS.get(name)
        match = re.fullmatch(form, value.strip(" "), re.ASCII) if form and len(value) <= 200 else None
        if match is not None:
            yield name, match.groups()


def _parse_pythons(rows: Sequence[tuple[str, ...]]) -> tuple[PythonInterpreter, ...]:
    found: dict[str, PythonInterpreter] = {}
    for name, version in rows[:MAX_ROWS]:
        found.setdefault(name, PythonInterpreter(name=name, version=version))
    return tuple(found.values())


def _parse_space(rows: Sequence[tuple[str, ...]] | None, path: str) -> DiskSpace | None:
    if not rows:
        return None
    free, total = (int(value) * 1024 for value in rows[0])
    return DiskSpace(path=path, free=free, total=total) if free <= total else None
