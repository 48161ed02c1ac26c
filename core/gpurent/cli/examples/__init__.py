"""The *Examples* part of each command's help: by the command's path, a comment and a line that works.

In a line, PROVIDER, LEASE and TRIP stand for a name or an id, as in the usage line. Loaded when a help page is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from gpurent.cli.examples.machines import MACHINE_EXAMPLES
from gpurent.cli.examples.money import MONEY_EXAMPLES
from gpurent.cli.examples.sandbox import SANDBOX_EXAMPLES
from gpurent.cli.examples.tools import TOOL_EXAMPLES
from gpurent.cli.examples.trips import TRIP_EXAMPLES
from gpurent.locale import _

# Ids as they look; of a lease, the provider's name comes first.
_SAMPLE_MARK = "k2f7a"
_EXAMPLES: Mapping[str, Sequence[tuple[str, str]]] = {
    **TRIP_EXAMPLES,
    **MONEY_EXAMPLES,
    **MACHINE_EXAMPLES,
    **TOOL_EXAMPLES,
    **SANDBOX_EXAMPLES,
}


@frozen
class Example:
    """``line`` is complete, with ``gpurent`` in front; a long one goes on below, behind a backslash, as shells have it.

    An empty ``comment`` says that the line speaks for itself.
    """

    comment: str
    line: str


def list_examples(path: str, provider: str = "") -> Sequence[Example]:
    """Return the examples of the command ``path`` ("trips show"; empty: gpurent itself), in the user's language.

    ``provider`` is an installed one, to stand in the lines; empty: there is none.
    """
    return [Example(_(comment) if comment else "", _fill_in(line, provider)) for comment, line in _find(path)]


def list_paths() -> Sequence[str]:
    """Return the paths of the commands that have examples here."""
    return list(_EXAMPLES)


def _find(path: str) -> Sequence[tuple[str, str]]:
    return _EXAMPLES.get(path, ())


def _fill_in(line: str, provider: str) -> str:
    words = {"TRIP": f"t1129-{_SAMPLE_MARK}"}
    if provider:
        words |= {"PROVIDER": provider, "LEASE": f"{provider}-{_SAMPLE_MARK}"}
    for word, value in words.items():
        line = line.replace(word, value)
    return f"gpurent {line}".rstrip()


def format_examples(examples: Sequence[Example]) -> Iterator[str]:
    """Yield the lines of the part, as they are typed in a shell: a comment above each command."""
    for example in examples:
        if example.comment:
            yield f"# {example.comment}"
        yield from example.line.split("\n")
