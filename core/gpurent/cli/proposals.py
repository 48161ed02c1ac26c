"""What a folder looks like: proposals for its project file. Looks at names alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_PROGRAMS = ("train.py", "main.py", "run.py")
_RESULTS = ("out", "output", "outputs", "results", "runs", "checkpoints")
_CONDA = ("environment.yml", "environment.yaml")


def proposals(folder: Path) -> dict[str, Any]:
    """Values by key, ``setup`` as a table; what the folder does not suggest is left out.

    Requirements win over an environment file: every machine has pip, few have conda.
    """
    found: dict[str, Any] = {}
    if program := _first(folder, _PROGRAMS):
        found["command"] = ["python3", program]
    if results := [name for name in _RESULTS if (folder / name).is_dir()]:
        found["outputs"] = results
    if (folder / "requirements.txt").is_file():
        found["setup"] = {"pip": "requirements.txt"}
    elif conda := _first(folder, _CONDA):
        found["setup"] = {"conda": conda}
    return found


def _first(folder: Path, names: tuple[str, ...]) -> str:
    return next((name for name in names if (folder / name).is_file()), "")
