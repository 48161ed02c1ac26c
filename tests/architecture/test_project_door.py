"""Every way to a project file leads through the question whether it is trusted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "gpurent"
PRODUCT = [*CORE.rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")]
READER, DOOR = "infra/config/project_file.py", "cli/project_trust.py"
# Who may use a name at all, by the file, and in which function where that matters.
MAY_USE = {
    # the file's content becomes values
    "parse_project_values": {READER},
    "parse_project_file": {READER, "composition/files.py", "cli/commands/init.py"},
    "read_project_file": {READER, "composition/files.py", DOOR},
    "find_project_file": {READER, "composition/files.py", DOOR, "cli/commands/trust.py"},
    # values that nobody has agreed to yet
    "find_project": {DOOR, "cli/trip_spec.py", "cli/commands/trust.py"},
    "build_preview_spec": {"cli/trip_spec.py", "cli/commands/trips.py:plan_command"},
    # a yes
    "ask_for_trust": {DOOR, "cli/commands/trust.py"},
    "trusted_projects": {
        "composition/projects.py",
        DOOR,
        "cli/commands/trust.py",
        "cli/commands/init.py:init_command",
    },
    # another reader would be a way around
    "PROJECT_FILE": {"domain/trip_fields.py", READER, "cli/commands/init.py", "cli/commands/trust.py"},
    "TomlFile": {
        "infra/config/toml_file.py",
        "infra/config/config_file.py",
        "infra/config/config_editor.py",
        "infra/config/config_migration.py",
        READER,
    },
    "tomllib": {
        "infra/config/toml_file.py",
        "infra/config/config_editor.py",
        "infra/config/config_migration.py",
        "testing/plugin_check/installed.py",  # a plugin's own quality.toml
    },
}


def iter_uses(text: str, place: str) -> Iterator[tuple[str, str]]:
    """Yield each guarded name that ``text`` uses, with the place: the file and the function at its top level."""
    if not any(name in text for name in MAY_USE):
        return
    tree = ast.parse(text)
    for statement in tree.body:
        inside = place
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{place}:{statement.name}"
        for node in ast.walk(statement):
            names = {getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "name", "")}
            if isinstance(node, ast.ImportFrom):
                names |= {(node.module or "").partition(".")[0]}
            if isinstance(node, ast.Constant) and node.value in MAY_USE:
                names |= {node.value}
            for name in names & MAY_USE.keys():
                is_import = isinstance(statement, ast.Import | ast.ImportFrom)
                yield name, f"{inside}:import" if is_import else inside


def is_allowed(name: str, place: str) -> bool:
    file = place.partition(":")[0]
    is_import = place.endswith(":import")
    return any(
        allowed in (place, file) or (is_import and allowed.startswith(f"{file}:"))
        for allowed in MAY_USE[name]
    )


def find_ways_around(text: str, place: str) -> list[str]:
    return [f"{where} uses {name}" for name, where in iter_uses(text, place) if not is_allowed(name, where)]


def test_no_code_reads_a_project_file_around_the_question() -> None:
    found = []
    for path in PRODUCT:
        place = path.relative_to(CORE if path.is_relative_to(CORE) else ROOT).as_posix()
        found += find_ways_around(path.read_text("utf-8"), place)
    assert found == []


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (
            "cli/commands/trips.py",
            "def run_command(app):\n    return build_preview_spec(app, None, False, {})\n",
        ),
        ("cli/commands/watch.py", "from gpurent.composition.files import read_project_file\n"),
        (
            "cli/top/actions.py",
            "from gpurent.cli import project_trust\nx = project_trust.find_project(None)\n",
        ),
        ("workflow/guard/controller.py", "import tomllib\n"),
        ("cli/commands/leases.py", "from gpurent.composition import files\ny = getattr(files, 'TomlFile')\n"),
        ("cli/commands/init.py", "def other(app):\n    trusted_projects().trust(None, None)\n"),
        ("plugins/x/src/x/plugin.py", "from gpurent.domain.trip_fields import PROJECT_FILE\n"),
    ],
)
def test_a_planted_way_around_is_found(place: str, text: str) -> None:
    assert find_ways_around(text, place)


def test_what_makes_a_trip_asks_for_trust() -> None:
    """`build_trip_spec` is the one that `run` calls, and it asks before it returns."""
    tree = ast.parse((CORE / "cli" / "trip_spec.py").read_text("utf-8"))
    (built,) = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build_trip_spec"
    ]
    calls = [
        node.func.id
        for node in ast.walk(built)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert calls.index("_build_spec") < calls.index("require_trust")
