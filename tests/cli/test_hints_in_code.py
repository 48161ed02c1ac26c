"""Commands that the code prints without a catalogue, and those named in prose: all of them exist, with their options.

Messages of the catalogues that end in a command are in `test_printed_commands`; hints of errors about money are typed
in `test_hints_run`. No hint names a package that this project does not own: somebody else may own it.
"""

from __future__ import annotations

import ast
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from babel.messages.pofile import read_po

from gpurent.cli.builtin import load_registry
from gpurent.cli.context import CliContext
from gpurent.roles.entries import CommandEntry
from tests.cli.test_printed_commands import (
    CATALOGUES,
    GROUP_FLAGS,
    PRINTED_COMMAND,
    PROSE_VERBS,
    ROOT,
    fill_in,
    parse_command,
)

SOURCES = [
    path
    for path in (*ROOT.glob("core/gpurent/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py"))
    if "examples" not in path.parts and "testing" not in path.parts
]
# The changelog also names commands that were renamed since.
PAGES = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("README*.md"), *ROOT.glob("plugins/*/README.md")]
# Strings that look like a command: what begins a sentence, and labels that only programs read.
_NO_COMMAND = re.compile(r"gpurent (\S+ ){1,2}needs |gpurent (sandbox|vault) \{\w+\}")
# What is run on the rented machine, where other packages are installed; it is no hint.
ON_THE_MACHINE = "core/gpurent/remote/"
_HAS_COMMAND = re.compile(r"(?<!from )(?<!import )gpurent [a-z{-]|pip install")
_QUOTED = re.compile(r"`gpurent ([a-z-][^`\n]*)`")
_PIP = re.compile(r"pip install((?: -{1,2}[a-z-]+)*) ['\"]?([A-Za-z0-9_.{}-]+)(?:\[([\w,]+)\])?")
# Words that a pattern of a page stands for.
_PATTERN = re.compile(r"[|…\[\]<>]|\.\.\.")


def read_text(node: ast.AST) -> str:
    """Return the text of a string, with the last name of each value that is filled in; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value)
            if isinstance(part, ast.Constant)
            else "{" + re.sub(r"\W", "", ast.unparse(part).split(".")[-1]) + "}"
            for part in node.values
        )
    return ""


def iter_strings(path: Path) -> Iterator[str]:
    """Yield the strings of a file but its docstrings; a part of an f-string only as a part."""
    source = path.read_text("utf-8")
    if not _HAS_COMMAND.search(source):
        return
    nodes = list(ast.walk(ast.parse(source)))
    joined = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    inner = {id(part) for node in joined for part in ast.walk(node)} - {id(node) for node in joined}
    docs = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes:
        if id(node) not in inner and id(node) not in docs and (text := read_text(node)):
            yield text


REGISTRY = load_registry()
ENTRIES = REGISTRY.get_entries(CommandEntry)
NAMES = frozenset(ENTRIES)


def iter_code_commands() -> Iterator[tuple[str, str]]:
    """Yield each command that begins a string or follows a colon in it, with its file."""
    for path in SOURCES:
        for text in iter_strings(path):
            for found in PRINTED_COMMAND.finditer(f": {text}" if text.startswith("gpurent ") else text):
                word = next(w for w in [*found[1].split()[1:], ""] if w not in GROUP_FLAGS)
                if word in NAMES and word not in PROSE_VERBS and not _NO_COMMAND.match(f"{found[1]} "):
                    yield found[1].rstrip(".,;"), str(path.relative_to(ROOT))


COMMANDS = dict(iter_code_commands())


def test_the_code_is_searched() -> None:
    assert len(COMMANDS) > 60
    assert "gpurent watch install --as systemd" in COMMANDS, "a hint without a translation"


@pytest.mark.parametrize("printed", sorted(COMMANDS))
def test_a_command_in_the_code_can_be_typed(
    printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("src", "examples/digits"):
        Path(name).mkdir(parents=True)
    words = fill_in(printed)
    while words[0] in GROUP_FLAGS:
        words.pop(0)
    name, *words = words
    try:
        parse_command(ENTRIES[name].build(), words, name, CliContext(REGISTRY))
    except click.UsageError as error:
        raise AssertionError(f"{error.format_message()}\n{COMMANDS[printed]}") from None
    except click.exceptions.Exit:
        pass


def iter_named_commands() -> Iterator[tuple[str, str]]:
    """Yield the commands in backticks, of docstrings, messages and pages."""
    for path in (*SOURCES, *PAGES):
        for found in _QUOTED.finditer(path.read_text("utf-8")):
            yield found[1], str(path.relative_to(ROOT))
    for path in CATALOGUES:
        for text in iter_translations(path):
            for found in _QUOTED.finditer(text):
                yield found[1], str(path.relative_to(ROOT))


def iter_translations(path: Path) -> Iterator[str]:
    for message in read_po(io.BytesIO(path.read_bytes())):
        yield from [message.string] if isinstance(message.string, str) else message.string or ()


NAMED = dict(iter_named_commands())


def test_the_prose_is_searched() -> None:
    assert len(NAMED) > 80


@pytest.mark.parametrize("named", sorted(NAMED))
def test_a_command_in_prose_exists_with_its_options(named: str) -> None:
    """Arguments may be missing there, and stand in capitals."""
    text = _PATTERN.split(named)[0]
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    while words and words[0] in GROUP_FLAGS:
        words.pop(0)
    if not words or words[0].startswith("-") or words[0].isupper():
        return
    assert words[0] in NAMES, NAMED[named]
    command = ENTRIES[words[0]].build()
    context: click.Context | None = None
    for word in words[1:]:
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
        elif word.startswith("-") and word != "--":
            context = click.Context(command, obj=CliContext(REGISTRY))
            known = [
                name for param in command.get_params(context) for name in (*param.opts, *param.secondary_opts)
            ]
            assert word.partition("=")[0] in known or word == "--NAME", f"{word}: {NAMED[named]}"
        elif word == "--":
            break


def list_distributions() -> dict[str, set[str]]:
    """Return our distributions with their extras."""
    found = {}
    for path in (ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")):
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        found[project["name"]] = set(project.get("optional-dependencies", {}))
    return found


def iter_packages() -> Iterator[tuple[str, str, str]]:
    texts = [
        (text, path)
        for path in SOURCES
        if not str(path.relative_to(ROOT)).startswith(ON_THE_MACHINE)
        for text in iter_strings(path)
    ]
    texts += [(text, path) for path in CATALOGUES for text in iter_translations(path)]
    for text, path in texts:
        for found in _PIP.finditer(text):
            if "-e" not in found[1]:
                yield found[2], found[3] or "", str(path.relative_to(ROOT))


def test_no_hint_names_a_package_of_others() -> None:
    own, found = list_distributions(), list(iter_packages())
    assert len(found) > 4
    for name, extras, place in found:
        if name.startswith("{"):  # of a plugin that is installed, or of a framework on the machine
            continue
        assert name in own, f"{place}: {name}"
        assert set(filter(None, extras.split(","))) <= own[name], f"{place}: {name}[{extras}]"
