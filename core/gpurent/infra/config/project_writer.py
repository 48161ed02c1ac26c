"""A project file as text: what was said, with a word on each key, and the rest as examples that are commented out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Table

from gpurent.domain.project import Key, keys, tables
from gpurent.errors import UsageError
from gpurent.locale import _

IGNORE = """\
# What never goes up to a rented machine, beside what .gitignore names. The same rules as there.
.venv/
venv/
.ipynb_checkpoints/
.DS_Store
"""


def render(given: Mapping[str, Any]) -> str:
    """The text of a file with the values of ``given``: TOML values by key, tables as mappings."""
    document = tomlkit.document()
    document.add(tomlkit.comment(_("What `gpurent run` does in this folder; the command line wins over it.")))
    document.add(tomlkit.comment(_("What is commented out is an example. Paths are relative to this file.")))
    document.add(tomlkit.nl())
    _fill(document, keys(), given)
    for name, (about, kind) in tables().items():
        inner = given.get(name, {})
        document.add(tomlkit.nl())
        table = tomlkit.table()
        table.comment(_(about))
        _fill(table, keys(kind), inner)
        document.add(name, table)
    return tomlkit.dumps(document)


def _fill(place: tomlkit.TOMLDocument | Table, known: Mapping[str, Key], given: Mapping[str, Any]) -> None:
    for name, key in known.items():
        if given.get(name) in (None, "", [], ()):
            place.add(tomlkit.comment(f"{name} = {key.example}  # {_(key.about)}"))
            continue
        item = tomlkit.item(given[name])
        item.comment(_(key.about))
        place.add(name, item)


def write(path: Path, text: str, *, force: bool) -> None:
    """Never over a file that is there, unless ``force``."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            _("{path} is there already").format(path=path), hint=_("Write over it with: --force")
        ) from None
    except OSError as error:
        raise UsageError(_("{path} cannot be written: {why}").format(path=path, why=error.strerror)) from None
