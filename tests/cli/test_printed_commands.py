"""Every command that a message tells the user to type is one that works, in both languages."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from babel.messages.pofile import read_po

from gpurent.cli.builtin import load_registry
from gpurent.roles.entries import CommandEntry

ROOT = Path(__file__).parents[2]
CATALOGUES = (
    *ROOT.glob("core/gpurent/locale/*/LC_MESSAGES/*.po"),
    *ROOT.glob("plugins/*/src/*/locale/*/LC_MESSAGES/*.po"),
)
# After a colon, up to the end of the sentence, of the list item or of the line; words of a command are ASCII.
PRINTED_COMMAND = re.compile(
    r"[:：] ?(gpurent(?: [!-~]+?)+?)(?=[.,;]?(?: \(|$|\n)|[.,;] |[^ -~])", re.MULTILINE
)
# "…: gpurent opens the page": what gpurent does, not what the user types.
PROSE_VERBS = frozenset({"opens", "can", "{name}"})
# Flags that stand before the command.
GROUP_FLAGS = frozenset({"-y", "--yes"})
# What a user puts in for the words of a message; a placeholder is a value of the same kind.
EXAMPLE_VALUES = {
    "LEASE": "mistgpu-abc23",
    "lease": "mistgpu-abc23",
    "id": "mistgpu-abc23",
    "trip": "t1129-abc23",
    "provider": "mistgpu",
    "PROVIDER": "mistgpu",
    "AMOUNT": "20",
    "size": "20",
    "short": "20",
    "FILE": "out.txt",
    "usual": "cron",
    "COMMAND": "train.py",
    "what": "show",
    "price": "3.5CNY/h",
    "way": "--stdin=password",
}


def iter_printed_commands() -> Iterator[tuple[str, str]]:
    """Yield each command with the message that it stands in."""
    for path in CATALOGUES:
        for message in read_po(io.BytesIO(path.read_bytes())):
            texts = [*(message.id if isinstance(message.id, tuple) else (message.id,))]
            texts += [*(message.string if isinstance(message.string, tuple) else (message.string,))]
            for text in texts:
                for found in PRINTED_COMMAND.finditer(text):
                    if found[1].split()[1] not in PROSE_VERBS:
                        yield found[1].rstrip(".,;"), text


COMMANDS = dict(iter_printed_commands())
REGISTRY = load_registry()


def fill_in(command: str) -> list[str]:
    words = []
    for word in shlex.split(command)[1:]:
        bare = word.strip("{}")
        words.append(EXAMPLE_VALUES.get(bare, "example" if word.startswith("{") else word))
    return words


def parse_command(command: click.Command, words: list[str], name: str, obj: object = None) -> None:
    """Parse ``words`` as the command line does, without running anything."""
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        assert found is not None, f"{name} has no command {words[0]}"
        parse_command(found, words[1:], words[0], obj)
        return
    command.make_context(name, words, obj=obj)


def test_messages_do_print_commands() -> None:
    assert len(COMMANDS) > 60
    assert "gpurent release {lease}" in COMMANDS


@pytest.mark.parametrize("printed", sorted(COMMANDS))
def test_a_printed_command_can_be_typed(printed: str) -> None:
    words = fill_in(printed)
    while words[0] in GROUP_FLAGS:
        words.pop(0)
    name, *words = words
    entry = REGISTRY.get_entries(CommandEntry).get(name)
    assert entry is not None, COMMANDS[printed]
    try:
        parse_command(entry.build(), words, name)
    except click.UsageError as error:
        raise AssertionError(f"{error.format_message()}\n{COMMANDS[printed]}") from None
    except click.exceptions.Exit:
        pass
