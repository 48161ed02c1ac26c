"""Random project files: each is read, or refused with its line; none is an internal error."""

from __future__ import annotations

import tomllib
from typing import Any

import tomlkit
from hypothesis import example, given, settings, strategies as st

from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import UsageError
from tests.infra.test_project_file import FILE_PATH, is_valid, parse_values

_SCALARS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["1d", "20h", "200CNY", "¥5", "train.py", "release", "job-ended", "..", "/", "a; b", "2026-12-01"]
    ),
    st.integers(-3, 2_000_000),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.dates(),
    st.times(),
)
_NAMES = st.one_of(st.sampled_from(sorted(FIELDS_BY_NAME)), st.text(max_size=8))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=4,
)


def _parse_or_none(text: str) -> TripSpec | None:
    try:
        return make_trip_spec(parse_values(text))
    except UsageError as error:
        if not error.message.startswith(str(FILE_PATH)):
            raise
        return None


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, max_size=4))
def test_random_files_are_read_or_refused(content: dict[str, Any]) -> None:
    try:
        text = tomlkit.dumps(content)
        tomllib.loads(text)
    except (ValueError, TypeError):
        return
    if _parse_or_none(text) is not None:
        assert is_valid(text), text


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FIELDS_BY_NAME)), _SCALARS | st.lists(_SCALARS, max_size=2))
@example("for", "1d")
def test_random_values_of_known_keys_are_read_or_refused(name: str, value: Any) -> None:
    try:
        text = tomlkit.dumps({name: value})
        tomllib.loads(text)
    except (ValueError, TypeError):
        return
    if _parse_or_none(text) is not None:
        assert is_valid(text), text


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="[]={}\"'.#\n ap1-:TZ", max_size=60))
def test_random_text_is_read_or_refused(text: str) -> None:
    _parse_or_none(text)
