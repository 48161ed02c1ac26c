"""The far side of the examination: a POSIX sh script, with the Python program for the convolution on its stdin.

Every tool runs by itself under a time limit, and nothing is ever waited for: a process that hangs in a broken driver
cannot be killed, and that is a finding too. Each answer stands in a frame; ``read`` believes nothing outside of them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from gpurent.remote import machine_facts as survey

TOOL = 20
CONVOLUTION = 150
TIMEOUT = 12 * TOOL + CONVOLUTION + 60.0
LARGEST = 512 * 1024
LAST_WORDS = 6000
_MARK = "gpurent-doctor:"

# $1: seconds for a tool, $2: for the convolution, $3: MiB to write, $4: the survey's command, rest: Pythons, the job's
# own first.
_SCRIPT = r"""
LC_ALL=C; export LC_ALL
tool=$1 long=$2 write=$3 survey=$4; shift 4
PATH=$PATH:/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/sbin:/sbin; export PATH
has() { command -v "$1" >/dev/null 2>&1; }
say() { printf '\n@mark@begin %s\n%s\n@mark@end %s 0\n' "$1" "$2" "$1"; }
umask 077
disk=yes
room=$(mktemp -d "$HOME/.gpurent-doctor.XXXXXX" 2>/dev/null) || { disk=no; room=$(mktemp -d) || exit 1; }
trap 'rm -rf "$room"' EXIT
trap 'exit 1' HUP INT TERM
apart=; if has setsid; then apart=setsid; fi
limited() {
  name=$1 last=$(($(date +%s) + $2)) end=; shift 2
  rm -f "$room/status" "$room/out" "$room/err"
  $apart sh -c 'room=$1; shift; "$@" >"$room/out" 2>"$room/err" </dev/null
    echo $? >"$room/status.new"; mv "$room/status.new" "$room/status"' sh "$room" "$@" >/dev/null 2>&1 </dev/null &
  pid=$!
  while [ ! -s "$room/status" ]; do
    if [ "$(date +%s)" -ge "$last" ]; then
      kill -9 "-$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null
      end=hangs; break
    fi
    sleep 0.1 2>/dev/null || sleep 1
  done
  printf '\n@mark@begin %s\n' "$name"
  head -c @largest@ "$room/out" 2>/dev/null
  printf '\n@mark@err %s\n' "$name"
  tail -c @words@ "$room/err" 2>/dev/null
  printf '\n@mark@end %s %s\n' "$name" "${end:-$(cat "$room/status")}"
}
cat >"$room/convolution.py"
if has nvidia-smi; then
  limited smi-xml "$tool" nvidia-smi -q -x
  limited smi "$tool" nvidia-smi
  limited smi-csv "$tool" nvidia-smi --format=csv --query-gpu=@fields@
fi
limited survey "$((3 * tool))" sh -c "$survey"
say module "$(head -n 1 /proc/driver/nvidia/version 2>/dev/null)"
say nodes "$(ls /dev/nvidia[0-9]* 2>/dev/null | grep -c .)"
say bus "$(cat /sys/bus/pci/devices/*/uevent 2>/dev/null | grep -A 1 '^PCI_CLASS=30[02]..$' | grep -c '^PCI_ID=10DE:')"
if has ldconfig; then say libraries "$(ldconfig -p 2>/dev/null | grep -o 'libcudnn\.so\.[0-9.]* .*' | head -n 20)"; fi
for file in /usr/include/cudnn_version.h /usr/include/cudnn.h /usr/local/cuda/include/cudnn_version.h \
  /usr/local/cuda/include/cudnn.h /usr/include/x86_64-linux-gnu/cudnn_version.h; do
  if grep -q '^#define CUDNN_MAJOR' "$file" 2>/dev/null; then
    say header "$(sed -n 's/^#define CUDNN_\(MAJOR\|MINOR\|PATCHLEVEL\) *\([0-9]*\).*/\2/p' "$file" | head -n 3)"
    break
  fi
done
say home "$disk"
[ "$disk" = no ] || [ "$write" = 0 ] ||
  limited write "$tool" dd if=/dev/zero of="$room/zeros" bs=1048576 count="$write" conv=fdatasync
rm -f "$room/zeros"
chosen=
for python in "$@"; do
  has "$python" || continue
  limited "which $python" "$tool" "$python" -c 'import sys; from importlib import util
print(sys.version_info[:2] >= (3, 6) and next((n for n in ("torch", "tensorflow") if util.find_spec(n)), "") or "none")'
  found=$(head -n 1 "$room/out" 2>/dev/null)
  if [ "$found" = torch ] || [ "$found" = tensorflow ]; then
    limited "convolution $python" "$long" "$python" "$room/convolution.py" "$found"
    chosen=$python; break
  fi
done
say end "${chosen:-none}"
"""

FIELDS = (
    "name",
    "driver_version",
    "memory.total",
    "memory.used",
    "utilization.gpu",
    "ecc.errors.uncorrected.volatile.total",
)
_NAME = r"[a-z][a-z-]{0,20}(?: [A-Za-z0-9_./~-]{1,200})?"
_BEGIN = re.compile(rf"{_MARK}begin ({_NAME})", re.ASCII)
_END = re.compile(rf"{_MARK}end ({_NAME}) (\d{{1,3}}|hangs)", re.ASCII)


@frozen
class Section:
    """What one tool said. ``status`` is its exit status, None: it did not end in its time."""

    status: int | None
    out: str
    err: str = ""

    @property
    def hangs(self) -> bool:
        return self.status is None


def command(
    pythons: Sequence[str], *, data: str = "", write: int = 64, tool: int = TOOL, long: int = CONVOLUTION
) -> str:
    """The shell command. Its input is `program`. ``write``: MiB to try the disk with, 0: leave it alone."""
    script = (
        _SCRIPT.replace("@mark@", _MARK)
        .replace("@fields@", ",".join(FIELDS))
        .replace("@largest@", str(LARGEST // 2))
        .replace("@words@", str(LAST_WORDS))
    )
    arguments = (str(tool), str(long), str(write), survey.command(data), *pythons)
    return f"sh -c {shlex.quote(script)} doctor {shlex.join(arguments)}"


def program() -> str:
    """The Python program that makes the convolution; runs on 3.6 and later, knows only its framework."""
    return Path(__file__).with_name("convolution.py").read_text("utf-8")


def read(output: str) -> Mapping[str, Section]:
    """The frames of ``output``; the first of a name counts, one without its end is left out. Never fails."""
    found: dict[str, Section] = {}
    name, streams, lines = "", [], list[str]()
    for line in output.split("\n"):
        if begin := _BEGIN.fullmatch(line):
            name, lines = begin[1], []
            streams = [lines]
        elif name and line == f"{_MARK}err {name}" and len(streams) == 1:
            lines = []
            streams.append(lines)
        elif name and (end := _END.fullmatch(line)) and end[1] == name:
            out, err = (*("\n".join(stream).strip() for stream in streams), "")[:2]
            found.setdefault(name, Section(None if end[2] == "hangs" else int(end[2]), out, err))
            name = ""
        else:
            lines.append(line)
    return found


def whole(sections: Mapping[str, Section]) -> bool:
    """Whether the script came to its end."""
    return "end" in sections
