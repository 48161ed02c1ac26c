"""Bring the Chinese catalogue up to date: ``python scripts/messages.py`` extracts, merges and compiles.

``--check`` only says what is missing, and fails if anything is. Needs Babel, which `make setup` installs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "core" / "gpurent"
FOLDER = SOURCE / "locale" / "zh_CN" / "LC_MESSAGES"
KEYWORDS = {"_": None, "N_": None}


def extracted() -> Catalog:
    """Every message of the source, without line numbers: they would change with every commit."""
    catalog = Catalog(project="gpurent", charset="utf-8")
    for name, _line, message, comments, context in extract_from_dir(SOURCE, keywords=KEYWORDS):
        if message:
            catalog.add(message, auto_comments=comments, context=context, locations=[(name, 0)])
    return catalog


def main() -> int:
    path = FOLDER / "gpurent.po"
    with path.open("rb") as file:
        known = read_po(file, locale="zh_CN", domain="gpurent")
    template = extracted()
    if "--check" in sys.argv:
        missing = [m.id for m in template if m.id and not (known.get(m.id) and known.get(m.id).string)]
        print("\n".join(f"no translation: {text!r}" for text in missing))
        return 1 if missing else 0
    known.update(template, no_fuzzy_matching=True)
    known.obsolete.clear()
    with path.open("wb") as file:
        write_po(file, known, no_location=True, omit_header=False, sort_output=True, width=110)
    with (FOLDER / "gpurent.mo").open("wb") as file:
        write_mo(file, known)
    missing = [message.id for message in known if message.id and not message.string]
    print(f"{len(known)} messages, {len(missing)} without a translation")
    for text in missing:
        print(repr(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
