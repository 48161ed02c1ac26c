"""Check the import contracts of core and every plugin: ``python scripts/lint_imports.py``, from the root.

In `[tool.importlinter]` of pyproject.toml, `gpurent_plugin_*` in a list stands for the package of every folder below
`plugins/`, installed or not. Arguments are those of `lint-imports` (for one: ``--contract plugins-apart``).
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomlkit
from importlinter.cli import lint_imports_command

ROOT = Path(__file__).parents[1]
PLACEHOLDER = "gpurent_plugin_*"


def find_plugin_packages(root: Path) -> list[Path]:
    """Return the package folder of each plugin, `plugins/<name>/src/gpurent_plugin_<name>`, in order."""
    return sorted(path.parent for path in root.glob(f"plugins/*/src/{PLACEHOLDER}/__init__.py"))


def expand_placeholder(value: Any, packages: Sequence[str]) -> Any:
    """Return ``value`` with each string that contains the placeholder repeated in its list for every package."""
    if isinstance(value, dict):
        return {key: expand_placeholder(inner, packages) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    expanded = []
    for item in value:
        if isinstance(item, str) and PLACEHOLDER in item:
            expanded += [item.replace(PLACEHOLDER, package) for package in packages]
        else:
            expanded.append(expand_placeholder(item, packages))
    return expanded


def main() -> None:
    """Exit with the status of `lint-imports`: 0 if every contract is kept, otherwise 1."""
    packages = find_plugin_packages(ROOT)
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    options = expand_placeholder(options, [package.name for package in packages])
    # The linter reads what Python would import: this tree first, before anything that is installed.
    sys.path[:0] = [str(ROOT / "core"), *(str(package.parent) for package in packages)]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "contracts.toml"
        config.write_text(tomlkit.dumps({"tool": {"importlinter": options}}), "utf-8")
        lint_imports_command([*sys.argv[1:], "--config", str(config)])


if __name__ == "__main__":
    main()
