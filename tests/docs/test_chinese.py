"""The Chinese pages are complete, belong to the English text as it is now, and use the words of the glossary.

What is new on an English page is found by `make docs`, which has Sphinx; everything else is found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from tests.cli.test_glossary import FORBIDDEN_WORDS
from tests.docs.blocks import DOCS, list_pages

CATALOGUES = DOCS / "locale" / "zh_CN" / "LC_MESSAGES"
PAGES = sorted(path.relative_to(CATALOGUES).with_suffix("").as_posix() for path in CATALOGUES.rglob("*.po"))
# What every user and every author of a plugin reads.
ALWAYS_CHINESE = {
    "index",
    "getting-started",
    "settings",
    "glossary",
    "authors/first-plugin",
    "authors/session-backend",
    "authors/rest-provider",
    "authors/provider",
    "authors/provider-failures",
    "authors/money",
    "authors/simulator",
    "authors/questions",
}


def list_messages(page: str) -> Iterator[Message]:
    with (CATALOGUES / f"{page}.po").open("rb") as file:
        catalog = read_po(file, locale="zh_CN")
    return (message for message in catalog if message.id)


def flatten(text: str) -> str:
    """Return the text as it is in a message: on one line, and without what protects signs in a table."""
    return re.sub(r"\s+", " ", text.replace("\\", ""))


def test_the_most_important_pages_are_in_chinese() -> None:
    assert set(PAGES) >= ALWAYS_CHINESE
    assert set(PAGES) <= set(list_pages())


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_is_complete(page: str) -> None:
    for message in list_messages(page):
        assert message.string, f"docs/{page}.md is not translated: {message.id}"
        assert not message.fuzzy, f"docs/{page}.md was changed: {message.id}"


@pytest.mark.parametrize("page", PAGES)
def test_what_is_translated_is_on_the_page(page: str) -> None:
    text = flatten((DOCS / f"{page}.md").read_text("utf-8"))
    gone = [message.id for message in list_messages(page) if flatten(str(message.id)) not in text]
    assert gone == [], f"docs/{page}.md has changed; run make docs-messages"


@pytest.mark.parametrize("page", PAGES)
def test_links_and_code_are_those_of_the_english_text(page: str) -> None:
    for message in list_messages(page):
        for pattern in (r"\]\([^)]*\)", r"`[^`]+`"):
            english, chinese = (
                set(re.findall(pattern, text)) for text in (str(message.id), str(message.string))
            )
            assert english == chinese, message.string


@pytest.mark.parametrize("page", PAGES)
def test_the_words_are_those_of_the_glossary(page: str) -> None:
    for message in list_messages(page):
        found = [word for word in FORBIDDEN_WORDS if word in str(message.string)]
        assert not found, f"{found}: {message.string}"


def test_a_catalogue_has_no_stray_copy() -> None:
    assert [path for path in Path(CATALOGUES).rglob("*") if path.suffix not in ("", ".po", ".mo")] == []
