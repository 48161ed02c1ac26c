"""Messages in the user's language. Source texts are English; the catalogues are next to this file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    import gettext

TEXT_DOMAIN = "gpurent"
_chosen_language: list[str] = []
_default_language: list[str] = []


def set_language(language: str) -> None:
    """Use ``language`` (``en``, ``zh``, ``zh_CN``) from now on, regardless of the environment."""
    _chosen_language[:] = [language]
    _load_catalogue.cache_clear()


def set_default_language(language: str) -> None:
    """Use ``language`` where the environment says none."""
    _default_language[:] = [language] if language else []


@contextmanager
def use_language(language: str) -> Iterator[None]:
    """Use ``language`` inside the block; an empty one changes nothing. Only for blocks that do not await."""
    before = list(_chosen_language)
    if language:
        _chosen_language[:] = [language]
    try:
        yield
    finally:
        _chosen_language[:] = before


def get_language() -> str:
    """Return ``zh`` or ``en``: the language set, else from GPURENT_LANG, LC_ALL, LC_MESSAGES or LANG."""
    names = [
        *_chosen_language,
        *(os.environ.get(name, "") for name in ("GPURENT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")),
        *_default_language,
    ]
    for name in names:
        if name:
            return "zh" if name.lower().startswith("zh") else "en"
    return "en"


@cache
def _load_catalogue(language: str, package: str) -> gettext.NullTranslations:
    # Importing gettext takes some milliseconds; English does not need it.
    import gettext
    from importlib.util import find_spec

    found = find_spec(package)
    places = (found.submodule_search_locations or ()) if found else ()
    folder = Path(next(iter(places), ".")) / "locale"
    return gettext.translation(package, folder, [language], fallback=True)


@frozen
class Translator:
    """The messages of one package in the user's language. Placeholders are kept for ``format``.

    No catalogue is read until a message is needed in a language other than English.
    """

    package: str

    def __call__(self, message: str) -> str:
        if get_language() == "en":
            return message
        return _load_catalogue("zh_CN", self.package).gettext(message)

    def ngettext(self, singular: str, plural: str, count: int) -> str:
        """Return the form that ``count`` needs in the user's language."""
        if get_language() == "en":
            return singular if count == 1 else plural
        return _load_catalogue("zh_CN", self.package).ngettext(singular, plural, count)


def make_translator(package: str) -> Translator:
    """Return the ``_`` of a package that keeps its catalogues in ``locale/<language>/LC_MESSAGES/<package>.mo``."""
    return Translator(package)


_ = make_translator(TEXT_DOMAIN)
ngettext = _.ngettext


def N_(message: str) -> str:  # noqa: N802 - gettext's own name
    """Mark ``message`` for translation where it is defined; it is translated where it is shown."""
    return message


def join_list(items: Iterable[str]) -> str:
    """Join ``items`` as people write a list: with commas, in Chinese with its own list comma."""
    return ("、" if get_language() == "zh" else ", ").join(items)


def join_clauses(items: Iterable[str]) -> str:
    """Join ``items``, which may contain commas, with semicolons."""
    return ("；" if get_language() == "zh" else "; ").join(items)


def join_phrases(*phrases: str) -> str:
    """Join the phrases or sentences that are not empty: with a space, in Chinese without one."""
    return ("" if get_language() == "zh" else " ").join(filter(None, phrases))
