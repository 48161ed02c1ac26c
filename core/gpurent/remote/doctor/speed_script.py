"""The remote part of ``doctor --perf``: a POSIX shell script that measures GPUs with PyTorch, and the disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gpurent.remote.doctor.script import MAX_OUTPUT_BYTES, MAX_STDERR_BYTES, RUNNER, TOOL_TIMEOUT
from gpurent.remote.nvidia_smi import XML_QUERY
from gpurent.remote.shell import ProbeSection, parse_sections, probe_command

SPEED_TIMEOUT = 120
LOAD_SECONDS = 5
DISK_TIMEOUT = 40
PERFORMANCE_TIMEOUT = SPEED_TIMEOUT + 4 * DISK_TIMEOUT + 6 * TOOL_TIMEOUT + 30.0
_MARK = "gpurent-performance:"

# $1: seconds for a tool, $2: for the GPUs, $3: under load, $4: for a disk, $5: MiB to write, $6: the Python program,
# $7: the folder for large files, rest: Pythons, the job's own first.
_SCRIPT = r"""
tool=$1 long=$2 load=$3 slow=$4 write=$5 program=$6 data=$7; shift 7
PATH=$PATH:/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/sbin:/sbin; export PATH
@runner@
printf '%s' "$program" > "$room/speed.py"
chosen=none
for python in "$@"; do
  has "$python" || continue
  limited "which $python" "$tool" "$python" -c 'import sys; from importlib import util
print("torch" if sys.version_info[:2] >= (3, 6) and util.find_spec("torch") else "none")'
  [ "$(head -n 1 "$room/out" 2>/dev/null)" = torch ] || continue
  limited "speed $python" "$long" "$python" "$room/speed.py" "$load" "$room/load.xml"
  chosen=$python
  break
done
if [ -s "$room/load.xml" ]; then limited smi-load "$tool" cat "$room/load.xml"
elif has nvidia-smi; then limited smi-idle "$tool" @xml@; fi
for place in "$HOME" "$data"; do
  [ -d "$place" ] || continue
  space=$(df -Pk "$place" 2>/dev/null | awk 'NR == 2 {print $4, $2}')
  case $place in "$HOME") name=home ;; *) name=data ;; esac
  say "space $name" "$space"
  [ "$write" != 0 ] && [ "${space%% *}" -ge $((write * 4096)) ] 2>/dev/null || continue
  folder=$(mktemp -d "$place/.gpurent-doctor.XXXXXX" 2>/dev/null) || continue
  trap 'rm -rf "$room" "$folder"' EXIT
  fill "write $name" "$slow" "$folder/zeros" "$write"
  limited "read $name" "$slow" dd if="$folder/zeros" of=/dev/null bs=1048576 iflag=direct
  rm -rf "$folder"
done
say end "$chosen"
"""


def performance_command(
    pythons: Sequence[str],
    *,
    data: str = "",
    write_mib: int = 1024,
    load_seconds: int = LOAD_SECONDS,
    tool_timeout: int = TOOL_TIMEOUT,
    speed_timeout: int = SPEED_TIMEOUT,
    disk_timeout: int = DISK_TIMEOUT,
) -> str:
    """Return the shell command. ``write_mib``: MiB to write and read on each disk, 0 for none."""
    limits = (tool_timeout, speed_timeout, load_seconds, disk_timeout, write_mib)
    return probe_command(
        _SCRIPT.replace("@runner@", RUNNER),
        *(*map(str, limits), _read_program(), data or "/data", *pythons),
        name="doctor",
        mark=_MARK,
        largest=MAX_OUTPUT_BYTES // 2,
        words=MAX_STDERR_BYTES,
        xml=XML_QUERY,
    )


def _read_program() -> str:
    return Path(__file__).with_name("speed.py").read_text("utf-8")


def parse_performance_output(output: str) -> Mapping[str, ProbeSection]:
    """Return the sections of ``output`` by name; "end" is the last one. Never fails."""
    return parse_sections(output, _MARK)
