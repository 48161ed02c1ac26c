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
LONGEST = 128 * 1024
DEEPEST = 8
_BREAKS = {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "table"}
_HIDDEN = {"script", "style", "head", "title", "template"}
# One address, alone or after a display name; no comments, groups or lists (RFC 5322 allows them, shops send none).
_ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}"
_FROM = re.compile(rf"\s*(?:(?:\"(?:[^\"\\]|\\.)*\"|[^<>@\",;:()\[\]\\]*)\s*<({_ADDRESS})>|({_ADDRESS}))\s*")
# Chinese mailers write the old name and send its successor.
_CHARSETS = {"gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "gb_2312-80": "gb18030"}


class _Plain(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        if tag in _BREAKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN and self._hidden > 0
        if tag in _BREAKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def plain(html: str) -> str:
    """The text of an HTML page, a line for each block, no empty ones."""
    parser = _Plain()
    parser.feed(html)
    lines = (line.strip() for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def sender_of(message: Message) -> str:
    """The one address of the one From header, lower case; anything else is a `ValueError`."""
    headers = message.get_all("From") or []
    match = _FROM.fullmatch(str(headers[0])) if len(headers) == 1 else None
    if match is None:
        raise ValueError("not exactly one sender")
    return str(match[1] or match[2]).lower()


def subject_of(message: Message) -> str:
    """Decoded, on one line."""
    raw = "".join(
        _decode(part, charset) if isinstance(part, bytes) else part
        for part, charset in decode_header(str(message.get("Subject", "")))
    )
    return " ".join(raw.split())


def mail_of(uid: str, message: Message) -> Mail:
    """The parts that gpurent reads. No date, no text, an unknown charset: `ValueError` or `LookupError`."""
    at = parsedate_to_datetime(str(message["Date"]))
    return Mail(
        uid=uid,
        at=(at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC),
        sender=sender_of(message),
        subject=subject_of(message),
        text=text_of(message),
    )


def text_of(message: Message) -> str:
    """The first plain text that says anything, else the first HTML that does; none is a `ValueError`."""
    pages: list[str] = []
    for part in _parts(message):
        kind = part.get_content_type()
        raw = part.get_payload(decode=True)
        if kind not in ("text/plain", "text/html") or not isinstance(raw, bytes) or len(raw) > LONGEST:
            continue
        text = _decode(raw, part.get_content_charset())
        if kind == "text/html":
            pages.append(plain(text))
        elif text.strip():
            return text
    page = next((page for page in pages if page), None)
    if page is None:
        raise ValueError("no text")
    return page


def _parts(message: Message, depth: int = 0) -> Iterator[Message]:
    """What the sender wrote: no attachments, no mails of others that are passed on."""
    if message.get_content_disposition() == "attachment" or message.get_content_maintype() == "message":
        return
    if not message.is_multipart():
        yield message
    elif depth < DEEPEST:
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _parts(part, depth + 1)


def _decode(raw: bytes, charset: str | None) -> str:
    name = (charset or "utf-8").lower()
    return raw.decode(_CHARSETS.get(name, name), "replace")
