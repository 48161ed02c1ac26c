"""The hash chain of the ledger: each entry is bound to the one before it, so that a later change is noticed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from attrs import field, frozen

from gpurent.terminal_text import ForeignText

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@frozen(kw_only=True)
class BrokenEntry:
    """An entry that does not match the chain: it was changed, or one before it was changed, added or removed.

    ``number`` counts the entries of the ledger in the order of entry, from 1.
    """

    number: int
    provider: str
    account: str = field(converter=ForeignText)
    ref: str = field(converter=ForeignText)
    at: datetime


@frozen(kw_only=True)
class LedgerHead:
    """The newest entry of an account: ``number`` counts its entries from 1, ``link`` is its link in the chain."""

    provider: str
    account: str
    number: int
    link: str


def hash_entry(
    previous: str, entry: Sequence[str | int | None], postings: Sequence[Sequence[str | int]]
) -> str:
    """Return the entry's link in the chain: the SHA-256 of its canonical form, as 64 hexadecimal digits.

    The canonical form is the JSON array ``[previous, entry, postings]`` in UTF-8, without spaces, with only those
    characters escaped that JSON requires. ``previous`` is the link of the entry before it of the same provider and
    account; empty for the first. ``entry`` holds at, kind, provider, account, ref, part, reversal, growing, lease,
    trip, gpu, note, rate and entered_at: times in ISO 8601 with microseconds, in UTC; reversal and growing as 0 or 1;
    the rate as JSON text, or null. Each of ``postings`` holds account, currency, exponent and amount: whole minor units
    in decimal digits.
    """
    return sha256(_encode([previous, entry, postings]).encode()).hexdigest()
