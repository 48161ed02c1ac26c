"""What the user has written down: how far the guard may go. Pure; an unknown key is an error that names the nearest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from attrs import fields_dict, frozen

from gpurent.domain.trip import Rules
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.spans import parse_span

SECTION = "guard"
_TIMES = re.compile(r"(\d{1,4})\s*(?:x|times|次)?")
_MONEY = re.compile(r"(\d{1,12}(?:\.\d{1,18})?)\s*([A-Za-z]{3,5})")
_PERCENT = re.compile(r"(\d{1,3})\s*%?")


@frozen
class Amount:
    """An amount as written; it becomes money in the account's own currency."""

    value: Decimal
    code: str


@frozen(kw_only=True)
class Policy:
    """One lease's rules. None: the guard does not do it.

    ``renew`` adds this much when ``renew_before`` is left, in all at most ``renew_limit`` or ``renew_times`` (neither
    written: once). ``top_up`` is asked for when ``top_up_before`` is left. Results come home ``save_before`` the end.
    ``idle``: released after so long without load above ``idle_load`` percent, without output, without anybody attached.
    ``deadline`` is a time, or a span from the lease's start. ``budget`` is for one lease. ``warn_before``: how long
    between a warning and a release. ``look``: how often a machine is looked at. ``timer`` and ``after_job`` are the
    inner timer's (`workflow.timing.timer_policy`): a dead man's switch is moved on while the guard watches the job.
    """

    renew: timedelta | None = None
    renew_before: timedelta = timedelta(hours=1)
    renew_limit: timedelta | None = None
    renew_times: int | None = None
    top_up: Amount | None = None
    top_up_before: timedelta = timedelta(hours=1)
    save_before: timedelta = timedelta(minutes=15)
    idle: timedelta | None = None
    idle_load: int = 5
    deadline: datetime | timedelta | None = None
    budget: Amount | None = None
    warn_before: timedelta = timedelta(minutes=10)
    look: timedelta = timedelta(minutes=5)
    timer: timedelta | None = None
    after_job: timedelta | None = None

    def deadline_of(self, started_at: datetime | None) -> datetime | None:
        if isinstance(self.deadline, timedelta):
            return started_at + self.deadline if started_at is not None else None
        return self.deadline

    @property
    def renew_up_to(self) -> int | None:
        """How many renewals are allowed in all; None without end."""
        if self.renew is None:
            return 0
        if self.renew_limit is not None:
            return self.renew_limit // self.renew
        return self.renew_times


def _times(text: str) -> int:
    match = _TIMES.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1])


def _amount(text: str) -> Amount:
    match = _MONEY.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return Amount(Decimal(match[1]), match[2].upper())


def _percent(text: str) -> int:
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1])


def _moment(text: str) -> datetime | timedelta:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return parse_span(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


_READ: Mapping[str, Callable[[str], object]] = {
    "top_up": _amount,
    "budget": _amount,
    "idle_load": _percent,
    "deadline": _moment,
}
_OFF = ("no", "off", "none", "never", "")
_OPTIONAL = ("renew", "top_up", "idle", "deadline", "budget", "timer", "after_job")
KEYS = tuple(sorted(set(fields_dict(Policy)) - {"renew_times"}))


def _limit(text: str) -> dict[str, object]:
    if text == "none":
        return {"renew_limit": None, "renew_times": None}
    try:
        return {"renew_limit": parse_span(text), "renew_times": None}
    except ValueError:
        return {"renew_limit": None, "renew_times": _times(text)}


def _one(where: str, key: str, text: str) -> dict[str, object]:
    if key not in KEYS:
        raise UsageError(
            _("[{where}] has no key {key}").format(where=where, key=repr(key)), hint=_nearest(key, KEYS)
        )
    text = text.strip()
    if key in _OPTIONAL and text.lower() in _OFF:
        return {key: None}
    try:
        return _limit(text) if key == "renew_limit" else {key: _READ.get(key, parse_span)(text)}
    except ValueError:
        raise UsageError(
            _("[{where}] {key} = {text} cannot be read").format(where=where, key=key, text=repr(text)),
            hint=_example(key),
        ) from None


def _example(key: str) -> str:
    return {
        "renew_limit": 'renew_limit = "3d"; "5 times"; "none"',
        "top_up": 'top_up = "50CNY"',
        "budget": 'budget = "50CNY"',
        "idle_load": 'idle_load = "5%"',
        "deadline": 'deadline = "2026-12-01 18:00"; "8h"',
    }.get(key, f'{key} = "30m"; "2h"; "1d"')


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    every = ", ".join(known)
    return (
        _("Did you mean {name}?").format(name=near[0])
        if near
        else _("There are: {every}").format(every=every)
    )


def policy_of(
    config: Mapping[str, Mapping[str, str]], names: Sequence[str], rules: Rules | None = None
) -> Policy:
    """``[guard]``, then ``[guard.NAME]`` for each of ``names`` in this order: provider, lease, trip.

    ``rules`` of the trip's own project file are narrower than a provider, wider than a lease.
    """
    wide, narrow = names[:1], names[1:]
    found = {"renew_times": 1} | _written(config, "", *wide) | _own(rules)
    return Policy(**found | _written(config, *(name for name in narrow if name)))


def _written(config: Mapping[str, Mapping[str, str]], *names: str) -> dict[str, Any]:
    """The sections of ``names``, each over the one before; the empty name is ``[guard]`` itself."""
    found: dict[str, Any] = {}
    for name in names:
        section = f"{SECTION}.{name}" if name else SECTION
        for key, text in config.get(section, {}).items():
            found.update(_one(section, key, text))
    return found


def _own(rules: Rules | None) -> dict[str, object]:
    if rules is None:
        return {}
    given = {
        "deadline": rules.deadline_at or rules.deadline_in,
        "idle": rules.idle,
        "idle_load": rules.idle_load,
        "save_before": rules.save_before,
        "timer": rules.timer,
        "after_job": rules.after_job,
    }
    return {key: value for key, value in given.items() if value is not None}


def check(config: Mapping[str, Mapping[str, str]], known: Sequence[str]) -> None:
    """Every guard section as a whole: `UsageError` for a key or a value that is none, or a section of nobody."""
    for section, values in config.items():
        head, dot, name = section.partition(".")
        if head != SECTION:
            continue
        if dot and name not in known:
            raise UsageError(
                _("[{where}] names no provider, lease or trip").format(where=section),
                hint=_nearest(name, known),
            )
        for key, text in values.items():
            _one(section, key, text)
