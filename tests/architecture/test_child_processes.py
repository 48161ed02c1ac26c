"""Programs are started on this computer in one place: `gpurent.child_processes`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.syntax import get_name
from tests.architecture.test_rules import PRODUCT, ROOT

DOOR = "core/gpurent/child_processes.py"
# Code that does not run on the user's computer, or runs what its caller is: each with the reason.
ELSEWHERE = {
    "plugins/turbo/src/gpurent_plugin_turbo/far/workers.py": "runs on the rented machine",
    "core/gpurent/remote/doctor/speed.py": "runs on the rented machine",
    "core/gpurent/testing/sandbox/machines/supervisor.py": "starts what runs in a machine of the sandbox",
    "core/gpurent/testing/sandbox/machines/python2.py": "the program `python` of a machine of the sandbox",
    "core/gpurent/infra/platform/windows/api.py": "opens a file or an address in the user's program",
    "core/gpurent/testing/contracts/launcher.py": "runs a launcher's command line as a rented machine would",
    "core/gpurent/testing/unprivileged.py": "runs the tests of its caller again",
}
MODULES = {"subprocess", "webbrowser", "pty", "multiprocessing", "_posixsubprocess", "antigravity", "pipes"}
STARTERS = (
    *("exec", "spawn", "posix_spawn", "fork", "system", "popen", "startfile"),
    *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
    *("ProcessPoolExecutor", "find_library", "echo_via_pager", "launch", "edit"),
)


MENTIONED = re.compile(rf"\b({'|'.join((*MODULES, *STARTERS))})")  # parsing takes far longer than searching
OWNERS = ("os", "posix", "asyncio", "click", "ctypes.util", "concurrent.futures")


def find_starts(source: str) -> Iterator[str]:
    """Yield each way to start a program that the code uses, with its line."""
    if not MENTIONED.search(source):
        return
    tree = ast.parse(source)
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and get_name(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        for name in names_of(node):
            yield f"{getattr(node, 'lineno', 0)}: {name}"


def names_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom):
        if (node.module or "").partition(".")[0] in MODULES:
            yield str(node.module)
        elif node.module in OWNERS:
            yield from (alias.name for alias in node.names if is_starter(alias.name))
    elif isinstance(node, ast.Attribute):
        owner = get_name(node.value)
        if is_starter(node.attr) and (owner in OWNERS or "subprocess_" in node.attr):
            yield f"{owner}.{node.attr}"
    elif isinstance(node, ast.Call) and get_name(node.func).endswith(("import_module", "__import__")):
        yield from (
            str(given.value)
            for given in node.args
            if isinstance(given, ast.Constant) and str(given.value).partition(".")[0] in MODULES
        )


def is_starter(name: str) -> bool:
    return name in STARTERS or name.startswith(("exec", "spawn", "posix_spawn", "fork"))


def list_starters() -> dict[str, list[str]]:
    found = {
        path.relative_to(ROOT).as_posix(): list(find_starts(path.read_text("utf-8"))) for path in PRODUCT
    }
    return {name: starts for name, starts in found.items() if starts}


def test_programs_are_started_in_one_place() -> None:
    assert set(list_starters()) == {DOOR, *ELSEWHERE}


def test_every_way_around_is_found() -> None:
    ways = (
        "import subprocess",
        "from subprocess import run as call",
        "def late():\n    import subprocess",
        "import webbrowser",
        "import importlib\nimportlib.import_module('subprocess')",
        "__import__('pty')",
        "import os\nos.system('true')",
        "import os\nos.popen('true')",
        "import os\nos.execvp('a', ['a'])",
        "import os\nos.posix_spawnp('a', ['a'], {})",
        "from os import spawnlp",
        "import os\nos.fork()",
        "import asyncio\nasyncio.create_subprocess_shell('a')",
        "from asyncio import create_subprocess_exec",
        "async def go(loop):\n    await loop.subprocess_exec(None, 'a')",
        "import click\nclick.launch('a')",
        "import click\nclick.edit('a')",
        "import click\nclick.echo_via_pager('a')",
        "import multiprocessing.pool",
        "from concurrent.futures import ProcessPoolExecutor",
        "import ctypes.util\nctypes.util.find_library('c')",
    )
    assert [way for way in ways if not list(find_starts(way))] == []


def test_harmless_names_are_left_alone() -> None:
    assert (
        list(find_starts("import os\nos.environ\nself.spawn_shell()\nasync def f():\n    await x.spawn(1)"))
        == []
    )
    assert list(find_starts("if TYPE_CHECKING:\n    from subprocess import Popen")) == []


def test_no_child_is_given_the_whole_environment() -> None:
    """What a caller gives to the door is a white list, or the environment of a machine."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in PRODUCT
        if "environ" in (text := path.read_text("utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and get_name(node.func).endswith(("start_program", "run_program", "run_in_terminal", "spawn_program"))
        and "os.environ" in ast.unparse(node)
    ]
    assert wrong == []
