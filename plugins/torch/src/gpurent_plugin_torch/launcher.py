"""Starts one process per GPU, as many as the machine has when the job starts."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

from gpurent.api import Launcher, MachineProfile, UsageError
from gpurent_plugin_torch import _

# $1: Python, rest: what it runs. A script with nn.DataParallel and no sign of multiple processes runs as one process
# for all GPUs: under torchrun every process would use all of them. GPURENT_NPROC overrides the number found.
_LAUNCH_SCRIPT = r"""
python=$1; shift
PYTHONUNBUFFERED=1; export PYTHONUNBUFFERED
say() { echo "gpurent: $*" >&2; }
case $1 in
  -*) ;;
  *) if grep -q DataParallel "$1" 2>/dev/null &&
       ! grep -Eq "DistributedDataParallel|gpurent_torch|init_process_group|LOCAL_RANK|accelerate|lightning" "$1"
     then say "the script uses nn.DataParallel: starting one process for all GPUs"; exec "$python" "$@"; fi ;;
esac
found=$("$python" -c '@probe@' 2>/dev/null | tail -n 1)
case $found in
  "run "*) say "starting ${found#run } processes with torchrun"
    exec "$python" -m torch.distributed.run --standalone --nproc_per_node="${found#run }" "$@" ;;
  "launch "*) say "starting ${found#launch } processes with torch.distributed.launch"
    exec "$python" -m torch.distributed.launch --use_env --nproc_per_node="${found#launch }" "$@" ;;
  plain) say "at most one GPU: starting one process"; exec "$python" "$@" ;;
  *) say "PyTorch could not count the GPUs: starting one process"; exec "$python" "$@" ;;
esac
"""

# torchrun came with PyTorch 1.9; its predecessor is called launch.
_PROBE_SCRIPT = """
import os, torch
from importlib.util import find_spec
n = int(os.environ.get("GPURENT_NPROC") or torch.cuda.device_count())
print("plain" if n < 2 else ("run %d" if find_spec("torch.distributed.run") else "launch %d") % n)
"""
_PYTHON_NAME = re.compile(r"python(\d+(\.\d+)?)?")
_IGNORED_FLAGS = ("-u", "-O", "-B")


class TorchrunLauncher(Launcher):
    """Launches ``train.py …``, ``python [-u] train.py …`` and ``python -m package …``.

    Raises `UsageError` for any other command.
    """

    def launch_command(self, command: tuple[str, ...], profile: MachineProfile) -> str:
        python, rest = _split_command(command, profile.python)
        script = _LAUNCH_SCRIPT.replace("@probe@", _PROBE_SCRIPT)
        return shlex.join(("sh", "-c", script, "gpurent-torchrun", python, *rest))


def _split_command(command: tuple[str, ...], python: str) -> tuple[str, tuple[str, ...]]:
    """Return the Python and what it runs; unbuffered output is always on."""
    words = command
    if len(command) == 1 and " " in command[0]:
        if re.search(r"[;|&<>$`\n]", command[0]):
            raise _unsupported_command(command)
        words = tuple(shlex.split(command[0]))
    if words and _PYTHON_NAME.fullmatch(PurePosixPath(words[0]).name):
        python, words = words[0], words[1:]
        while words and words[0] in _IGNORED_FLAGS:
            words = words[1:]
    named = words[1:] if words[:1] == ("-m",) else words
    if not named or named[0].startswith("-") or (named is words and not named[0].endswith(".py")):
        raise _unsupported_command(command)
    return python, words


def _unsupported_command(command: tuple[str, ...]) -> UsageError:
    return UsageError(
        _("torchrun only starts Python files and modules, not: {command}").format(
            command=shlex.join(command)[:80]
        ),
        hint=_(
            "For example: train.py --epochs 3, or: python -m package. Otherwise choose another --launcher."
        ),
    )
