"""A recording of a whole trip: each plugin reads again all that its service said, although the user was removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.providers import list_testable_providers
from tests.reliability.user_sandbox import open_user_sandbox

# What a wallet or a chain is asked for by values that were replaced, and e-mail, which is no HTTP of a plugin.
NOT_REPLAYED = frozenset({"1024gpu", "dbc-chain"})
NAMES = [one.name for one in list_testable_providers()]


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
async def test_a_recorded_trip_is_read_again(name: str, tmp_path: Path) -> None:
    provider = next(one for one in list_testable_providers() if one.name == name)
    recording = tmp_path / "trip.jsonl"
    async with open_user_sandbox(provider) as user:
        options = ("-p", name, *user.term, "--folder", str(user.make_project(1)), "--no-results")
        trip = await user.type_command("--record", str(recording), "run", *options, "--", "true")
        assert trip.code == 0, trip.err
        checked = await user.type_command("plugin", "check", name, "--replay", str(recording))
        states = {(one["method"], one["route"]): one["state"] for one in checked.data["replay"]["routes"]}
        assert checked.code == 0, states
        if name not in NOT_REPLAYED:
            assert set(states.values()) == {"parsed"}, states
