"""The contract of the session backend, for tmux."""

from __future__ import annotations

from gpurent.testing.contracts.session import SessionContract
from gpurent_plugin_tmux.backend import TmuxBackend


class TestTmuxBackend(SessionContract):
    backend_type = TmuxBackend
    program = "tmux"
    detach_keys = b"\x02d"
