"""The shell script that sets up a machine for a job: an environment, packages, the user's own commands.

Each completed part leaves a marker named by a hash of its text, of the files it reads, and of all parts before it. A
part whose marker exists is skipped, so that on a kept machine only new parts run. The user's commands, and files that
refer to local paths, are per trip, since the files that they read may have changed; everything else is per machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from attrs import frozen

from gpurent.domain.machine_folders import find_own_folders
from gpurent.domain.trip import SetupSpec
from gpurent.locale import _
from gpurent.remote.own_folders import make_own_folders_script
from gpurent.remote.shell import fill_template

NO_CONDA_STATUS = 96
_MARKS_FOLDER = ".gpurent/setup"

_SCRIPT_HEAD = r"""
marks="$HOME/@marks@"
@own@
here=$PWD
chain=$(uname -n)
once() {
  tied=$1
  if [ -n "$3" ]; then
    [ -f "$3" ] || { printf '! %s\n' "$3"; exit 2; }
    grep -Eq '^[[:space:]]*(-[[:space:]]+)?(-[a-z-]|\.|file:)|@ *file:' "$3" && tied=folder
  fi
  where=; [ "$tied" = machine ] || where="$here @trip@"
  chain=$({ printf '%s\n' "$chain" "$where" "$4"; [ -z "$3" ] || cat "$3"; } | sha256sum | cut -c1-32)
  if [ -e "$marks/$chain" ]; then printf '= %s\n' "$2"; return; fi
  printf '+ %s\n' "$2"
  sh -c "$4" || exit $?
  : > "$marks/$chain"
}
"""

_FIND_CONDA = r"""conda=$(command -v conda || for d in "$HOME"/miniconda3 "$HOME"/anaconda3 "$HOME"/miniforge3 \
  "$HOME"/mambaforge /opt/conda /opt/miniconda3 /opt/anaconda3 /usr/local/miniconda3; do
  [ -x "$d/bin/conda" ] && echo "$d/bin/conda" && break; done)
[ -n "$conda" ] || { echo @missing@; exit @code@; }
env="$HOME/.gpurent/conda/$(sha256sum < @file@ | cut -c1-16)"
"""
_MAKE_ENVIRONMENT = r"""if [ -d "$env/conda-meta" ]; then "$conda" env update -q -p "$env" -f @file@
else "$conda" env create -q -p "$env" -f @file@; fi
"""
_ACTIVATE_ENVIRONMENT = r"""eval "$("$conda" shell.posix hook)" && conda activate "$env" || exit 1
"""


@frozen
class _SetupPart:
    """One part of the setup.

    ``per_folder``: its marker is for the folder and the trip, not for the machine. ``file``: the file that it reads,
    or empty.
    """

    per_folder: bool
    title: str
    file: str
    line: str


def make_setup_script(setup: SetupSpec, python: str, trip_id: str) -> str:
    """Return the script to run in the job's folder; empty if there is nothing to do. ``python``: the machine's."""
    parts = list(_iter_parts(setup, python))
    if not parts:
        return ""
    calls = [
        shlex.join(["once", "folder" if part.per_folder else "machine", part.title, part.file, part.line])
        for part in parts
    ]
    own = make_own_folders_script(find_own_folders(_MARKS_FOLDER))
    return fill_template(_SCRIPT_HEAD, own=own, marks=_MARKS_FOLDER, trip=trip_id) + "\n".join(calls) + "\n"


def make_environment_lines(setup: SetupSpec) -> str:
    """Return shell lines that activate the trip's environment; empty if it has none."""
    return _find_conda_lines(setup.conda) + _ACTIVATE_ENVIRONMENT if setup.conda else ""


def _find_conda_lines(file: str) -> str:
    missing = _("conda is not installed on this machine; use pip instead, or choose a machine that has conda")
    return fill_template(
        _FIND_CONDA, file=shlex.quote(file), code=NO_CONDA_STATUS, missing=shlex.quote(missing)
    )


def _iter_parts(setup: SetupSpec, python: str) -> Iterator[_SetupPart]:
    inside = make_environment_lines(setup)
    if file := setup.conda:
        make = _find_conda_lines(file) + fill_template(_MAKE_ENVIRONMENT, file=shlex.quote(file))
        yield _SetupPart(False, f"conda env create -f {shlex.quote(file)}", file, make)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if file := setup.requirements:
        line = shlex.join([*pip, "-r", file])
        yield _SetupPart(False, shlex.join(["pip", "install", "-r", file]), file, inside + line)
    if setup.pip:
        local = any(item.startswith((".", "file:")) or "/" in item for item in setup.pip)
        title = shlex.join(["pip", "install", *setup.pip])
        yield _SetupPart(local, title, "", inside + shlex.join([*pip, "--", *setup.pip]))
    for command in setup.commands:
        yield _SetupPart(True, command, "", inside + command)
