"""Everything that the product prints goes through `gpurent.cli.output`, which strips what a terminal obeys."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.syntax import get_name
from tests.architecture.test_rules import PRODUCT, ROOT

DOOR = "core/gpurent/cli/output.py"
# Code that does not run on the user's computer, or has another terminal: each with the reason.
ELSEWHERE = {
    "core/gpurent/remote/": "runs on the rented machine",
    "core/gpurent/testing/": "the sandbox's own programs, and the test kit",
    "plugins/turbo/src/gpurent_plugin_turbo/far/": "runs on the rented machine",
    "plugins/torch/src/gpurent_plugin_torch/gpurent_torch.py": "runs on the rented machine",
    "plugins/torch/src/gpurent_plugin_torch/launcher.py": "runs on the rented machine",
}
# Who uses a stream or a screen of its own, and why nothing of others reaches the terminal by it.
MAY_USE = {
    "core/gpurent/cli/progress.py": {"rich.Console", "rich.Progress"},  # titles are stripped first
    "core/gpurent/cli/main.py": {"sys.stdout", "sys.stderr"},  # sets how what cannot be encoded is replaced
    "core/gpurent/cli/output_encoding.py": {"sys.stdout"},  # asks for its encoding
    "core/gpurent/infra/registry/registry.py": {"sys.stderr"},  # where a plugin's import prints
    # the terminal is handed to the machine
    "core/gpurent/infra/platform/windows/terminal.py": {"sys.stdout", "sys.stderr"},
}
CLICK = {
    *("echo", "secho", "style", "echo_via_pager", "prompt", "confirm", "pause", "clear", "progressbar"),
    *("get_text_stream", "get_binary_stream", "open_file", "edit"),
}
BUILTINS = {"print", "breakpoint"}
LOGGING = {"StreamHandler", "basicConfig", "lastResort"}
MODULES = {"getpass", "curses", "pdb", "pprint", "colorama", "tqdm"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__", "displayhook", "excepthook", "unraisablehook"}
HARMLESS = {"isatty", "fileno", "encoding"}
RICH = {"Console", "Progress", "Live", "print", "Status", "Prompt"}

# Parsing takes far longer than searching.
MENTIONED = re.compile(
    rf"\b(({'|'.join((*CLICK, *BUILTINS, *LOGGING, *MODULES, *STREAMS, *RICH, 'input'))})\b|print_|os\.write)|/dev/"
)


def find_prints(source: str) -> Iterator[tuple[int, str]]:
    """Yield each way to the terminal that the code uses: its line and its name."""
    if not MENTIONED.search(source):
        return
    tree = ast.parse(source)
    harmless = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in HARMLESS
    }
    for node in ast.walk(tree):
        if id(node) not in harmless:
            for name in names_of(node):
                yield getattr(node, "lineno", 0), name


def names_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _imports(node)
    elif isinstance(node, ast.Name) and node.id in BUILTINS:
        yield node.id
    elif isinstance(node, ast.Attribute):
        owner = get_name(node.value)
        if (
            (owner == "click" and node.attr in CLICK)
            or (owner == "logging" and node.attr in LOGGING)
            or (owner == "sys" and node.attr in STREAMS)
            or (owner == "traceback" and node.attr.startswith("print_"))
            or (owner.startswith("rich") and node.attr in RICH)
        ):
            yield f"{owner.partition('.')[0]}.{node.attr}"
    elif isinstance(node, ast.Call):
        called = get_name(node.func)
        if called == "input" or (called == "os.write" and isinstance(node.args[0], ast.Constant)):
            yield called
    elif isinstance(node, ast.Constant) and node.value in ("/dev/tty", "/dev/stdout", "/dev/stderr"):
        yield str(node.value)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES)
        return
    top = (node.module or "").partition(".")[0]
    guarded = {"click": CLICK, "logging": LOGGING, "sys": STREAMS, "rich": RICH}.get(top, set())
    if top in MODULES:
        yield str(node.module)
    yield from (f"{top}.{alias.name}" for alias in node.names if alias.name in guarded)
    if top == "traceback":
        yield from (alias.name for alias in node.names if alias.name.startswith("print_"))


def test_nothing_is_printed_beside_the_door() -> None:
    found, used = [], set()
    for path in PRODUCT:
        place = str(path.relative_to(ROOT))
        if place == DOOR or place.startswith(tuple(ELSEWHERE)):
            continue
        for line, name in find_prints(path.read_text("utf-8")):
            if name in MAY_USE.get(place, ()):
                used.add((place, name))
            else:
                found.append(f"{place}:{line}: {name}")
    assert not found, "print it with gpurent.cli.output"
    assert used == {(place, name) for place, names in MAY_USE.items() for name in names}, "an old exception"


def test_the_screen_is_drawn_in_one_package() -> None:
    users = {
        str(path.relative_to(ROOT).parent)
        for path in PRODUCT
        if "import textual" in (text := path.read_text("utf-8")) or "from textual" in text
    }
    assert users == {"core/gpurent/cli/top"}


def test_the_screen_makes_its_texts_where_they_are_stripped() -> None:
    """Each text of others becomes a `Text` of the table in one function."""
    source = (ROOT / "core/gpurent/cli/top/columns.py").read_text("utf-8")
    made = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Text"
    ]
    assert sorted(made) == ["Text('\\n')", "Text(strip_to_line(text), style)"]


@pytest.mark.parametrize(
    "source",
    [
        "import click\nclick.echo(text)",
        "import click\nshow = click.secho",
        "from click import echo as show\nshow(text)",
        "import click\nclick.prompt(text)",
        "print(text)",
        "list(map(print, lines))",
        "import sys\nsys.stdout.write(text)",
        "import sys\nsys.stderr.buffer.write(data)",
        "from sys import stdout\nstdout.write(text)",
        "import sys\nprinter(file=sys.stderr)",
        "import os\nos.write(2, data)",
        "import logging\nlogging.basicConfig()",
        "from logging import StreamHandler\nStreamHandler()",
        "import traceback\ntraceback.print_exc()",
        "from rich.console import Console\nConsole().print(text)",
        "import rich\nrich.print(text)",
        "import getpass",
        "open('/dev/tty', 'w').write(text)",
        "answer = input(text)",
    ],
)
def test_the_rule_finds_a_planted_print(source: str) -> None:
    assert list(find_prints(source))


def test_asking_a_stream_what_it_is_is_no_print() -> None:
    assert not list(
        find_prints("import sys\nsys.stdout.isatty() and sys.stderr.encoding and sys.stdin.read()")
    )
