"""Whether the texts of a plugin are there in both languages."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter

from gpurent.locale import _

FUNCTIONS = ("_", "N_", "ngettext")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Of an entry and its fields, what users read.
_TEXTS = ("summary", "live_notes", "group", "label")
_SENTENCE = re.compile(r"[A-Za-z]+ [a-z]+ [a-z]+")
# What a Chinese page calls something may stand beside its English name.
_IN_BRACKETS = re.compile(r"[(（][^()（）]*[)）]")


def find_language_faults(root: Path | None, package: str, sources: Mapping[str, str]) -> list[str]:
    """Return a line for each text that is not English in the code, or has no Chinese translation."""
    texts = dict(_iter_texts(sources))
    found = [
        f"{where}: " + _("{text!r} is not English").format(text=_shorten(text))
        for text, where in texts.items()
        if CHINESE.search(_IN_BRACKETS.sub("", text))
    ]
    if not texts:
        return found
    path = (root or Path()) / "locale" / "zh_CN" / "LC_MESSAGES" / f"{package}.mo"
    catalogue = _read_catalogue(path)
    if catalogue is None:
        return [*found, _("there is no catalogue {path}").format(path=path.name)]
    for text, where in texts.items():
        chinese = catalogue.get(text, "")
        if not chinese:
            found.append(f"{where}: " + _("no translation of {text!r}").format(text=_shorten(text)))
        elif _list_placeholders(text) != _list_placeholders(chinese):
            found.append(
                f"{where}: "
                + _("other placeholders in the translation of {text!r}").format(text=_shorten(text))
            )
    return found


def find_bare_texts(sources: Mapping[str, str]) -> list[str]:
    """Return a line for each sentence that is given to users as it stands; a name or a list of names may be."""
    return [
        f"{name}:{node.lineno}: " + _("{text!r} is not marked for translation").format(text=_shorten(text))
        for name, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword) and node.arg in _TEXTS and isinstance(node.value, ast.Constant)
        if isinstance(text := node.value.value, str) and _SENTENCE.search(text)
    ]


def _iter_texts(sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each text that is marked for translation, and where."""
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in FUNCTIONS:
                given = node.args[0] if node.args else None
                if isinstance(given, ast.Constant) and isinstance(given.value, str) and given.value:
                    yield given.value, f"{name}:{node.lineno}"


def _read_catalogue(path: Path) -> Mapping[str, str] | None:
    """Return the translations, those with a plural by their singular; None if there is no readable catalogue."""
    try:
        with path.open("rb") as file:
            found = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    except (OSError, ValueError, EOFError, LookupError):
        return None
    return {key[0] if isinstance(key, tuple) else key: value for key, value in found.items() if key}


def _list_placeholders(text: str) -> set[str]:
    try:
        return {f"{name}:{spec}" for _text, name, spec, _how in Formatter().parse(text) if name is not None}
    except ValueError:
        return {text}


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
