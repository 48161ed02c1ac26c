"""Every command's help ends with examples, in both languages, and each of them is a command line that click accepts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from gpurent.cli.builtin import load_registry
from gpurent.cli.context import CliContext
from gpurent.cli.examples import list_examples, list_paths
from gpurent.cli.views.table import display_width
from gpurent.roles.entries import CommandEntry
from tests.cli.test_languages import list_help_pages
from tests.cli.test_printed_commands import GROUP_FLAGS, parse_command
from tests.command_line import run_command

PAGES = list_help_pages()
REGISTRY = load_registry()
HEADINGS = {"en": "Examples:", "zh": "示例："}
MAX_COLUMNS = 80
# Files that the examples name.
FILES = ("train.py", "key.pem", "model.pt", "plain.pt", "gpurent.backup")
FOLDERS = ("src", "out", "my-project", "project")


@pytest.mark.parametrize("language", HEADINGS)
def test_every_help_page_has_examples(language: str, tmp_path: Path) -> None:
    without, wide = [], []
    for page in PAGES:
        result = run_command(
            "--lang", language, *page, "--help", environment={"HOME": str(tmp_path)}, folder=tmp_path
        )
        lines = result.out.splitlines()
        heading = next((n for n, line in enumerate(lines) if line.strip() == HEADINGS[language]), None)
        if heading is None:
            without.append(page)
            continue
        shown = [line.strip() for line in lines[heading + 1 :]]
        assert any(line.startswith("gpurent ") for line in shown), page
        wide += [(page, line) for line in lines[heading:] if display_width(line) > MAX_COLUMNS]
    assert without == []
    assert wide == []


def test_no_example_is_left_of_a_command_that_is_gone() -> None:
    assert set(list_paths()) <= {" ".join(page) for page in PAGES}


def list_lines() -> list[str]:
    """Return every example of core, and of the plugins' commands."""
    lines = [example.line for path in list_paths() for example in list_examples(path, "acme")]
    for name, entry in REGISTRY.get_entries(CommandEntry).items():
        command = entry.build()
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        for each in (command, *inner):
            lines += re.findall(r"^ +(gpurent .+)$", each.epilog or "", re.MULTILINE)
        assert name
    return list(dict.fromkeys(lines))


LINES = list_lines()


def test_the_lines_are_found() -> None:
    assert len(LINES) > 120
    assert "gpurent checkpoint show model.pt" in LINES
    assert "gpurent release acme-k2f7a" in LINES


@pytest.mark.parametrize("line", LINES)
def test_an_example_can_be_typed(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).touch()
    for name in FOLDERS:
        Path(name).mkdir()
    words = shlex.split(line.replace("\\\n", "").partition(" > ")[0], comments=True)[1:]
    words = words[1:] if words[0] in GROUP_FLAGS else words
    name, *words = words
    entry = REGISTRY.get_entries(CommandEntry).get(name)
    assert entry is not None, f"no such command: {name}"
    try:
        parse_command(entry.build(), words, name, CliContext(REGISTRY))
    except click.UsageError as error:
        raise AssertionError(error.format_message()) from None
    except click.exceptions.Exit:
        pass
