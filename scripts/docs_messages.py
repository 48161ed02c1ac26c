"""The Chinese pages: ``python scripts/docs_messages.py`` brings their catalogues up to the English pages.

A page of `docs/` is in Chinese if it has a catalogue in `docs/locale/zh_CN/LC_MESSAGES`: one message for each
paragraph, heading and cell. It is then complete: ``--check`` names what is missing, what has changed in English since
(the message is marked fuzzy, with its former Chinese text) and what is gone, and fails. Other pages are shown in
English, with a note. ``--begin PAGE`` makes the catalogue of one of them.

Runs in the environment that `make docs` makes: it needs Sphinx, which finds the messages, and Babel.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
DOCS, TEMPLATES = ROOT / "docs", ROOT / "build" / "docs" / "gettext"
CATALOGUES = DOCS / "locale" / "zh_CN" / "LC_MESSAGES"
# What the command line says has its Chinese text there already: the meaning of options.
CORE_CATALOGUE = ROOT / "core" / "gpurent" / "locale" / "zh_CN" / "LC_MESSAGES" / "gpurent.po"
SHORTEST_SENTENCE = 12  # a single word may mean something else on a page
# The date of the run would make every run a change.
CREATION_DATE = datetime(2026, 1, 1, tzinfo=UTC)
# Has both languages: docs/conf.py shows one of them.
BILINGUAL = frozenset({"errors"})
# Made from the code, whose docstrings are English.
UNTRANSLATED_FOLDER = "reference"
_CODE = re.compile(r"`[^`]*`|\]\([^)]*\)|https?://\S+")


def extract_messages() -> None:
    """Let Sphinx write a template for each page."""
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "gettext", "-d", f"{TEMPLATES}/.doctrees"]
    subprocess.run([*command, str(DOCS), str(TEMPLATES)], check=True)


def list_pages() -> list[str]:
    """Return the names of the pages that could be in Chinese, in the order of their names."""
    found = (path.relative_to(TEMPLATES).with_suffix("").as_posix() for path in TEMPLATES.rglob("*.pot"))
    pages = {
        page for page in found if (DOCS / f"{page}.md").exists() and not page.startswith(UNTRANSLATED_FOLDER)
    }
    return sorted(pages - BILINGUAL)


def find_catalogue(page: str) -> Path:
    return CATALOGUES / f"{page}.po"


def read_catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale="zh_CN")


def list_messages(catalog: Catalog) -> Iterator[Message]:
    return (message for message in catalog if message.id)


def needs_no_translation(text: str) -> bool:
    """Return whether the text has no English word: it is Chinese already, or nothing but code, numbers and signs."""
    return not re.search(r"[A-Za-z]{2}", _CODE.sub("", text))


def read_core_texts() -> Mapping[str, str]:
    return {str(message.id): str(message.string) for message in list_messages(read_catalogue(CORE_CATALOGUE))}


def find_text(text: str, core_texts: Mapping[str, str]) -> str:
    """Return the Chinese text that needs no translator, empty if there is none."""
    if needs_no_translation(text):
        return text
    return core_texts.get(text, "") if len(text) > SHORTEST_SENTENCE else ""


def merge_page(page: str, core_texts: Mapping[str, str]) -> None:
    """Bring the catalogue of a page up to its English text."""
    path = find_catalogue(page)
    template = read_catalogue(TEMPLATES / f"{page}.pot")
    known = (
        read_catalogue(path)
        if path.exists()
        else Catalog(locale="zh_CN", project="gpurent", charset="utf-8", creation_date=CREATION_DATE)
    )
    known.update(template, update_creation_date=False)
    known.obsolete.clear()
    for message in list_messages(known):
        message.locations, message.previous_id = [], message.previous_id if message.fuzzy else []
        if not message.string:
            message.string = find_text(str(message.id), core_texts)
    known.creation_date = known.revision_date = CREATION_DATE
    known.header_comment = f"# The Chinese text of docs/{page}.md; see scripts/docs_messages.py."
    known.project, known.version, known.fuzzy = "gpurent", "", False
    known.msgid_bugs_address = known.last_translator = ""
    known.language_team = "Chinese"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, known, width=120, include_previous=True)


def find_problems(page: str) -> Iterator[str]:
    """Yield each message of a page that is missing, outdated or gone."""
    known = read_catalogue(find_catalogue(page))
    wanted = {str(message.id) for message in list_messages(read_catalogue(TEMPLATES / f"{page}.pot"))}
    found = {str(message.id): message for message in list_messages(known)}
    for text in sorted(wanted):
        message = found.get(text)
        if message is None or not message.string:
            yield f"not translated: {_shorten(text)}"
        elif message.fuzzy:
            yield f"changed in English since it was translated: {_shorten(text)}"
    yield from (f"not on the page any more: {_shorten(text)}" for text in sorted(found.keys() - wanted))


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def check_pages(pages: list[str]) -> int:
    """Print what is wrong, then the pages that have no Chinese text; return the exit code."""
    code, english = 0, []
    for page in pages:
        if not find_catalogue(page).exists():
            english.append(page)
            continue
        for problem in find_problems(page):
            code = 1
            print(f"docs/{page}.md: {problem}")
    for path in sorted(CATALOGUES.rglob("*.po")):
        if path.relative_to(CATALOGUES).with_suffix("").as_posix() not in pages:
            code = 1
            print(f"{path.relative_to(ROOT)}: no such page")
    print(
        f"in Chinese: {len(pages) - len(english) + len(BILINGUAL)} pages; in English only: {', '.join(english)}"
    )
    if code:
        print("Run `make docs-messages` if you have not, and write the Chinese text into docs/locale.")
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--check", action="store_true", help="only report, and fail if a page is not complete"
    )
    parser.add_argument(
        "--begin", metavar="PAGE", action="append", default=[], help="make the catalogue of PAGE"
    )
    options = parser.parse_args()
    extract_messages()
    pages = list_pages()
    if unknown := sorted(set(options.begin) - set(pages)):
        parser.error(f"no such page: {', '.join(unknown)}")
    if not options.check:
        core_texts = read_core_texts()
        for page in pages:
            if find_catalogue(page).exists() or page in options.begin:
                merge_page(page, core_texts)
    code = check_pages(pages)
    return code if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
