"""A call of the API: a signed form, and the checks of its fields."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from hashlib import sha1
from typing import Any
from urllib.parse import parse_qsl

from attrs import frozen

from gpurent.api import Evidence
from gpurent_plugin_compshare.simulator.accounts import CompShareAccount

MISSING, INVALID, NO_ACTION, UNKNOWN_ACTION = 220, 230, 160, 161
NO_SIGNATURE, WRONG_SIGNATURE, UNKNOWN_KEY = 170, 171, 172


class CompShareRefusal(Exception):
    """An answer with a return code, and status 200 (assumed)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@frozen(kw_only=True)
class Call:
    """A call with a valid signature. ``fields`` are flat, as in the form: ``Disks.0.Size``."""

    account: CompShareAccount
    action: str
    fields: Mapping[str, str]

    def get_text(self, name: str) -> str:
        if not self.fields.get(name):
            raise CompShareRefusal(MISSING, f"Missing params [{name}]")
        return self.fields[name]

    def get_number(self, *names: str, default: int | None = None) -> int:
        """Return a whole number, which may have one of several names."""
        text = next((self.fields[name] for name in names if self.fields.get(name)), None)
        if text is None and default is not None:
            return default
        if text is None:
            raise CompShareRefusal(MISSING, f"Missing params [{names[0]}]")
        if not text.isascii() or not text.isdecimal() or len(text) > 12:
            raise CompShareRefusal(INVALID, f"Params [{names[0]}] not available")
        return int(text)

    def get_flag(self, name: str) -> bool:
        return self.fields.get(name) == "true"

    def list_texts(self, name: str) -> list[str]:
        return [value for key, value in self.fields.items() if key.startswith(f"{name}.")]

    def list_items(self, name: str) -> list[Mapping[str, str]]:
        """Return the objects of a list: ``Disks.0.Size`` is ``Size`` of the first."""
        found: dict[str, dict[str, str]] = {}
        for key, value in self.fields.items():
            head, _, rest = key.partition(".")
            number, _, part = rest.partition(".")
            if head == name and part:
                found.setdefault(number, {})[part] = value
        return [found[number] for number in sorted(found)]


Handler = Callable[[Call], Awaitable[dict[str, Any]]]


@frozen(kw_only=True)
class ApiAction:
    """One action of the API."""

    name: str
    handle: Handler
    evidence: Evidence = Evidence.DOCUMENTED
    note: str = ""


def parse_fields(query: str, body: bytes) -> dict[str, str]:
    """Return the fields of a request: of its form, or of its query."""
    text = body.decode("utf-8", "replace")
    return dict(parse_qsl(query, keep_blank_values=True) + parse_qsl(text, keep_blank_values=True))


def authenticate(accounts: list[CompShareAccount], fields: dict[str, str]) -> Call:
    """Return the call, if it is signed. Raises `CompShareRefusal`."""
    action, given = fields.get("Action", ""), fields.pop("Signature", "")
    if not action:
        raise CompShareRefusal(NO_ACTION, "Missing Action")
    if not given or "PublicKey" not in fields:
        raise CompShareRefusal(NO_SIGNATURE, "Missing Signature")
    account = next((found for found in accounts if found.public_key == fields["PublicKey"]), None)
    if account is None:
        raise CompShareRefusal(UNKNOWN_KEY, "User not exist")
    text = "".join(key + fields[key] for key in sorted(fields)) + account.private_key
    wanted = sha1(text.encode(), usedforsecurity=False).hexdigest()
    if not secrets.compare_digest(wanted.encode(), given.encode()):
        raise CompShareRefusal(WRONG_SIGNATURE, "Signature VerifyAC Error")
    return Call(account=account, action=action, fields=fields)


def to_seconds(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp())
