"""Checks the environment variables that limit money and time: a misspelt limit would be no limit."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from gpurent.domain.config_sections import CORE_SECTIONS, ConfigKey, ConfigSection
from gpurent.errors import UsageError
from gpurent.locale import _, join_list
from gpurent.workflow.runtime.settings import environment_variable_name
from gpurent.workflow.timing.guard_policy import GUARD_SECTION


def check_limit_variables(environment: Mapping[str, str]) -> None:
    """Raise `UsageError` for a variable that looks like a limit but is none, or whose value cannot be one."""
    sections = [section for section in (*CORE_SECTIONS, GUARD_SECTION) if section.name in ("budget", "guard")]
    for variable, value in environment.items():
        if variable.startswith(("GPURENT_BUDGET", "GPURENT_GUARD")):
            _check_value(variable, value, _find_key(variable, sections))


def _find_key(variable: str, sections: list[ConfigSection]) -> ConfigKey:
    names = {environment_variable_name(it.name, key.name): key for it in sections for key in it.keys}
    for section in sections:
        head = f"GPURENT_{section.name}_".upper()
        for key in section.keys:
            # Between them may be the name of a provider, a lease or a trip.
            if variable.startswith(head) and variable.removeprefix(head[:-1]).endswith(
                f"_{key.name}".upper()
            ):
                return key
    near = get_close_matches(variable, names, 1) or list(names)
    raise UsageError(
        _("the environment variable {name} sets nothing").format(name=variable),
        hint=_("Use: {names}").format(names=join_list(near)),
    )


def _check_value(variable: str, value: str, key: ConfigKey) -> None:
    try:
        key.check(value)
    except ValueError:
        raise UsageError(
            _("{variable}: invalid value: {value!r}").format(variable=variable, value=value),
            hint=_("Write it like this: {example}").format(example=f"{variable}={key.example}"),
        ) from None
