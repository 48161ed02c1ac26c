"""The ``[guard]`` settings: the user's policy on renewing, saving and ending leases.

The same class and precedence apply everywhere: ``[guard]``, then ``[guard.PROVIDER]`` (of an account: that of its
provider, then its own), the trip's own limits, ``[guard.LEASE]``, ``[guard.TRIP]``; later ones override earlier ones.
Of the trip's limits, those of its project file override nothing: the tighter value counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from attrs import fields_dict, frozen

from gpurent.domain.config_sections import OFF_WORDS, ConfigKey, ConfigSection
from gpurent.domain.money_text import parse_amount
from gpurent.domain.provider_names import list_sections
from gpurent.domain.tightening import choose_tighter
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.durations import parse_duration
from gpurent.workflow.runtime.settings import Settings, environment_variable_name, reject_former_names

SECTION = "guard"


@frozen
class PolicyAmount:
    """An amount as written in the settings; it becomes money in the account's currency."""

    value: Decimal
    currency_code: str


@frozen(kw_only=True)
class GuardPolicy:
    """The policy for one lease. None disables a rule.

    ``renew`` buys this much more time when ``renew_before`` is left, up to ``renew_limit`` in total or ``renew_times``
    times (neither set: once). A top-up by ``top_up`` is requested when ``top_up_before`` is left. Results are saved
    ``save_before`` the end. ``idle``: release after this long without load above ``idle_load`` percent, without output,
    and with nobody attached. ``deadline`` is a time, or a span from the lease's start; ``project_deadline`` is a second
    one, of the trip's project file, and the earlier of the two counts. ``budget`` is for one lease.
    ``warn_before``: the time between a warning and a release. ``check_interval``: how often to observe a machine.
    ``timer`` and ``after_job`` configure the timer inside the machine (`workflow.timing.timers`); ``timer_off``: use
    none, and disarm one that an earlier policy armed.
    """

    renew: timedelta | None = None
    renew_before: timedelta = timedelta(hours=1)
    renew_limit: timedelta | None = None
    renew_times: int | None = None
    top_up: PolicyAmount | None = None
    top_up_before: timedelta = timedelta(hours=1)
    save_before: timedelta = timedelta(minutes=15)
    idle: timedelta | None = None
    idle_load: int = 5
    deadline: datetime | timedelta | None = None
    project_deadline: datetime | timedelta | None = None
    budget: PolicyAmount | None = None
    warn_before: timedelta = timedelta(minutes=10)
    check_interval: timedelta = timedelta(minutes=5)
    timer: timedelta | None = None
    timer_off: bool = False
    after_job: timedelta | None = None

    def resolve_deadline(self, started_at: datetime | None) -> datetime | None:
        both = (_resolve_time(self.deadline, started_at), _resolve_time(self.project_deadline, started_at))
        return min((at for at in both if at is not None), default=None)

    @property
    def max_renewals(self) -> int | None:
        """How many renewals are allowed in total; None for no limit."""
        if self.renew is None:
            return 0
        if self.renew_limit is not None:
            return self.renew_limit // self.renew
        return self.renew_times


def _resolve_time(deadline: datetime | timedelta | None, started_at: datetime | None) -> datetime | None:
    if isinstance(deadline, timedelta):
        return started_at + deadline if started_at is not None else None
    return deadline


POLICY_KEYS = tuple(sorted(set(fields_dict(GuardPolicy)) - {"renew_times", "timer_off", "project_deadline"}))


@frozen
class GuardPolicies:
    """Reads the policies from the current settings; the environment overrides the file."""

    settings: Settings

    def get_policy(
        self, provider: str, spec: TripSpec | None = None, *, lease: str = "", trip: str = ""
    ) -> GuardPolicy:
        """Return the policy for one lease; ``spec`` is that of the trip that uses it.

        Raises `UsageError` for an invalid setting.
        """
        wide: dict[str, Any] = {"renew_times": 1}
        for section in (SECTION, *reversed(list_sections(SECTION, provider))):
            wide |= self._read_section(section)
        found = wide | _fields_from_spec(spec or TripSpec(), wide)
        for name in filter(None, (lease, trip)):
            narrow = self._read_section(f"{SECTION}.{name}")
            found |= narrow | ({"project_deadline": None} if "deadline" in narrow else {})
        return GuardPolicy(**found)

    def _read_section(self, section: str) -> dict[str, Any]:
        written, environment = self.settings.sections.get(section, {}), self.settings.environment
        found: dict[str, Any] = {}
        for declared in GUARD_SECTION.keys:
            reject_former_names(environment, section, declared)
        for key in POLICY_KEYS:
            text = environment.get(environment_variable_name(section, key), written.get(key))
            if text is not None:
                found |= _parse_key(section, key, text)
        return found


def _fields_from_spec(spec: TripSpec, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the trip changes in ``own``, the user's settings for all trips."""
    found = _fields_from_limits(spec.limits)
    policy = GuardPolicy(**own)
    for key in [key for key in found if spec.is_from_project(key)]:
        if key == "deadline":
            found["project_deadline"] = found.pop(key)
        else:
            found[key] = choose_tighter(FIELDS_BY_NAME[key], getattr(policy, key), found[key])
    return found


def _fields_from_limits(limits: TripLimits) -> dict[str, Any]:
    given = {
        "deadline": limits.deadline_at or limits.deadline_in,
        "idle": limits.idle,
        "idle_load": limits.idle_load,
        "save_before": limits.save_before,
        "timer": limits.timer,
        "timer_off": None if limits.timer is None else False,
        "after_job": limits.after_job,
    }
    return {key: value for key, value in given.items() if value is not None}


def _parse_key(section: str, key: str, text: str) -> dict[str, Any]:
    try:
        return _parse_fields(key, text)
    except ValueError:
        raise UsageError(
            _("[{where}] {key} = {text} is not valid").format(where=section, key=key, text=repr(text)),
            hint=_format_example(key),
        ) from None


def _parse_fields(key: str, text: str) -> dict[str, Any]:
    """Return the fields that the setting ``key`` determines; raises `ValueError` if it is invalid."""
    text = text.strip()
    if key == "renew_limit":
        return _parse_renew_limit(text)
    off = key in _OPTIONAL_KEYS and text.lower() in OFF_WORDS
    value = None if off else _PARSERS.get(key, parse_duration)(text)
    return {"timer": value, "timer_off": off} if key == "timer" else {key: value}


def _parse_renew_limit(text: str) -> dict[str, Any]:
    if text == "none":
        return {"renew_limit": None, "renew_times": None}
    try:
        return {"renew_limit": parse_duration(text), "renew_times": None}
    except ValueError:
        return {
            "renew_limit": None,
            "renew_times": int(_require_match(r"(\d{1,4})\s*(?:x|times|次)?", text)[1]),
        }


def _parse_amount(text: str) -> PolicyAmount:
    value, code = parse_amount(text)
    if not code:
        raise ValueError(text)
    return PolicyAmount(value, code)


def _require_match(pattern: str, text: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text)
    if match is None:
        raise ValueError(text)
    return match


def _parse_deadline(text: str) -> datetime | timedelta:
    """Parse a span, or a time, which is local unless it has a time zone, as everywhere."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return parse_duration(text)
    except (OverflowError, OSError):
        raise ValueError(text) from None


def _format_example(key: str) -> str:
    return f"{key} = {_EXAMPLES.get(key, _SPAN_EXAMPLE)}"


_OPTIONAL_KEYS = ("renew", "top_up", "idle", "deadline", "budget", "timer", "after_job")
_PARSERS: Mapping[str, Callable[[str], object]] = {
    "top_up": _parse_amount,
    "budget": _parse_amount,
    "idle_load": lambda text: int(_require_match(r"(\d{1,3})\s*%?", text)[1]),
    "deadline": _parse_deadline,
}
_SPAN_EXAMPLE = '"30m"; "2h"; "1d"'
_EXAMPLES: Mapping[str, str] = {
    "renew_limit": '"3d"; "5 times"; "none"',
    "top_up": '"50CNY"',
    "budget": '"50CNY"',
    "idle_load": '"5%"',
    "deadline": '"2026-12-01 18:00"; "8h"',
}
_PREVIOUS_NAMES = {"check_interval": "look"}
GUARD_SECTION = ConfigSection(
    SECTION,
    tuple(
        ConfigKey(key, _format_example(key), partial(_parse_fields, key), _PREVIOUS_NAMES.get(key, ""))
        for key in POLICY_KEYS
    ),
    part_kinds=("provider", "lease", "trip"),
)
