"""Messages in the user's language. The source speaks English; catalogues lie beside this file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

TEXT_DOMAIN = "gpurent"
_chosen_language: list[str] = []


def set_language(language: str) -> None:
    """Speak ``language`` (``en``, ``zh``, ``zh_CN``) from now on, whatever the environment says."""
    _chosen_language[:] = [language]
    _load_catalogue.cache_clear()


@contextmanager
def use_language(language: str) -> Iterator[None]:
    """Speak ``language`` inside the block; an empty one changes nothing. Only for blocks that do not await."""
    before = list(_chosen_language)
    if language:
        _chosen_language[:] = [language]
    try:
        yield
    finally:
        _chosen_language[:] = before


def get_language() -> str:
    """``zh`` or ``en``: what was chosen, else GPURENT_LANG, LC_ALL, LC_MESSAGES, LANG."""
    names = [
        *_chosen_language,
        *(os.environ.get(name, "") for name in ("GPURENT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")),
    ]
    for name in names:
        if name:
            return "zh" if name.lower().startswith("zh") else "en"
    return "en"


@cache
def _load_catalogue(wanted: str, package: str) -> object:
    # gettext costs some milliseconds to import; English needs none of it.
    import gettext
    from importlib.util import find_spec

    found = find_spec(package)
    places = (found.submodule_search_locations or ()) if found else ()
    folder = Path(next(iter(places), ".")) / "locale"
    return gettext.translation(package, folder, [wanted], fallback=True).gettext


def make_translator(package: str) -> Callable[[str], str]:
    """The ``_`` of a package that keeps its catalogues in ``locale/<language>/LC_MESSAGES/<package>.mo``.

    It gives the message in the user's language; placeholders stay, to be filled by ``format``. Reads nothing until a
    message is wanted in another language than English.
    """

    def translate(message: str) -> str:
        if get_language() == "en":
            return message
        found: str = _load_catalogue("zh_CN", package)(message)  # type: ignore[operator]
        return found

    return translate


_ = make_translator(TEXT_DOMAIN)


def N_(message: str) -> str:  # noqa: N802 - gettext's own name
    """Marks ``message`` for translation where it is written down; it is translated where it is shown."""
    return message
