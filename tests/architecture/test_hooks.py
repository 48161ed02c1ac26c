"""The hooks follow their rules, and the page about them is correct."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpurent import api
from gpurent.infra.registry.registry import ENTRY_KINDS, EntryPointRegistry
from gpurent.roles import entries, hookspecs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "hooks.md").read_text("utf-8")
HOOKS = {name: getattr(hookspecs, name) for name in dir(hookspecs) if name.startswith("gpurent_register_")}
ROW = re.compile(r"^\| `(gpurent_register_\w+)\(([^)]*)\)` \| `(\w+)` \| `([\w.]+)` \|", re.MULTILINE)


def test_every_hook_is_documented_with_its_arguments_and_entry() -> None:
    rows = {name: (arguments, entry, role) for name, arguments, entry, role in ROW.findall(PAGE)}
    assert set(rows) == set(HOOKS)
    for name, hook in HOOKS.items():
        arguments, entry, role = rows[name]
        assert arguments == ", ".join(inspect.signature(hook).parameters)
        assert ENTRY_KINDS[name.removeprefix("gpurent_register_")] is getattr(entries, entry)
        assert role == "click.Command" or role in api.__all__
        assert entry in api.__all__


def test_roles_methods_on_the_page_exist() -> None:
    for name, line in re.findall(
        r"^\| `gpurent_register_\w+\(\)` \| `\w+` \| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE
    ):
        role = getattr(api, name)
        for word in re.findall(r"`([a-z_]+)(?:\([^)]*\))?`", line.partition("Capabil")[0]):
            for method in word.split():
                assert hasattr(role, method), f"{name} has no {method}"


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_are_plain_and_never_firstresult(name: str) -> None:
    hook = HOOKS[name]
    assert not inspect.iscoroutinefunction(hook)
    assert hook.gpurent_spec["firstresult"] is False
    assert hook.__doc__


def test_hooks_do_no_io() -> None:
    code = (
        "import builtins, socket, sys\n"
        "from gpurent.infra.registry.registry import EntryPointRegistry, HOOK_PREFIX\n"
        "from importlib_metadata import entry_points\n"
        "modules = [point.load() for point in entry_points(group='gpurent')]\n"
        "from gpurent.api import *\n"
        "def never(*given, **more): raise AssertionError('a hook did I/O')\n"
        "socket.socket.connect = never\n"
        "builtins.open = never\n"
        "found = [hook() for m in modules for n, hook in vars(m).items() if n.startswith(HOOK_PREFIX)]\n"
        "assert len(found) >= 10, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_lists_of_the_api_agree() -> None:
    source = (ROOT / "core" / "gpurent" / "api.py").read_text("utf-8")
    typed = set(re.findall(r"^\s+from gpurent\.[\w.]+ import \(?\s*(\w+) as \1", source, re.MULTILINE))
    typed |= set(re.findall(r"^\s+(\w+) as \1,", source, re.MULTILINE))
    assert typed | {"API_VERSION"} == set(api.__all__)
    for name in api.__all__:
        assert getattr(api, name) is not None


@pytest.mark.parametrize("name", EntryPointRegistry.load().list_names("simulator"))
def test_every_simulator_route_has_its_evidence(name: str) -> None:
    from datetime import UTC, datetime

    class Clock:
        def now(self) -> datetime:
            return datetime(2020, 3, 1, tzinfo=UTC)

    context = api.SimulatorContext(
        clock=Clock(),  # type: ignore[arg-type]
        machines=None,  # type: ignore[arg-type]
        send_mail=None,  # type: ignore[arg-type]
        urls={},
        machine_count=2,
        settings={},
    )
    simulator = EntryPointRegistry.load().get_entry(entries.SimulatorEntry, name).build(context)
    served = {
        (method, route.path)
        for route in simulator.get_app().routes
        for method in route.methods
        if method != "HEAD"
    }
    # A service with one address for everything states each of its actions behind a question mark.
    marked = {(route.method, route.path.partition("?")[0]) for route in simulator.list_routes()}
    assert served == marked
    assert all(isinstance(route.evidence, api.Evidence) for route in simulator.list_routes())


def test_the_plugin_on_the_page_works(tmp_path: Path) -> None:
    source = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    project = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert source is not None
    assert project is not None
    (tmp_path / "gpurent_plugin_nohup.py").write_text(source[1])
    (tmp_path / "pyproject.toml").write_text(project[1])
    target = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--target", str(target), str(tmp_path)], check=True)
    code = (
        "from gpurent.infra.registry.registry import EntryPointRegistry\n"
        "from gpurent.roles.entries import LauncherEntry\n"
        "registry = EntryPointRegistry.load()\n"
        "assert not registry.problems, registry.problems\n"
        "made = registry.get_entry(LauncherEntry, 'nice').build(None)\n"
        "assert made.launch_command(('a', 'b c'), None) == \"nice -n 10 a 'b c'\"\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(target), "PATH": "/usr/bin"}
    )
