"""What stands in a recording for a value of the user: always the same for one value, and of the same shape."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections import Counter
from enum import Enum
from ipaddress import IPv4Address, ip_address

from attrs import define, field

from gpurent.locale import N_

# Networks for documentation (RFC 5737), then the one for measurements (RFC 2544), which is larger.
_DOCUMENTATION_NETWORKS = ("203.0.113", "198.51.100", "192.0.2")
_HOSTS_EACH = 254
_FIRST_MEASURED = int(IPv4Address("198.18.0.1"))
_MEASURED_COUNT = 2**17 - 2
_FIRST_NUMBER = 900_000_000
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-fA-F]+")


class ValueKind(Enum):
    """What is replaced. DATA: long tokens and numbers of which nobody can say what they are."""

    SECRET = "secret"  # noqa: S105 - the name of the kind
    ACCOUNT = "account"
    EMAIL = "email"
    PUBLIC_KEY = "public-key"
    ADDRESS = "address"
    HOST = "host"
    CONTENT = "content"
    DATA = "data"


KIND_TITLES = {
    ValueKind.SECRET: N_("secrets"),
    ValueKind.ACCOUNT: N_("names and numbers of accounts"),
    ValueKind.EMAIL: N_("e-mail addresses"),
    ValueKind.PUBLIC_KEY: N_("public keys"),
    ValueKind.ADDRESS: N_("IP addresses"),
    ValueKind.HOST: N_("host names"),
    ValueKind.CONTENT: N_("texts of yours"),
    ValueKind.DATA: N_("long tokens"),
}


@define
class Placeholders:
    """The placeholders of one recording. The first kind that a value was taken for decides."""

    _by_value: dict[str, str] = field(factory=dict)
    _numbers: dict[str, int] = field(factory=dict)
    _issued: set[str] = field(factory=set)
    _counts: Counter[ValueKind] = field(factory=Counter)

    @property
    def counts(self) -> dict[str, int]:
        """How many values of each kind were replaced, by the kind's name."""
        return {kind.value: self._counts[kind] for kind in ValueKind if self._counts[kind]}

    def is_placeholder(self, text: str) -> bool:
        return text in self._issued

    def get(self, kind: ValueKind, value: str) -> str:
        """Return the placeholder for a text."""
        value = value.strip()
        if value in self._issued:
            return value
        if value not in self._by_value:
            made = _make_placeholder(kind, value, self._number(kind, value))
            while made == value:  # a service sent what looks like one of ours
                self._numbers.pop(value)
                made = _make_placeholder(kind, value, self._number(kind, value))
            self._by_value[value] = made
            self._issued.add(made)
        return self._by_value[value]

    def get_number(self, kind: ValueKind, value: int) -> int:
        """Return the placeholder for a number, which is one too."""
        if value >= _FIRST_NUMBER and str(value) in self._issued:
            return value
        found = _FIRST_NUMBER + self._number(kind, str(value))
        self._issued.add(str(found))
        return found

    def _number(self, kind: ValueKind, value: str) -> int:
        if value not in self._numbers:
            self._counts[kind] += 1
            self._numbers[value] = self._counts[kind]
        return self._numbers[value]


def _make_placeholder(kind: ValueKind, value: str, number: int) -> str:
    match kind:
        case ValueKind.ACCOUNT if value.isdecimal():
            return str(_FIRST_NUMBER + number)
        case ValueKind.ADDRESS:
            return _make_address(value, number)
        case ValueKind.HOST:
            return f"host-{number}.example"
        case ValueKind.DATA:
            return _make_token(value, number)
    made = f"<{kind.value}-{number}>"
    return b64encode(made.encode()).decode() if kind is ValueKind.SECRET and _is_encoded(value) else made


def _is_encoded(value: str) -> bool:
    """Whether it is base64 of a text, as some services send passwords."""
    try:
        return b64decode(value, validate=True).decode("ascii").isprintable()
    except ValueError:
        return False


def _make_address(value: str, number: int) -> str:
    if ip_address(value).version == 6:
        return (
            f"2001:db8::{number:x}" if number < 2**16 else f"2001:db8::{number >> 16:x}:{number & 0xFFFF:x}"
        )
    network, host = divmod(number - 1, _HOSTS_EACH)
    if network < len(_DOCUMENTATION_NETWORKS):
        return f"{_DOCUMENTATION_NETWORKS[network]}.{host + 1}"
    return str(IPv4Address(_FIRST_MEASURED + number % _MEASURED_COUNT))


def _make_token(value: str, number: int) -> str:
    """Return a token of the same length and alphabet, which nothing can be read from."""
    if _UUID.fullmatch(value):
        return f"00000000-0000-4000-8000-{number:012x}"
    head = "0x" if value.startswith("0x") else ""
    length = len(value) - len(head)
    if _HEX.fullmatch(value[len(head) :]):
        return head + f"{number:0{length}x}"
    return f"token{number}x".ljust(len(value), "0")
