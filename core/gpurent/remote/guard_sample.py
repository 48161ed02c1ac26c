"""One command that says how busy a machine is and how much its results weigh, and what it printed, read back."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from attrs import frozen

# A container sees its host's /proc/stat; its own control group, where there is one, knows better.
_LOOK = r"""
echo "now $(date +%s)"
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
used=$(awk '$1 == "usage_usec" {print $2}' /sys/fs/cgroup/cpu.stat 2>/dev/null)
if [ -n "$used" ]; then
  awk -v used="$used" -v cores="$cores" '{printf "cpu %.0f %.0f\n", used / 10000, $1 * 100 * cores}' /proc/uptime
else
  awk '/^cpu / {busy = $2 + $3 + $4 + $7 + $8 + $9; printf "cpu %.0f %.0f\n", busy, busy + $5 + $6}' /proc/stat
fi 2>/dev/null
if command -v nvidia-smi >/dev/null 2>&1; then
  nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null |
    awk '$1 ~ /^[0-9]+$/ {if ($1 + 0 >= most) most = $1 + 0; any = 1} END {if (any) print "gpu", most}'
fi
for log in "$HOME"/.gpurent/jobs/*/log; do
  [ -f "$log" ] && echo "output $(stat -c %Y "$log" 2>/dev/null)"
done
"""
_RESULT = """
if [ -e "$HOME"/@path@ ]; then
  echo "result @number@ $(du -sbL -- "$HOME"/@path@ 2>/dev/null | awk '{print $1; exit}')"
fi
"""


@frozen(kw_only=True)
class Reading:
    """``wrote``: when a session last wrote, ``now``: both in the machine's own seconds; ``ticks`` (busy, all) in
    hundredths; ``there`` the results' places in the order of asking, with their sizes in bytes. None: it did not say.
    """

    now: int | None = None
    wrote: int | None = None
    gpu: int | None = None
    ticks: tuple[int, int] | None = None
    there: dict[int, int]


def script(results: Sequence[str]) -> str:
    """``results``: paths relative to the home."""
    parts = [
        _RESULT.replace("@path@", shlex.quote(path)).replace("@number@", str(number))
        for number, path in enumerate(results)
    ]
    return "".join((_LOOK, *parts, "true\n"))


def read(output: str) -> Reading:
    """Whatever else a machine's start files print is passed over."""
    written = [int(at) for at in re.findall(r"^output (\d{1,12})$", output, re.MULTILINE)]
    ticks = re.findall(r"^cpu (\d{1,18}) (\d{1,18})$", output, re.MULTILINE)
    gpu = _last(output, r"gpu (\d{1,3})")
    sizes = re.findall(r"^result (\d{1,6}) (\d{0,18})$", output, re.MULTILINE)
    return Reading(
        now=_last(output, r"now (\d{1,12})"),
        wrote=max(written, default=None),
        gpu=gpu,
        ticks=(int(ticks[-1][0]), int(ticks[-1][1])) if ticks else None,
        there={int(number): int(size or 0) for number, size in sizes},
    )


def _last(output: str, pattern: str) -> int | None:
    found = re.findall(rf"^{pattern}$", output, re.MULTILINE)
    return int(found[-1]) if found else None


def load(before: tuple[int, int] | None, after: tuple[int, int] | None) -> int | None:
    """Percent of all processors between two looks; None when they cannot be compared."""
    if before is None or after is None or after[1] <= before[1] or after[0] < before[0]:
        return None
    return min(100, 100 * (after[0] - before[0]) // (after[1] - before[1]))
