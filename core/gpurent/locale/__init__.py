"""Messages in the user's language. The source speaks English; catalogues lie beside this file."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

DOMAIN = "gpurent"
_chosen: list[str] = []


def choose(language: str) -> None:
    """Speak ``language`` (``en``, ``zh``, ``zh_CN``) from now on, whatever the environment says."""
    _chosen[:] = [language]
    _translate.cache_clear()


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
def _translate(wanted: str) -> object:
    # gettext costs some milliseconds to import; English needs none of it.
    import gettext

    return gettext.translation(DOMAIN, Path(__file__).parent, [wanted], fallback=True).gettext


def _(message: str) -> str:
    """``message`` in the user's language; placeholders stay, to be filled by ``format``."""
    if language() == "en":
        return message
    found: str = _translate("zh_CN")(message)  # type: ignore[operator]
    return found


def N_(message: str) -> str:  # noqa: N802 - gettext's own name
    """Marks ``message`` for translation where it is written down; it is translated where it is shown."""
    return message
