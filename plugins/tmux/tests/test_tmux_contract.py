"""tmux keeps what a session keeper promises."""

from __future__ import annotations

from gpurent.testing.contracts.session import SessionContract
from gpurent_plugin_tmux.keeper import Tmux


class TestTmux(SessionContract):
    keeper = Tmux
    program = "tmux"
    leave = b"\x02d"
