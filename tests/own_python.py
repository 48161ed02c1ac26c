"""A Python of its own with the sources of a tree, so that isolated children use them too."""

from __future__ import annotations

import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.command_line import ROOT


def list_sources(top: Path = ROOT) -> list[Path]:
    """Return the source folders of gpurent and its plugins below ``top``."""
    found = [path for folder in ("plugins", "examples/plugins") for path in (top / folder).glob("*/src")]
    return [top / "core", *sorted(found)]


def make_python(home: Path, sources: Sequence[Path]) -> Path:
    """Make a virtual environment in ``home`` that finds ``sources`` first, and then what is installed here.

    Return its interpreter; the folder for what it has itself is `get_packages`.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(home)
    # Paths of an installed folder's own .pth files are not read again, so that our sources are not found by them.
    installed = [path for path in sys.path if path.endswith("site-packages")]
    paths = [*map(str, sources), *installed]
    (get_packages(home) / "copy.pth").write_text("\n".join(paths) + "\n", "utf-8")
    python = home / "bin" / Path(sys.executable).name
    script = home / "bin" / "gpurent"
    script.write_text(
        f"#!{python}\nimport sys\nfrom gpurent.__main__ import main\nsys.exit(main())\n", "utf-8"
    )
    script.chmod(0o755)
    return python


def get_packages(home: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
