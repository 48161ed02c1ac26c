"""How busy a machine is: the guard's probe, which weighs the results too, and the probe of live views."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from attrs import frozen

from gpurent.domain.terminal_text import strip_terminal
from gpurent.remote.nvidia_smi import LOAD_QUERY, parse_loads
from gpurent.remote.shell import fill_template, probe_command, split_after_marks

_GUARD_MARK = "gpurent-guard"
# A container sees its host's /proc/stat; its own control group, where there is one, knows better.
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
    """``last_output``: when a session last wrote, ``machine_time``: both in the machine's own seconds.

    ``cpu_ticks`` (busy, all) in hundredths; ``gpu_load``: percent of the busiest one; ``result_sizes`` in bytes, by
    the results' places in the order of asking; a result that is not there is left out. None: the machine did not say.
    """

    machine_time: int | None = None
    last_output: int | None = None
    gpu_load: int | None = None
    cpu_ticks: tuple[int, int] | None = None
    result_sizes: dict[int, int]


def guard_sample_command(results: Sequence[str]) -> str:
    """The shell command. ``results``: paths relative to the home."""
    asked = [
        fill_template(_RESULT_SCRIPT, path=shlex.quote(path), number=number)
        for number, path in enumerate(results)
    ]
    return probe_command(
        _GUARD_SCRIPT, name="guard", mark=_GUARD_MARK, loads=LOAD_QUERY, results="".join(asked)
    )


def parse_guard_sample(output: str) -> GuardSample:
    """What of ``output`` is known; anything else is passed over."""
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
    """Percent of all processors between two looks; None when they cannot be compared."""
    if before is None or after is None or after[1] <= before[1] or after[0] < before[0]:
        return None
    return min(100, 100 * (after[0] - before[0]) // (after[1] - before[1]))


MAX_LOG_LINES = 8
MAX_LINE_LENGTH = 300
_VIEW_MARK = "gpurent-glimpse"
# The load of each GPU, then the newest log among the jobs'.
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
    """The load (percent, the mean of all GPUs, None without one) and the log's last lines, safe to be shown.

    Of a line that was drawn over, only what is to be seen.
    """
    parts = split_after_marks(output, _VIEW_MARK, 2)
    if parts is None:
        return None, ()
    loads = parse_loads(parts[0])
    seen = (line.rstrip("\r").rpartition("\r")[2] for line in parts[1].split("\n"))
    lines = [strip_terminal(line)[:MAX_LINE_LENGTH].rstrip() for line in seen]
    return round(sum(loads) / len(loads)) if loads else None, tuple([x for x in lines if x][-MAX_LOG_LINES:])
