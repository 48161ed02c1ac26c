"""The sections of `config.toml`: their keys, and the values that each key accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from attrs import field, frozen

from gpurent.domain.events import NoticeLevel
from gpurent.domain.foreign_numbers import parse_foreign_decimal
from gpurent.domain.former_names import NEW_EVENT_NAMES
from gpurent.domain.machine_fields import DOCTOR_MODES
from gpurent.domain.money_text import parse_amount
from gpurent.domain.setting_checks import integer_between, one_of
from gpurent.domain.trip_fields import NOTIFIABLE_EVENTS
from gpurent.locale.durations import parse_durations

OFF_WORDS = ("no", "off", "none", "never", "")


@frozen
class ConfigKey:
    """A key of a section. ``check`` raises `ValueError` for a text that is not allowed; ``example`` is TOML.

    ``former_name`` and ``new_values_by_former`` are for the migration of `config.toml`, and to reject environment
    variables that still use them.
    """

    name: str
    example: str
    check: Callable[[str], object] = str
    former_name: str = ""
    new_values_by_former: Mapping[str, str] = field(factory=dict, eq=False)
    is_secret: bool = False


@frozen
class ConfigSection:
    """A section of `config.toml`.

    ``part_kinds`` says what a subsection may be named after: ``[guard.NAME]`` after a "provider", a "lease" or a
    "trip". ``key_pattern`` is a key whose ``name`` is a regular expression, for keys such as pairs of currencies.
    ``has_accounts``: there may be a section of the same keys for each account, ``["NAME@LABEL"]``.
    """

    name: str
    keys: tuple[ConfigKey, ...]
    part_kinds: tuple[str, ...] = ()
    key_pattern: ConfigKey | None = None
    has_accounts: bool = False


def _check_money(text: str) -> object:
    value, code = parse_amount(text)
    if not code or not value:
        raise ValueError
    return value


def _check_durations(text: str) -> object:
    return () if text.strip().lower() in OFF_WORDS else parse_durations(text)


def _seconds_up_to(maximum: float) -> Callable[[str], float]:
    def check(text: str) -> float:
        seconds = float(parse_foreign_decimal(text))
        if not 0 < seconds <= maximum:
            raise ValueError
        return seconds

    return check


def _check_events(text: str) -> object:
    names = text.replace(",", " ").split()
    if set(names) - set(NOTIFIABLE_EVENTS):
        raise ValueError(", ".join(NOTIFIABLE_EVENTS))
    return names


CORE_SECTIONS: tuple[ConfigSection, ...] = (
    ConfigSection("core", (ConfigKey("browser", '"no"', one_of("yes", "no")),)),
    ConfigSection("mail", (ConfigKey("address", '"me@example.com"'),)),
    ConfigSection("doctor", (ConfigKey("policy", '"warn"', one_of(*DOCTOR_MODES)),)),
    ConfigSection("offers", (ConfigKey("timeout", "30", _seconds_up_to(600)),)),
    ConfigSection("budget", (ConfigKey("month", '"500CNY"', _check_money),), part_kinds=("provider",)),
    ConfigSection("warn", (ConfigKey("at", '"60m, 15m, 5m"', _check_durations),), part_kinds=("provider",)),
    ConfigSection(
        "notify",
        (
            ConfigKey(
                "events", '["job-ended", "failed"]', _check_events, new_values_by_former=NEW_EVENT_NAMES
            ),
            ConfigKey("level", '"notice"', one_of(*(level.value for level in NoticeLevel))),
            ConfigKey("language", '"zh"', one_of("en", "zh", "")),
            ConfigKey("timeout", "10", _seconds_up_to(300), "limit"),
        ),
    ),
    ConfigSection(
        "rates",
        (
            ConfigKey("date", "2026-11-24", datetime.fromisoformat, "at"),
            ConfigKey("source", '"my bank"'),
            ConfigKey("max_age_days", "45", integer_between(1, 9999), "limit_days"),
        ),
        key_pattern=ConfigKey("[A-Z]{3,5}/[A-Z]{3,5}", '"USD/CNY" = 7.10', parse_foreign_decimal),
    ),
)
