"""One call of the API, and the checks of its fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from attrs import frozen

from gpurent.api import Evidence, parse_exact_json
from gpurent_plugin_vast.simulator.accounts import VastAccount
from gpurent_plugin_vast.simulator.amounts import parse_micros, parse_number
from gpurent_plugin_vast.simulator.instances import InstanceWish
from gpurent_plugin_vast.simulator.refusal import VastRefusal, invalid_args

MIN_PRICE, MAX_PRICE = 1_000, 128_000_000
MIN_DISK = 8
MAX_IMAGE, MAX_CREATE_LABEL, MAX_LABEL, MAX_SCRIPT = 1024, 256, 1024, 4096
MAX_ENV_ITEM, MAX_ENV = 256, 32_768


@frozen(kw_only=True)
class Call:
    """A call with a valid key. ``path``: what stands for the names in it; ``body``: the JSON object."""

    account: VastAccount
    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def id(self) -> int:
        return self._read_number("id")

    @property
    def key(self) -> int:
        """The id of an SSH key."""
        return self._read_number("key")

    def _read_number(self, name: str) -> int:
        text = str(self.path[name])
        if not text.isdecimal() or not text.isascii() or len(text) > 18:
            raise invalid_args(f"{name} is not a number")
        return int(text)

    def read_query(self, name: str) -> Any:
        """Return a parameter whose value is JSON, or the body's field of that name; None if there is neither."""
        text = self.query.get(name)
        if text is None:
            return self.body.get(name)
        try:
            return parse_exact_json(text)
        except ValueError:
            raise invalid_args(f"{name} is not JSON") from None

    def read_filters(self, name: str = "select_filters") -> Mapping[str, Any]:
        found = self.read_query(name)
        if found is not None and not isinstance(found, Mapping):
            raise invalid_args(f"{name} is not an object")
        return found or {}

    def read_limit(self, default: int, largest: int) -> int:
        """Return the wanted page size, at most ``largest`` (assumed: more is cut down, not refused)."""
        number = parse_number(self.query.get("limit", default))
        if number is None or number < 1 or number != int(number):
            raise invalid_args("limit is not a positive number")
        return min(int(number), largest)


Handler = Callable[[Call], Awaitable[Any]]


@frozen(kw_only=True)
class ApiRoute:
    """One route. ``pace``: the name of its interval; ``wrong_key_status``: of the answer to a key that is wrong."""

    method: str
    path: str
    handle: Handler
    evidence: Evidence = Evidence.DOCUMENTED
    note: str = ""
    pace: str = ""
    wrong_key_status: int = 401


def parse_wish(body: Mapping[str, Any]) -> InstanceWish:
    """Return what a create asks for. Raises `VastRefusal`."""
    image = _read_text(body, "image", MAX_IMAGE)
    if not image and not body.get("template_hash_id"):
        raise invalid_args("image is missing")
    env = _parse_environment(body.get("env"))
    args = body.get("args") or []
    if not isinstance(args, list):
        raise invalid_args("args is not a list")
    onstart = _read_text(body, "onstart", MAX_SCRIPT)
    if len(onstart or "") + sum(len(str(item)) for item in args) > MAX_SCRIPT:
        raise invalid_args("onstart and args are too long")
    target = body.get("target_state") or "running"
    if target not in ("running", "stopped"):
        raise invalid_args("target_state is running or stopped")
    return InstanceWish(
        image=image or "",
        disk=_parse_disk(body.get("disk")),
        label=_read_text(body, "label", MAX_CREATE_LABEL),
        price=None if body.get("price") is None else parse_price(body["price"]),
        env=env,
        onstart=onstart,
        runtype=_read_text(body, "runtype", MAX_LABEL) or "ssh",
        is_started=target == "running",
        fails_if_unavailable=body.get("cancel_unavail") is True,
    )


def parse_price(value: Any) -> int:
    """Return a bid in micro-USD per hour. Raises `VastRefusal`."""
    micros = parse_micros(value)
    if micros is None or not MIN_PRICE <= micros <= MAX_PRICE:
        raise VastRefusal(400, "invalid_price", "price must be between 0.001 and 128")
    return micros


def parse_label(body: Mapping[str, Any]) -> str | None:
    """Return a new label. Raises `VastRefusal`."""
    return _read_text(body, "label", MAX_LABEL)


def _parse_disk(value: Any) -> Fraction:
    number = Decimal(10) if value is None else parse_number(value)
    if number is None or number < MIN_DISK:
        raise invalid_args(f"disk must be at least {MIN_DISK} GB")
    return Fraction(number)


def _read_text(body: Mapping[str, Any], name: str, longest: int) -> str | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > longest):
        raise invalid_args(f"{name} must be a text of at most {longest} characters")
    return value


def _parse_environment(env: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(env or {}, Mapping):
        raise invalid_args("env is not an object")
    pairs = tuple((str(name), str(value)) for name, value in (env or {}).items())
    sizes = [len(part) for pair in pairs for part in pair]
    if max(sizes, default=0) > MAX_ENV_ITEM or sum(sizes) > MAX_ENV:
        raise invalid_args("env is too long")
    return pairs
