"""The session backend for tmux: builds its commands and parses its listing; uses a tmux server of its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from gpurent.api import SessionBackend, SessionInfo

_TMUX_COMMAND = "tmux -L gpurent"
_LIST_FORMAT = "#{session_name}\t#{session_attached}\t#{session_created}\t#{session_id}"


class TmuxBackend(SessionBackend):
    """Session backend; sessions are addressed by ``=name``, which matches only the whole name."""

    def probe_command(self) -> str:
        return "command -v tmux >/dev/null"

    def install_command(self, prefix: str) -> str:
        return f"{prefix} tmux"

    def start_command(self, name: str, script: str) -> str:
        # As words of its own, it is run without the login shell, whose start files could wait for a key.
        new = f'new-session -d -s {shlex.quote(name)} -c "$HOME" sh {shlex.quote(script)}'
        return f'cd "$HOME" && {_TMUX_COMMAND} -f /dev/null {new}'

    def list_command(self) -> str:
        return f"{_TMUX_COMMAND} list-sessions -F {shlex.quote(_LIST_FORMAT)} 2>/dev/null"

    def parse_sessions(self, output: str) -> Sequence[SessionInfo]:
        found = []
        for line in output.splitlines():
            parts = line.split("\t")
            if len(parts) != 4 or not parts[1].isdigit() or not re.fullmatch("[0-9]{1,11}", parts[2]):
                continue
            since = datetime.fromtimestamp(int(parts[2]), UTC)
            found.append(
                SessionInfo(
                    id=parts[0],
                    name=parts[0],
                    attached=parts[1] != "0",
                    since=f"{since:%Y-%m-%d %H:%M:%S} UTC",
                )
            )
        return found

    def attach_command(self, session: SessionInfo) -> str:
        return f"{_TMUX_COMMAND} attach-session -d -t {shlex.quote('=' + session.name)}"

    def stop_command(self, session: SessionInfo) -> str:
        return f"{_TMUX_COMMAND} kill-session -t {shlex.quote('=' + session.name)}"

    def detach_hint(self) -> str:
        return "Ctrl+b d"
