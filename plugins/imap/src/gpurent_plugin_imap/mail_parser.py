"""From a raw message to what matters of it. Mail is hostile: what is odd is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser

from gpurent.api import Mail

# Much more than any notice of a shop; the HTML parser is slow on broken pages.
MAX_TEXT_SIZE = 128 * 1024
MAX_DEPTH = 8
_BLOCK_TAGS = {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "table"}
_HIDDEN_TAGS = {"script", "style", "head", "title", "template"}
# One address, alone or after a display name; no comments, groups or lists (RFC 5322 allows them, shops send none).
_ADDRESS_PATTERN = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}"
_FROM_PATTERN = re.compile(
    rf"\s*(?:(?:\"(?:[^\"\\]|\\.)*\"|[^<>@\",;:()\[\]\\]*)\s*<({_ADDRESS_PATTERN})>|({_ADDRESS_PATTERN}))\s*"
)
# Chinese mailers write the old name and send its successor.
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
    """The text of an HTML page, a line for each block, no empty ones."""
    parser = _TextExtractor()
    parser.feed(html)
    lines = (line.strip() for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def parse_sender(message: Message) -> str:
    """The one address of the one From header, lower case; anything else is a `ValueError`."""
    headers = message.get_all("From") or []
    match = _FROM_PATTERN.fullmatch(str(headers[0])) if len(headers) == 1 else None
    if match is None:
        raise ValueError("not exactly one sender")
    return str(match[1] or match[2]).lower()


def parse_subject(message: Message) -> str:
    """Decoded, on one line."""
    raw = "".join(
        _decode_text(part, charset) if isinstance(part, bytes) else part
        for part, charset in decode_header(str(message.get("Subject", "")))
    )
    return " ".join(raw.split())


def parse_mail(uid: str, message: Message) -> Mail:
    """The parts that gpurent reads. No date, no text, an unknown charset: `ValueError` or `LookupError`."""
    at = parsedate_to_datetime(str(message["Date"]))
    return Mail(
        uid=uid,
        at=(at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC),
        sender=parse_sender(message),
        subject=parse_subject(message),
        text=extract_text(message),
    )


def extract_text(message: Message) -> str:
    """The first plain text that says anything, else the first HTML that does; none is a `ValueError`."""
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
    """What the sender wrote: no attachments, no mails of others that are passed on."""
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
