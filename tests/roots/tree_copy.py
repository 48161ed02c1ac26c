"""A copy of the sources and the tests, with a Python of its own, so that also isolated children use the copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.command_line import ROOT
from tests.own_python import list_sources, make_python

_PLUGIN_PARTS = [
    str(path.relative_to(ROOT))
    for folder in ("plugins", "examples/plugins")
    for path in (ROOT / folder).glob("*/*")
    if path.name in ("src", "tests")
]
_FOLDERS = ("core/gpurent", "tests", "bench", *_PLUGIN_PARTS)
_FILES = ("pyproject.toml",)


@frozen
class TreeCopy:
    """``top`` is the copy; ``python`` finds gpurent and its plugins there, and everything else where we have it."""

    top: Path
    python: Path

    def run_python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the copy's Python in the copy; its stderr is ours."""
        command = [str(self.python), *arguments]
        return subprocess.run(
            command, cwd=self.top, env=_make_environment(), stdout=subprocess.PIPE, text=True, check=False
        )

    def run_tests(self, *tests: str) -> subprocess.CompletedProcess[str]:
        """Run tests until one fails; the lines ``FAILED test - reason`` of its output are not cut."""
        flags = ("-x", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider", "-m", "")
        return self.run_python("-m", "pytest", *flags, *tests)

    def write_files(self, texts: Mapping[Path, str]) -> None:
        for path, text in texts.items():
            path.write_text(text, "utf-8")


@contextmanager
def open_tree_copy() -> Iterator[TreeCopy]:
    """Copy the tree for the block."""
    with tempfile.TemporaryDirectory(prefix="gpr-root-", ignore_cleanup_errors=True) as name:
        top = Path(name).resolve()
        for part in _FOLDERS:
            shutil.copytree(ROOT / part, top / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in _FILES:
            shutil.copy(ROOT / part, top / part)
        yield TreeCopy(top, make_python(top / ".venv", list_sources(top)))


def _make_environment() -> dict[str, str]:
    """Without what points to our own environment; the lines of pytest's summary are as wide as they are."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: text for name, text in os.environ.items() if name not in dropped} | {"COLUMNS": "400"}
