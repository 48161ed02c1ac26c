"""The written policy: parsed exactly; an error names what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gpurent.errors import UsageError
from gpurent.infra.config.config_file import read_config
from gpurent.workflow.runtime.settings import Sections, Settings
from gpurent.workflow.timing.guard_policy import (
    GUARD_SECTION,
    POLICY_KEYS,
    GuardPolicies,
    GuardPolicy,
    PolicyAmount,
)

HOUR = timedelta(hours=1)
POLICY_TEXT = """
[guard]
idle = "30m"
save_before = "20m"

[guard.1024gpu]
renew = "1d"
renew_before = "2h"
renew_limit = "3d"
idle = "off"

[guard.1024gpu-abcde]
deadline = "2026-12-01 18:00"
budget = "50CNY"
"""


KNOWN_NAMES: Mapping[str, Sequence[str]] = {
    "provider": ("1024gpu", "mistgpu"),
    "lease": ("1024gpu-abcde",),
    "trip": ("t1-abcde",),
}


def read_sections(path: Path, text: str) -> Sections:
    """Return the sections of a ``config.toml`` with ``text``."""
    path.write_text(text)
    return read_config(path, lambda: [GUARD_SECTION], lambda kind: KNOWN_NAMES[kind])


def make_policies(sections: Sections) -> GuardPolicies:
    return GuardPolicies(Settings(Path(), {}, sections))


@pytest.fixture
def written_policies(tmp_path: Path) -> GuardPolicies:
    return make_policies(read_sections(tmp_path / "config.toml", POLICY_TEXT))


def test_the_narrower_section_wins(written_policies: GuardPolicies) -> None:
    wide = written_policies.get_policy("mistgpu", lease="mistgpu-x")
    assert (wide.idle, wide.renew) == (timedelta(minutes=30), None)
    narrow = written_policies.get_policy("1024gpu", lease="1024gpu-abcde", trip="t1-abcde")
    assert narrow.idle is None
    assert narrow.save_before == timedelta(minutes=20)
    assert narrow.max_renewals == 3
    assert narrow.resolve_deadline(None) == datetime(2026, 12, 1, 18).astimezone(UTC), "local, as everywhere"
    assert narrow.budget == PolicyAmount(Decimal(50), "CNY")


def test_empty_policy_allows_no_payments() -> None:
    found = make_policies({}).get_policy("1024gpu")
    assert (found.renew, found.top_up, found.idle, found.deadline) == (None, None, None, None)
    assert found.max_renewals == 0


@pytest.mark.parametrize(
    ("limit", "times"),
    [("2 times", 2), ("5x", 5), ("4", 4), ("3次", 3), ("47h", 1), ("none", None), ("12h", 0)],
)
def test_renew_limit_is_a_span_or_a_number(limit: str, times: int | None) -> None:
    assert (
        make_policies({"guard": {"renew": "1d", "renew_limit": limit}}).get_policy("1024gpu").max_renewals
        == times
    )


def test_without_a_limit_it_renews_once() -> None:
    assert make_policies({"guard": {"renew": "1d"}}).get_policy("1024gpu").max_renewals == 1


def test_a_deadline_may_count_from_the_lease_s_start() -> None:
    begun = datetime(2026, 11, 24, tzinfo=UTC)
    assert GuardPolicy(deadline=8 * HOUR).resolve_deadline(begun) == begun + 8 * HOUR
    assert GuardPolicy(deadline=8 * HOUR).resolve_deadline(None) is None


@pytest.mark.parametrize(
    ("section", "key", "value", "hint"),
    [
        ("guard", "renev", "1d", "renew"),
        ("guard.1024gpu", "save_bevore", "1h", "save_before"),
        ("guard", "idle", "soon", "idle ="),
        ("guard", "top_up", "50", "50CNY"),
        ("guard", "deadline", "tomorrow", "2026"),
        ("guard.1025gpu", "renew", "1d", "1024gpu"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(
    section: str, key: str, value: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        read_sections(tmp_path / "config.toml", f'[{section}]\n{key} = "{value}"\n')
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [("idle", "soon", "idle ="), ("top_up", "50", "50CNY"), ("deadline", "x", "2026")],
)
def test_a_mistake_in_the_environment_is_named_too(key: str, value: str, hint: str) -> None:
    settings = Settings(Path(), {f"GPURENT_GUARD_{key.upper()}": value}, {})
    with pytest.raises(UsageError) as caught:
        GuardPolicies(settings).get_policy("1024gpu")
    assert hint in caught.value.hint


def test_other_sections_are_ignored() -> None:
    others = {"guardian": {"x": "y"}, "budget.mistgpu": {"month": "1CNY"}}
    assert make_policies(others).get_policy("mistgpu") == make_policies({}).get_policy("mistgpu")


def test_every_key_has_a_line_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guard.md").read_text()
    assert [key for key in POLICY_KEYS if f"`{key}`" not in page] == []


def test_a_deadline_is_local_unless_it_has_a_zone() -> None:
    for text, meant in (
        ("2026-12-01 18:00", datetime(2026, 12, 1, 18).astimezone(UTC)),
        ("2026-12-01 18:00+08:00", datetime(2026, 12, 1, 10, tzinfo=UTC)),
        ("2026-12-01T18:00Z", datetime(2026, 12, 1, 18, tzinfo=UTC)),
    ):
        policy = make_policies({"guard": {"deadline": text}}).get_policy("mistgpu")
        assert policy.resolve_deadline(None) == meant, text
