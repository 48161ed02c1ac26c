"""The Chinese catalogues use the words of docs/glossary.md: one Chinese word for each term."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from tests.cli.test_catalogue import CATALOGUES, ROOT, first_forms

# Second words for a term, which nobody should have to learn; and the polite "you", which no message uses.
FORBIDDEN_WORDS = ("供应商", "商家", "卖家", "店铺", "门户", "交还", "归还", "租赁", "令牌", "您")
# Messages in which the English word means something else.
OTHER_MEANINGS = {
    "Compare the providers: what they offer, how easy they are to use, what they cost, and how well each is known."
    "\n\nWithout a name, the most important of each; with names, everything.": "offer",
    "Disk size to order, in GiB": "order",
    "It logs in with the lease's key file; FileZilla may offer to convert it first.": "offer",
    "Many e-mail services require an app password for IMAP.": "password",
    "Nothing was changed. Upgrade gpurent.": "upgrade",
    "Open the trading page and offer {money} for sale; it shows the price before you agree.": "offer",
    "Providers to rent from, in order of preference ({known})": "order",
    "The URL contains no password: WinSCP asks for it. To log in with a key instead, choose {key} under"
    " Advanced > SSH > Authentication; WinSCP offers to convert it.": "offer",
    "Rent GPU servers by the hour, run jobs that survive a dropped connection, and account for every cent.": (
        "account"
    ),
    "[imap] user, password and folder must not contain control characters": "password",
    "fields username and password; session cookie": "password",
    "ledger entry {ref} does not balance": "balance",
    "setting up the machine": "setting",
    "depends on the host's connection": "connection",
    "virtual machines rented directly on the DeepBrain Chain, prepaid in DBC": "machine",
}
# Code in a message: commands, quoted code, placeholders, options, sections, words in capitals.
_CODE = re.compile(
    r"`[^`]*`|\{[^}]*\}|\bgpurent [a-z]+(?: [a-z.-]+)*|--[a-z-]+(?: [a-z]+)?|\[[^\]]*\]|\b[A-Z_]{4,}\b"
)


def read_glossary() -> Iterator[tuple[list[str], list[str]]]:
    """Yield the English and the Chinese words of each row."""
    page = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    for english, chinese in re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE):
        if not english.startswith(("English", "---")):
            yield english.split(", "), chinese.split(", ")


def uses_term(message: str, term: str) -> bool:
    """Return whether the message contains the term as a word; "log in" is another word than "log"."""
    word = rf"\b{re.escape(term)}s?\b" + (r"(?! in\b| out\b)" if term == "log" else "")
    return re.search(word, _CODE.sub(" ", message), re.IGNORECASE) is not None


def test_the_glossary_is_read() -> None:
    rows = list(read_glossary())
    assert len(rows) > 60
    assert (["provider"], ["服务商"]) in rows
    terms = [term for english, _chinese in rows for term in english]
    assert len(terms) == len(set(terms)), "one row per term"


@pytest.mark.parametrize("path", CATALOGUES, ids=[path.stem for path in CATALOGUES])
def test_every_term_has_its_chinese_word(path: Path) -> None:
    wrong = []
    with path.open("rb") as file:
        messages = [first_forms(message) for message in read_po(file, locale="zh_CN") if message.id]
    for english, chinese in messages:
        wrong += [(word, english, chinese) for word in FORBIDDEN_WORDS if word in chinese]
        for terms, words in read_glossary():
            used = [term for term in terms if uses_term(english, term)]
            if (
                used
                and OTHER_MEANINGS.get(english) not in terms
                and not any(word in chinese for word in words)
            ):
                wrong.append((used[0], english, chinese))
    assert not wrong, "\n".join(map(str, wrong))
