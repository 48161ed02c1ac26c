"""Keeps secrets out of logs and recordings."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote

from gpurent.domain.secret import Secret

MASK = "***"
MIN_SECRET_LENGTH = 4
_FIRST_MARK = 0xF0000  # of a plane of characters that no text has
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.DOTALL
)


def _encode_variants(text: str) -> set[str]:
    """Return ``text`` as URLs, JSON, HTML, Python and base64 write it; base64 in each of its three alignments."""
    raw = text.encode("utf-8", "surrogatepass")
    found = {
        text,
        quote(raw, safe=""),
        quote_plus(raw),
        quote(raw),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        html.escape(text),
        repr(text)[1:-1],
        repr(raw)[2:-1],
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
    }
    for lead in range(3):
        # Leave out the characters that also hold bits of adjacent bytes.
        first, last = (lead * 8 + 5) // 6, (lead + len(raw)) * 8 // 6
        padded = b"\0" * lead + raw
        if last - first >= 2 * MIN_SECRET_LENGTH:  # shorter ones would match ordinary text
            codes = (base64.b64encode(padded), base64.urlsafe_b64encode(padded))
            found |= {code.decode()[first:last] for code in codes}
    return {value for value in found if len(value) >= MIN_SECRET_LENGTH}


def split_secret(text: str) -> set[str]:
    """Return a secret setting and the parts that would reveal it: the items of a list, a URL's keys and passwords."""
    found = {text}
    for item in re.split(r"[\s,]+", text):
        found.add(item)
        _scheme, mark, rest = item.partition("://")
        if not mark:
            continue
        password = re.match(r"[^/@]*?:([^/@]+)@", rest)
        if password:
            found |= {password[1], unquote(password[1])}
        found |= {part for part in re.split(r"[/:@?&=;#]", rest) if _looks_secret(part)}
    return {part for part in found if part}


def _looks_secret(part: str) -> bool:
    """Return whether a part of a URL looks like a key, rather than like a host name or a word of a path."""
    if len(part) < 2 * MIN_SECRET_LENGTH or re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}|[\d.]+", part):
        return False
    mixed = part.lower() != part != part.upper()
    return len(part) >= 5 * MIN_SECRET_LENGTH or mixed or any(c.isdigit() for c in part)


class Redactor(logging.Filter):
    """Knows the secret values and their usual encodings. Also a filter for log handlers.

    ``accounts``: what identifies the user to a service. It is no secret, but a recording does without it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.accounts: set[str] = set()
        self._secrets_by_value: dict[str, str] = {}
        self._longest_first: list[str] = []

    def register_secret(self, secret: Secret) -> None:
        """Mask ``secret`` from now on; very short values are not registered, as they would match ordinary text."""
        text = secret.reveal()
        if len(text) < MIN_SECRET_LENGTH or self._secrets_by_value.get(text) == text:
            return
        for value in _encode_variants(text):
            self._secrets_by_value.setdefault(value, text)
        self._secrets_by_value[text] = text
        self._longest_first = sorted(self._secrets_by_value, key=len, reverse=True)

    def register_account(self, account: str) -> None:
        if account:
            self.accounts.add(account)

    def redact(self, text: str) -> str:
        """Return ``text`` with registered values (longest first) and private keys masked."""
        return self.replace_secrets(text, lambda _secret: MASK)

    def replace_secrets(self, text: str, make: Callable[[str], str]) -> str:
        """Return ``text`` with ``make(secret)`` in place of each secret, in whichever encoding, and of private keys."""
        text = _PRIVATE_KEY.sub(lambda found: make(found[0]), text)
        # One character stands in meanwhile: what `make` returns may itself contain a secret such as "secret".
        found: dict[int, str] = {}
        for value in self._longest_first:
            if value in text:
                mark = _FIRST_MARK + len(found)
                found[mark] = self._secrets_by_value[value]
                text = text.replace(value, chr(mark))
        return text.translate({mark: make(secret) for mark, secret in found.items()}) if found else text

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001 - logging would print the arguments as they are
            text = f"{record.msg} (arguments withheld: {type(error).__name__})"
        record.msg = self.redact(text)
        record.args = None
        if record.stack_info:
            record.stack_info = self.redact(record.stack_info)
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = self.redact(record.exc_text)
        return True
