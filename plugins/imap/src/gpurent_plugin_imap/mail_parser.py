"""Extracts what matters from a raw message. Mail is hostile: anything unusual is rejected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from html.parser import HTMLParser

from gpurent.api import AccessSource, Mail

# Much more than any provider's mail needs; the HTML parser is slow on broken pages.
MAX_TEXT_SIZE = 128 * 1024
MAX_DEPTH = 8
_BLOCK_TAGS = {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "table"}
_HIDDEN_TAGS = {"script", "style", "head", "title", "template"}
# One address, alone or after a display name; no comments, groups or lists (allowed by RFC 5322, but providers send
# none).
_ADDRESS_PATTERN = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}"
_FROM_PATTERN = re.compile(
    rf"\s*(?:(?:\"(?:[^\"\\]|\\.)*\"|[^<>@\",;:()\[\]\\]*)\s*<({_ADDRESS_PATTERN})>|({_ADDRESS_PATTERN}))\s*"
)
# Chinese mailers declare the old character set and send its successor.
_CHARSET_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "gb_2312-80": "gb18030"}


class _TextExtractor(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden_depth += tag in _HIDDEN_TAGS
        if tag in _BLOCK_TAGS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden_depth -= tag in _HIDDEN_TAGS and self._hidden_depth > 0
        if tag in _BLOCK_TAGS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden_depth:
            self.parts.append(data)


def html_to_text(html: str) -> str:
    """Return the text of an HTML page, one line per block, without empty lines."""
    parser = _TextExtractor()
    parser.feed(html)
    lines = (line.strip() for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def parse_sender(message: Message) -> str:
    """Return the one address of the one From header in lower case. Raises `ValueError` for anything else."""
    headers = message.get_all("From") or []
    match = _FROM_PATTERN.fullmatch(str(headers[0])) if len(headers) == 1 else None
    if match is None:
        raise ValueError("not exactly one sender")
    return str(match[1] or match[2]).lower()


def parse_subject(message: Message) -> str:
    """Return the decoded subject on one line. Raises `ValueError` or `LookupError` if it cannot be decoded."""
    try:
        parts = decode_header(str(message.get("Subject", "")))
    except HeaderParseError:
        raise ValueError("the subject cannot be decoded") from None
    raw = "".join(_decode_text(part, charset) if isinstance(part, bytes) else part for part, charset in parts)
    return " ".join(raw.split())


def parse_mail(uid: str, message: Message, at: datetime, source: AccessSource) -> Mail:
    """Return the parts that gpurent reads of a mail that arrived ``at``; ``source`` says who wrote it.

    Raises `ValueError` or `LookupError` if the text is missing or the character set is unknown.
    """
    return Mail(
        uid=uid,
        at=at,
        sender=parse_sender(message),
        subject=parse_subject(message),
        text=extract_text(message),
        source=source,
    )


def extract_text(message: Message) -> str:
    """Return the first plain text that is not empty, or else the first HTML. Raises `ValueError` if there is none."""
    pages: list[str] = []
    for part in _walk_parts(message):
        kind = part.get_content_type()
        raw = part.get_payload(decode=True)
        if kind not in ("text/plain", "text/html") or not isinstance(raw, bytes) or len(raw) > MAX_TEXT_SIZE:
            continue
        text = _decode_text(raw, part.get_content_charset())
        if kind == "text/html":
            pages.append(html_to_text(text))
        elif text.strip():
            return text
    page = next((page for page in pages if page), None)
    if page is None:
        raise ValueError("no text")
    return page


def _walk_parts(message: Message, depth: int = 0) -> Iterator[Message]:
    """Yield what the sender wrote: no attachments, no forwarded messages."""
    if message.get_content_disposition() == "attachment" or message.get_content_maintype() == "message":
        return
    if not message.is_multipart():
        yield message
    elif depth < MAX_DEPTH:
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _walk_parts(part, depth + 1)


def _decode_text(raw: bytes, charset: str | None) -> str:
    name = (charset or "utf-8").lower()
    return raw.decode(_CHARSET_SUPERSETS.get(name, name), "replace")
