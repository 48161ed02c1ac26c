"""Notebook servers on a machine: the commands, and the parsers of their output."""

from __future__ import annotations

import json
import re

from gpurent.domain.job import Job
from gpurent.domain.machine_folders import STATE_FOLDER
from gpurent.remote.own_folders import make_own_folders_script
from gpurent.remote.shell import fill_template, iter_marked_lines, probe_command, sh_command

FIRST_PORT = 8888
_MARK = "gpurent-notebook "
_PATH = 'PATH="$HOME/.gpurent/jupyter/bin:$HOME/.local/bin:$PATH"; export PATH'

# Prints lab, notebook, or nothing.
_FIND_APP_SCRIPT = """
@path@
for app in lab notebook; do
  if jupyter "$app" --version >/dev/null 2>&1; then echo @mark@"$app"; break; fi
done
"""

_LIST_NUMBERS_SCRIPT = r"""
cd "$HOME/.gpurent/jobs" 2>/dev/null || exit 0
ls -d jupyter-* 2>/dev/null | sed -n 's/^jupyter-\([0-9][0-9]*\)$/@mark@\1/p'
"""

_READ_RUNTIME_SCRIPT = r"""
cd "$HOME/.gpurent/jobs/@job@/runtime" 2>/dev/null || exit 0
for file in jpserver-*.json nbserver-*.json; do
  if [ -s "$file" ]; then echo @mark@"$(tr -d '\n' < "$file")"; break; fi
done
"""

# An externally managed Python allows packages only in a virtual environment.
_INSTALL_SCRIPT = r"""
if "$1" -m pip install --quiet --disable-pip-version-check --user jupyterlab; then exit 0; fi
@own@
"$1" -m venv --system-site-packages "$HOME/.gpurent/jupyter" &&
"$HOME/.gpurent/jupyter/bin/python" -m pip install --quiet --disable-pip-version-check jupyterlab
"""


def job_name(number: int) -> str:
    return f"jupyter-{number}"


def find_app_command() -> str:
    """Return the command that finds the installed notebook program; see `parse_app`."""
    return probe_command(_FIND_APP_SCRIPT, name="notebook", mark=_MARK, path=_PATH)


def parse_app(output: str) -> str:
    """Return ``lab`` or ``notebook``, or an empty string if neither is installed."""
    found = next(iter_marked_lines(output, _MARK), "")
    return found if found in ("lab", "notebook") else ""


def list_numbers_command() -> str:
    """Return the command that lists the numbers of all servers ever started; see `parse_numbers`."""
    return probe_command(_LIST_NUMBERS_SCRIPT, name="notebook", mark=_MARK)


def parse_numbers(output: str) -> list[int]:
    return [int(text) for text in iter_marked_lines(output, _MARK) if re.fullmatch("[0-9]{1,6}", text)]


def read_runtime_command(name: str) -> str:
    """Return the command that prints the runtime file of the server job ``name``; see `parse_runtime`."""
    return probe_command(_READ_RUNTIME_SCRIPT, name="notebook", mark=_MARK, job=name)


def parse_runtime(output: str) -> tuple[int, str] | None:
    """Return port and token; None if the file is missing, incomplete or implausible."""
    try:
        found = json.loads(next(iter_marked_lines(output, _MARK), ""))
        port, token = int(found["port"]), str(found["token"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return (port, token) if 0 < port < 65536 and re.fullmatch(r"[A-Za-z0-9_-]{1,200}", token) else None


def install_command(python: str) -> str:
    script = fill_template(_INSTALL_SCRIPT, own=make_own_folders_script((STATE_FOLDER,)))
    return sh_command(script, python, name="notebook")


def make_server_job(number: int, app: str, token: str) -> Job:
    """Return the job of a new server. The token is passed in the environment, since any user can read arguments."""
    name = job_name(number)
    command = (
        f'{_PATH}; JUPYTER_RUNTIME_DIR="$HOME/.gpurent/jobs/{name}/runtime"; export JUPYTER_RUNTIME_DIR; '
        f'root=; [ "$(id -u)" != 0 ] || root=--allow-root; '
        f"exec jupyter {app} --no-browser --ip=127.0.0.1 --port={FIRST_PORT} $root"
    )
    return Job(name=name, command=command, env={"JUPYTER_TOKEN": token})
