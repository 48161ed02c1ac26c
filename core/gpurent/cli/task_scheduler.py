"""The guard as a task of Windows' Task Scheduler: written, registered and removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpurent.child_processes import USER_VARIABLES, make_child_environment, make_python_command, run_program
from gpurent.composition import autostart
from gpurent.errors import UnavailableError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error

if TYPE_CHECKING:
    from subprocess import CompletedProcess

FILE_NAME = "watch-task.xml"


def make_task(start: autostart.AutostartProgram, home: Path) -> str:
    """Return the task that runs the guard of the data folder ``home``."""
    return autostart.make_task(
        make_python_command(), str(home), start.log, start.environment, autostart.get_task_user()
    )


def register_task(text: str, home: Path) -> Path:
    """Write the task and register it, in place of an earlier one; return its file. Raises `UnavailableError`."""
    path = home / FILE_NAME
    home.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-16")
    _run_schtasks("/Create", "/TN", autostart.TASK_NAME, "/XML", str(path), "/F")
    return path


def delete_task(home: Path) -> bool:
    """Remove the task; return whether there was one."""
    path = home / FILE_NAME
    if not path.exists():
        return False
    _run_schtasks("/Delete", "/TN", autostart.TASK_NAME, "/F")
    path.unlink()
    return True


def _run_schtasks(*arguments: str) -> None:
    try:
        ran: CompletedProcess[str] = run_program(
            ["schtasks", *arguments], environment=make_child_environment(USER_VARIABLES), timeout=60
        )
    except (OSError, TimeoutError) as error:
        raise UnavailableError(_("cannot run schtasks: {why}").format(why=describe_error(error))) from None
    if ran.returncode:
        why = (ran.stderr.strip() or ran.stdout.strip())[:200]
        raise UnavailableError(_("Task Scheduler rejected the task: {why}").format(why=why))
