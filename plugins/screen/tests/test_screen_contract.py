"""The contract of the session backend, for GNU screen."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts.session import SessionContract
from gpurent_plugin_screen.backend import ScreenBackend


class TestScreenBackend(SessionContract):
    backend_type = ScreenBackend
    program = "screen"
    detach_keys = b"\x01d"


@pytest.mark.parametrize(
    ("line", "since", "attached"),
    [
        ("\t12345.train\t(11/23/26 19:50:54)\t(Detached)", "11/23/26 19:50:54", False),
        ("\t12345.train\t(Detached)", "", False),
        ("\t12345.train\t(2026年11月23日 19时50分54秒)\t(Attached)", "2026年11月23日 19时50分54秒", True),
        ("\t12345.train\t(11/23/26 19:50:54)\t(Multi, attached)", "11/23/26 19:50:54", True),
    ],
)
def test_r3_each_version_s_listing_is_parsed(line: str, since: str, attached: bool) -> None:
    text = f"There is a screen on:\n{line}\n1 Socket in /run/screen/S-root.\n"
    (info,) = ScreenBackend().parse_sessions(text)
    assert (info.id, info.name, info.since, info.attached) == ("12345.train", "train", since, attached)


def test_dead_sessions_are_not_listed() -> None:
    assert ScreenBackend().parse_sessions("\t12345.train\t(11/23/26 19:50:54)\t(Dead ???)\n") == []
