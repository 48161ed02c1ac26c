"""Parsing of the names that services give to what they rent: machines, orders, payments."""

from __future__ import annotations

MAX_NAME_LENGTH = 128


def parse_foreign_name(value: object) -> str:
    """Return a name as a service gave it, if commands and requests can repeat it; otherwise raise `ValueError`.

    It is text of 1 to 128 visible characters without spaces or slashes, and cannot be taken for an option.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME_LENGTH:
        raise ValueError
    if (
        value.startswith(("-", "."))
        or not value.isprintable()
        or any(c.isspace() or c in "/\\?#" for c in value)
    ):
        raise ValueError
    return value
