"""Headers: what those of a response say (its time, how long to wait, cookies), and which a request may have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_text

MAX_RETRY_AFTER = timedelta(hours=1)


def parse_retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long the response asks to wait (RFC 9110, 10.2.3), at most `MAX_RETRY_AFTER`; None if it does not."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(timedelta(seconds=int(text)), MAX_RETRY_AFTER)
    try:
        # By the service's own clock, since this computer's may be wrong.
        span = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, IndexError):
        return None
    return min(max(span, timedelta()), MAX_RETRY_AFTER)


def parse_date(headers: Mapping[str, str]) -> datetime | None:
    """Return when the response was made; a cache sends an old date with its ``Age`` in seconds."""
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
        age = timedelta(seconds=int(headers.get("age", "0")))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).astimezone(UTC) + age


# RFC 9110, 5.6.2 and 5.5: what a name and a value may consist of.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_OWN_HEADERS = frozenset(
    {"host", "cookie", "content-length", "transfer-encoding", "connection", "user-agent"}
)


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a plugin adds to a request.

    Raises `UsageError`, without the value, for one that would end early or begin another one, and for those that the
    client sends itself.
    """
    for name, value in headers.items():
        if (
            not _HEADER_NAME.fullmatch(name)
            or name.lower() in _OWN_HEADERS
            or not _HEADER_VALUE.fullmatch(value)
        ):
            raise UsageError(
                _("the header {name} has a value that a header cannot have").format(name=quote_text(name)),
                hint=_("Nothing was sent. Log in again."),
            )
    return dict(headers)


# RFC 6265, 4.1.1: what a name and a value may consist of; commas and quotes are not allowed there, but in use.
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_COOKIE_VALUE = re.compile(r"[\x21-\x3a\x3c-\x5b\x5d-\x7e]*")


def format_cookies(cookies: Mapping[str, str]) -> str:
    """Return the header for these cookies; raises `UsageError` for one that would end early or begin another one."""
    for name, value in cookies.items():
        if not _COOKIE_NAME.fullmatch(name) or not _COOKIE_VALUE.fullmatch(value):
            raise UsageError(
                _("the cookie {name} has a value that a cookie cannot have").format(name=quote_text(name)),
                hint=_("Nothing was sent. Log in again."),
            )
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def parse_cookies(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        name, mark, value = line.partition(";")[0].partition("=")
        if mark:
            found[name.strip()] = value.strip()
    return found
