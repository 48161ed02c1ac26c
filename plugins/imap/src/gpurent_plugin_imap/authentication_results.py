"""What the user's own mail server found out about a mail's sender: its Authentication-Results (RFC 8601). Pure.

Whoever sends a mail can write the same header into it. A server that adds its own removes those with its name and puts
its own above the sender's headers (RFC 8601, section 5), so that only the topmost one with that name counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from email.message import Message

from attrs import field, frozen

HEADER = "authentication-results"
MAX_HEADER_SIZE = 16 * 1024
# Outside of a comment and of a quoted string, no value needs anything else. Servers write "=" in values unquoted: a
# signature in base64 ends with it.
_VALUE = r"(?:\"(?:[^\"\\]|\\.)*\"|[^\s\";()]+)"
_RESULT_PATTERN = re.compile(
    r"(?P<method>[a-z0-9][a-z0-9-]*)(?:\s*/\s*\d+)?\s*=\s*(?P<result>[a-z]+)(?P<rest>(?:\s.*)?)", re.DOTALL
)
_PROPERTY_PATTERN = re.compile(
    rf"\s+(?P<type>[a-z][a-z0-9-]*)(?:\s*\.\s*(?P<name>[a-z0-9][a-z0-9._-]*))?\s*=\s*(?P<value>{_VALUE})",
    re.DOTALL,
)
_NAME_PATTERN = re.compile(rf"\s*(?P<name>{_VALUE})(?:\s+\d+)?\s*")


@frozen
class MethodResult:
    """The result of one method, in lower case, with its properties, such as ``header.from``."""

    method: str
    result: str
    properties: dict[str, str] = field(factory=dict)


def is_sender_authenticated(message: Message, sender: str, authserv_id: str) -> bool:
    """Return whether the server ``authserv_id`` found that the mail comes from the domain of the address ``sender``.

    That is DMARC for exactly this domain, or without it DKIM and SPF both. What is not understood says nothing.
    """
    domain = sender.rpartition("@")[2].lower()
    results = find_results(message, authserv_id) if authserv_id and domain else ()
    by_method = {method: [it for it in results if it.method == method] for method in ("dmarc", "dkim", "spf")}
    dmarc = [it for it in by_method["dmarc"] if it.result != "none"]
    if dmarc:
        return all(it.result == "pass" and it.properties.get("header.from") == domain for it in dmarc)
    has_dkim = any(
        it.result == "pass" and it.properties.get("header.d") == domain for it in by_method["dkim"]
    )
    has_spf = any(
        it.result == "pass" and _get_domain(it.properties.get("smtp.mailfrom", "")) == domain
        for it in by_method["spf"]
    )
    return has_dkim and has_spf and all(it.result == "pass" for it in by_method["spf"])


def find_results(message: Message, authserv_id: str) -> Sequence[MethodResult]:
    """Return the results in the topmost header of this server; none if there is none that is understood."""
    for value in message.get_all(HEADER) or []:
        try:
            name, *parts = _split_parts(_remove_comments(_check_text(str(value))))
            found = _NAME_PATTERN.fullmatch(name)
            if found is not None and _unquote(found["name"]).lower() == authserv_id.lower():
                return [_parse_result(part) for part in parts if part.strip().lower() not in ("", "none")]
        except ValueError:
            # It may be the server's own: nothing below it counts instead.
            return ()
    return ()


def _check_text(text: str) -> str:
    """Return the text of a header. Raises `ValueError` if it is too long, or not printable ASCII."""
    if len(text) > MAX_HEADER_SIZE:
        raise ValueError("too long")
    if not text.isascii() or not all(letter.isprintable() or letter in "\r\n\t" for letter in text):
        raise ValueError("not printable ASCII")
    return text


def _remove_comments(text: str) -> str:
    """Return the text with each comment, which may be nested, as one space. Raises `ValueError`."""
    kept, depth = [], 0
    for letter, is_quoted in _iterate_letters(text):
        if not is_quoted and letter == "(":
            depth += 1
        elif not is_quoted and letter == ")":
            depth -= 1
            if depth < 0:
                raise ValueError("a comment that never began")
            kept.append(" ")
        elif not depth:
            kept.append(letter)
    if depth:
        raise ValueError("a comment that never ends")
    return "".join(kept)


def _iterate_letters(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each letter, an escaped one with its backslash, and whether it is part of a quoted string.

    In a comment a quotation mark has no meaning. Raises `ValueError` for a string that never ends.
    """
    depth, is_quoted, letters = 0, False, iter(text)
    for letter in letters:
        if letter == "\\":
            yield letter + next(letters, ""), True
            continue
        if letter == '"' and not depth:
            is_quoted = not is_quoted
            yield letter, True
            continue
        depth += 0 if is_quoted else (letter == "(") - (letter == ")")
        yield letter, is_quoted
    if is_quoted:
        raise ValueError("a string that never ends")


def _split_parts(text: str) -> list[str]:
    parts = [""]
    for letter, is_quoted in _iterate_letters(text):
        if letter == ";" and not is_quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _parse_result(text: str) -> MethodResult:
    found = _RESULT_PATTERN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError("not a result")
    properties: dict[str, str] = {}
    at, rest = 0, found["rest"].rstrip()
    while at < len(rest):
        one = _PROPERTY_PATTERN.match(rest, at)
        if one is None:
            raise ValueError("not a property")
        name = f"{one['type']}.{one['name']}" if one["name"] else one["type"]
        if name in properties:
            raise ValueError("a property that is given twice")
        properties[name] = _unquote(one["value"])
        at = one.end()
    return MethodResult(found["method"], found["result"], properties)


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _get_domain(address: str) -> str:
    """Return the domain of an address, or the text itself: SPF may name the domain alone."""
    return address.rpartition("@")[2]
