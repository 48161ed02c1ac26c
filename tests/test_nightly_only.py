from __future__ import annotations

import pytest

from tests.nightly_only import UNKNOWN


def test_the_lists_name_tests_that_exist(pytestconfig: pytest.Config) -> None:
    """Known only if all tests were collected, as `make test` does."""
    assert pytestconfig.stash.get(UNKNOWN, []) == []
