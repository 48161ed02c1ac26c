"""From a raw message to what matters of it. Mail is hostile: what is odd is refused."""

from __future__ import annotations

import re
from datetime import UTC
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from html.parser import HTMLParser

from gpurent.api import Mail

_BREAKS = {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "table"}
_HIDDEN = {"script", "style", "head", "title"}


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
    """The text of an HTML page, a line for each block."""
    parser = _Plain()
    parser.feed(html)
    return re.sub(r"[ \t]*\n\s*", "\n", "".join(parser.parts)).strip()


def sender_of(message: Message) -> str:
    """The one address of the one From header, lower case; anything else is a `ValueError`."""
    headers = message.get_all("From") or []
    if len(headers) != 1:
        raise ValueError("not exactly one From")
    found = getaddresses([str(headers[0])])
    if len(found) != 1 or found[0][1].count("@") != 1:
        raise ValueError("not exactly one sender")
    return found[0][1].lower()


def mail_of(uid: str, message: Message) -> Mail:
    """The parts that gpurent reads. No date, no text, an unknown charset: `ValueError` or `LookupError`."""
    at = parsedate_to_datetime(str(message["Date"]))
    return Mail(
        uid=uid,
        at=(at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC),
        sender=sender_of(message),
        subject=str(make_header(decode_header(str(message.get("Subject", ""))))).strip(),
        text=_text(message),
    )


def _text(message: Message) -> str:
    pages: list[str] = []
    for part in message.walk():
        kind = part.get_content_type()
        if (
            part.is_multipart()
            or part.get_content_disposition() == "attachment"
            or not kind.startswith("text/")
        ):
            continue
        raw = part.get_payload(decode=True)
        if not isinstance(raw, bytes):
            continue
        text = raw.decode(part.get_content_charset() or "utf-8", "replace")
        if kind == "text/plain":
            return text
        if kind == "text/html":
            pages.append(plain(text))
    if not pages:
        raise ValueError("no text")
    return pages[0]
