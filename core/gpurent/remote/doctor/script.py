"""The remote part of the examination: a POSIX shell script, with the Python program for the convolution on stdin.

Every tool runs on its own with a time limit, and nothing is waited for beyond it: a process that hangs in a broken
driver cannot be killed, and that is a finding, too. Each tool's output is framed by markers; anything outside is
ignored. Measurements that need both ends are below: the clock offset and the connection's throughput.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from gpurent.remote.machine_facts import facts_command
from gpurent.remote.nvidia_smi import CSV_QUERY, TABLE_QUERY, XML_QUERY
from gpurent.remote.shell import ProbeSection, parse_sections, probe_command

TOOL_TIMEOUT = 20
CONVOLUTION_TIMEOUT = 150
DOCTOR_TIMEOUT = 12 * TOOL_TIMEOUT + CONVOLUTION_TIMEOUT + 60.0
MAX_OUTPUT_BYTES = 512 * 1024
MAX_STDERR_BYTES = 6000
_MARK = "gpurent-doctor:"

# Functions of the scripts that examine a machine: `say` frames a text, `limited NAME SECONDS COMMAND…` the output of
# a tool, `fill NAME SECONDS FILE MIB` that of writing a file. They make the folder $room; $disk is "no" if that is not
# possible in the home folder, or if that is full: no tool's end could be told there.
RUNNER = r"""
say() { printf '\n@mark@begin %s\n%s\n@mark@end %s 0\n' "$1" "$2" "$1"; }
umask 077
disk=yes
room=$(mktemp -d "$HOME/.gpurent-doctor.XXXXXX" 2>/dev/null) && echo room 2>/dev/null >"$room/status" ||
  { rm -rf "$room"; disk=no; room=$(mktemp -d) || exit 1; }
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
# On a disk that gets full, the file must be gone before anything is said about it: that is written there too.
fill() {
  limited "$1" "$2" sh -c 'said=$(dd if=/dev/zero of="$1" bs=1048576 count="$2" conv=fdatasync 2>&1); code=$?
    [ "$code" = 0 ] || rm -f "$1"; echo "$said" >&2; exit "$code"' sh "$3" "$4"
}
"""

# $1: seconds for a tool, $2: for the convolution, $3: MiB to write, $4: the facts probe command, rest: Pythons, the
# job's own first.
_SCRIPT = r"""
tool=$1 long=$2 write=$3 survey=$4; shift 4
PATH=$PATH:/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/sbin:/sbin; export PATH
@runner@
cat >"$room/convolution.py"
if has nvidia-smi; then
  limited smi-xml "$tool" @xml@
  limited smi "$tool" @table@
  limited smi-csv "$tool" @csv@
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
  fill write "$tool" "$room/zeros" "$write"
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


def doctor_command(
    pythons: Sequence[str],
    *,
    data: str = "",
    write_mib: int = 64,
    tool_timeout: int = TOOL_TIMEOUT,
    convolution_timeout: int = CONVOLUTION_TIMEOUT,
) -> str:
    """Return the shell command; its input is `read_convolution_program`.

    ``write_mib``: MiB to write for the disk speed, 0 for none.
    """
    return probe_command(
        _SCRIPT.replace("@runner@", RUNNER),
        *(str(tool_timeout), str(convolution_timeout), str(write_mib), facts_command(data), *pythons),
        name="doctor",
        mark=_MARK,
        largest=MAX_OUTPUT_BYTES // 2,
        words=MAX_STDERR_BYTES,
        xml=XML_QUERY,
        table=TABLE_QUERY,
        csv=CSV_QUERY,
    )


def read_convolution_program() -> str:
    """Return the Python program of the convolution, which needs Python 3.6 or later and a framework."""
    return Path(__file__).with_name("convolution.py").read_text("utf-8")


def parse_doctor_output(output: str) -> Mapping[str, ProbeSection]:
    """Return the sections of ``output`` by name; "end" is the last one. Never fails."""
    return parse_sections(output, _MARK)


CLOCK_COMMAND = "date +%s"
UPLOAD_COMMAND = "wc -c"


@frozen(kw_only=True)
class Measurements:
    """``clock_ahead``: seconds that the machine's clock is ahead, accurate to ``clock_margin``.

    Rates are in bytes per second. None: it could not be measured.
    """

    clock_ahead: float | None = None
    clock_margin: float = 0.0
    upload_rate: float | None = None
    download_rate: float | None = None


def parse_clock(output: str, before: float, after: float) -> tuple[float | None, float]:
    """Return `Measurements.clock_ahead` and its margin.

    ``output`` was printed by `CLOCK_COMMAND` between the local times ``before`` and ``after`` (Unix seconds).
    """
    found = re.search(r"^(\d{9,11})$", output.strip(), re.MULTILINE | re.ASCII)
    if found is None:
        return None, 0.0
    # The machine reports whole seconds; half a second is the best estimate of the fraction.
    return int(found[1]) + 0.5 - (before + after) / 2, 0.5 + (after - before) / 2


def make_upload_data(size: int) -> str:
    """Return the input of `UPLOAD_COMMAND`: random, so that compression does not make a connection look fast."""
    return secrets.token_hex(size // 2)


def is_upload_complete(output: str, size: int) -> bool:
    return str(size) in output.split()


def download_command(size: int) -> str:
    return f"head -c {size * 3 // 4} /dev/urandom | base64 | tr -d '\\n'"


def is_download_complete(output: str, size: int) -> bool:
    return len(output) >= size * 9 // 10
