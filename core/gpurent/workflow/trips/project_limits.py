"""What becomes of a project file's limits where they meet the user's settings: the tighter value counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from gpurent.domain.field_kinds import Tighter
from gpurent.domain.provider_names import list_sections
from gpurent.domain.tightening import choose_tighter
from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME
from gpurent.workflow.runtime.notices import NotifyPolicy
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.timing.guard_policy import POLICY_KEYS, GuardPolicies, GuardPolicy


@frozen(kw_only=True)
class ComparedLimit:
    """A project file's value of the field ``name``, beside the user's ``own`` (None: no limit) at ``provider``.

    ``is_ignored``: the file's is looser, so it changes nothing. A provider is only named if the user's settings differ
    between the trip's.
    """

    name: str
    given: Any
    own: Any
    is_ignored: bool
    provider: str = ""


@frozen
class ProjectLimits:
    """Compares the limits in a project file with the settings as they are ``now``."""

    settings: Settings
    now: datetime

    def compare_limits(self, spec: TripSpec) -> Sequence[ComparedLimit]:
        """Return the values of the project file of ``spec`` that meet a setting, in the order of the fields."""
        found: list[ComparedLimit] = []
        for name in FIELDS_BY_NAME:
            if spec.is_from_project(name) and FIELDS_BY_NAME[name].tighter is not None:
                found += self._compare_field(name, spec)
        return found

    def _compare_field(self, name: str, spec: TripSpec) -> Sequence[ComparedLimit]:
        given = _get_given(name, spec)
        own = {provider: self._get_own(name, provider) for provider in spec.providers or (spec.provider,)}
        differ = len(set(own.values())) > 1
        return [
            ComparedLimit(
                name=name,
                given=given,
                own=value,
                is_ignored=self._is_looser(name, given, value),
                provider=provider if differ else "",
            )
            for provider, value in list(own.items())[: None if differ else 1]
        ]

    def _get_own(self, name: str, provider: str) -> Any:
        if name in POLICY_KEYS and name != "budget":
            return getattr(GuardPolicies(self.settings).get_policy(provider), name)
        if name == "doctor":
            return self.settings.get("doctor", "policy") or "off"
        if name == "notify":
            kinds = NotifyPolicy.from_settings(self.settings).kinds
            return tuple(sorted(kind.value for kind in kinds)) if kinds is not None else None
        # Every budget applies, whichever is the lowest.
        own = self.settings.get_first(list_sections("budget", provider), "month") if provider else ""
        return own or self.settings.get("budget", "month") or None

    def _is_looser(self, name: str, given: Any, own: Any) -> bool:
        field = FIELDS_BY_NAME[name]
        if own is None or name == "budget" or field.tighter is Tighter.ADDED:
            return False
        if field.tighter is Tighter.EARLIER:
            given, own = self._resolve(given), self._resolve(own)
        return bool(choose_tighter(field, own, given) != given)

    def _resolve(self, deadline: datetime | timedelta) -> datetime:
        policy = GuardPolicy(deadline=deadline)
        return policy.resolve_deadline(self.now) or self.now


def _get_given(name: str, spec: TripSpec) -> Any:
    if name == "deadline":
        return spec.limits.deadline_at or spec.limits.deadline_in
    value: Any = spec
    for part in FIELDS_BY_NAME[name].attribute_path.split("."):
        value = getattr(value, part)
    return value
