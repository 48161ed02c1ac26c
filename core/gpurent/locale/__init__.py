"""Messages in the user's language. The source speaks English; catalogues lie beside this file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

DOMAIN = "gpurent"
_chosen: list[str] = []


def choose(language: str) -> None:
    """Speak ``language`` (``en``, ``zh``, ``zh_CN``) from now on, whatever the environment says."""
    _chosen[:] = [language]
    _translate.cache_clear()


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak ``language`` inside the block; an empty one changes nothing. Only for blocks that do not await."""
    before = list(_chosen)
    if language:
        _chosen[:] = [language]
    try:
        yield
    finally:
        _chosen[:] = before


def language() -> str:
    """``zh`` or ``en``: what was chosen, else GPURENT_LANG, LC_ALL, LC_MESSAGES, LANG."""
    names = [
        *_chosen,
        *(os.environ.get(name, "") for name in ("GPURENT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")),
    ]
    for name in names:
        if name:
            return "zh" if name.lower().startswith("zh") else "en"
    return "en"


@cache
def _translate(wanted: str, package: str) -> object:
    # gettext costs some milliseconds to import; English needs none of it.
    import gettext
    from importlib.util import find_spec

    found = find_spec(package)
    places = (found.submodule_search_locations or ()) if found else ()
    folder = Path(next(iter(places), ".")) / "locale"
    return gettext.translation(package, folder, [wanted], fallback=True).gettext


def translator(package: str) -> Callable[[str], str]:
    """The ``_`` of a package that keeps its catalogues in ``locale/<language>/LC_MESSAGES/<package>.mo``.

    It gives the message in the user's language; placeholders stay, to be filled by ``format``. Reads nothing until a
    message is wanted in another language than English.
    """

    def translate(message: str) -> str:
        if language() == "en":
            return message
        found: str = _translate("zh_CN", package)(message)  # type: ignore[operator]
        return found

    return translate


_ = translator(DOMAIN)


def N_(message: str) -> str:  # noqa: N802 - gettext's own name
    """Marks ``message`` for translation where it is written down; it is translated where it is shown."""
    return message
