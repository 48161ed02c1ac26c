"""How busy a machine is: the guard's probe, which also measures the results, and the probe of live views."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from attrs import frozen

from gpurent.remote.nvidia_smi import LOAD_QUERY, parse_loads
from gpurent.remote.shell import fill_template, probe_command, split_after_marks
from gpurent.terminal_text import strip_terminal

_GUARD_MARK = "gpurent-guard"
# In a container, /proc/stat is the host's, so prefer its own cgroup if there is one.
_GUARD_SCRIPT = r"""
echo @mark@
echo "now $(date +%s)"
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
used=$(awk '$1 == "usage_usec" {print $2}' /sys/fs/cgroup/cpu.stat 2>/dev/null)
if [ -n "$used" ]; then
  awk -v used="$used" -v cores="$cores" '{printf "cpu %.0f %.0f\n", used / 10000, $1 * 100 * cores}' /proc/uptime
else
  awk '/^cpu / {busy = $2 + $3 + $4 + $7 + $8 + $9; printf "cpu %.0f %.0f\n", busy, busy + $5 + $6}' /proc/stat
fi 2>/dev/null
if has nvidia-smi; then @loads@ | sed 's/^/gpu /'; fi
for log in "$HOME"/.gpurent/jobs/*/log; do
  [ -f "$log" ] && echo "output $(stat -c %Y "$log" 2>/dev/null)"
done
@results@
true
"""
_RESULT_SCRIPT = """
if [ -e "$HOME"/@path@ ]; then
  echo "result @number@ $(du -sbL -- "$HOME"/@path@ 2>/dev/null | awk '{print $1; exit}')"
fi
"""


@frozen(kw_only=True)
class GuardSample:
    """``last_output`` (when a session last wrote output) and ``machine_time`` are in seconds of the machine's clock.

    ``cpu_ticks`` (busy, total) are hundredths of a second; ``gpu_load`` is the percentage of the busiest GPU.
    ``result_sizes`` are bytes by index of the requested paths, without results that do not exist. None: not reported.
    """

    machine_time: int | None = None
    last_output: int | None = None
    gpu_load: int | None = None
    cpu_ticks: tuple[int, int] | None = None
    result_sizes: dict[int, int]


def guard_sample_command(results: Sequence[str]) -> str:
    """Return the shell command. ``results``: paths relative to the home folder."""
    asked = [
        fill_template(_RESULT_SCRIPT, path=shlex.quote(path), number=number)
        for number, path in enumerate(results)
    ]
    return probe_command(
        _GUARD_SCRIPT, name="guard", mark=_GUARD_MARK, loads=LOAD_QUERY, results="".join(asked)
    )


def parse_guard_sample(output: str) -> GuardSample:
    """Parse what is recognized in ``output``; ignore the rest."""
    text = (split_after_marks(output, _GUARD_MARK) or [""])[0]
    written = [int(at) for at in re.findall(r"^output (\d{1,12})$", text, re.MULTILINE)]
    ticks = re.findall(r"^cpu (\d{1,18}) (\d{1,18})$", text, re.MULTILINE)
    loads = parse_loads("\n".join(re.findall(r"^gpu (.*)$", text, re.MULTILINE)))
    sizes = re.findall(r"^result (\d{1,6}) (\d{0,18})$", text, re.MULTILINE)
    now = re.findall(r"^now (\d{1,12})$", text, re.MULTILINE)
    return GuardSample(
        machine_time=int(now[-1]) if now else None,
        last_output=max(written, default=None),
        gpu_load=max(loads, default=None),
        cpu_ticks=(int(ticks[-1][0]), int(ticks[-1][1])) if ticks else None,
        result_sizes={int(number): int(size or 0) for number, size in sizes},
    )


def compute_cpu_load(before: tuple[int, int] | None, after: tuple[int, int] | None) -> int | None:
    """Return the load of all CPUs between two samples in percent; None if they cannot be compared."""
    if before is None or after is None or after[1] <= before[1] or after[0] < before[0]:
        return None
    return min(100, 100 * (after[0] - before[0]) // (after[1] - before[1]))


MAX_LOG_LINES = 8
MAX_LINE_LENGTH = 300
_VIEW_MARK = "gpurent-glimpse"
# Prints the load of each GPU, then the end of the newest job log.
_VIEW_SCRIPT = r"""
echo @mark@
has nvidia-smi && @loads@
echo @mark@
log=$(ls -t "$HOME"/.gpurent/jobs/*/log 2>/dev/null | head -n 1)
[ -n "$log" ] && tail -c 4000 "$log"
true
"""


def view_sample_command() -> str:
    return probe_command(_VIEW_SCRIPT, name="sample", mark=_VIEW_MARK, loads=LOAD_QUERY)


def parse_view_sample(output: str) -> tuple[int | None, tuple[str, ...]]:
    """Return the mean load of all GPUs (percent, None without one) and the last log lines, safe to display.

    Of a line with carriage returns, only the visible last part is returned.
    """
    parts = split_after_marks(output, _VIEW_MARK, 2)
    if parts is None:
        return None, ()
    loads = parse_loads(parts[0])
    seen = (line.rstrip("\r").rpartition("\r")[2] for line in parts[1].split("\n"))
    lines = [strip_terminal(line)[:MAX_LINE_LENGTH].rstrip() for line in seen]
    return round(sum(loads) / len(loads)) if loads else None, tuple([x for x in lines if x][-MAX_LOG_LINES:])
