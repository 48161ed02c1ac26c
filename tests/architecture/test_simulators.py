"""A plugin's simulator lives in its `simulator/` package, and no code for the real provider uses it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = sorted((Path(__file__).parents[2] / "plugins").glob("*/src/gpurent_plugin_*"))
WITH_SIMULATOR = [package for package in PLUGINS if (package / "simulator").is_dir()]


def list_imports(tree: ast.AST, *, when_loaded: bool) -> Iterator[str]:
    """Yield the modules that ``tree`` imports; ``when_loaded``: only those imported when it is loaded."""
    for node in ast.iter_child_nodes(tree):
        if when_loaded and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        yield from list_imports(node, when_loaded=when_loaded)


def list_importers(package: Path) -> set[str]:
    """Return the modules outside the simulator that import it; ``plugin.py`` may do so in a function."""
    found = set()
    for path in package.rglob("*.py"):
        if path.is_relative_to(package / "simulator"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        names = list_imports(tree, when_loaded=path == package / "plugin.py")
        if any(name.startswith(f"{package.name}.simulator") for name in names):
            found.add(path.relative_to(package).as_posix())
    return found


@pytest.mark.parametrize("package", WITH_SIMULATOR, ids=[package.name for package in WITH_SIMULATOR])
def test_only_the_entry_loads_the_simulator(package: Path) -> None:
    assert list_importers(package) == set()


def test_every_simulator_is_in_its_folder() -> None:
    outside = [
        str(path)
        for package in PLUGINS
        for path in package.rglob("*.py")
        if "(ProviderSimulator" in path.read_text("utf-8") and path != package / "simulator" / "service.py"
    ]
    assert outside == []
    assert len(WITH_SIMULATOR) >= 4


def test_forbidden_imports_are_found(tmp_path: Path) -> None:
    package = tmp_path / "gpurent_plugin_x"
    package.mkdir()
    lazy = "def build(context):\n    from gpurent_plugin_x.simulator.service import Fake\n"
    (package / "plugin.py").write_text(lazy)
    (package / "wire.py").write_text("from gpurent_plugin_x import simulator\n")
    (package / "provider.py").write_text(lazy)
    assert list_importers(package) == {"wire.py", "provider.py"}
    (package / "plugin.py").write_text("import gpurent_plugin_x.simulator.service\n")
    assert list_importers(package) == {"plugin.py", "wire.py", "provider.py"}
