"""The session backend for GNU screen 4.x: builds its commands and parses its listing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from gpurent.api import SessionBackend, SessionInfo

# "	12345.name	(11/23/26 19:50:54)	(Detached)"; 4.0 leaves the date out, other locales word it differently.
_LISTING_LINE = re.compile(
    r"\s+(?P<pid>\d+)\.(?P<name>[^\t]+)\t(?:\((?P<since>[^)]*)\)\t)?\((?P<state>[^)]*)\)\s*"
)
_ATTACHED_STATES = ("attached", "multi, attached")


class ScreenBackend(SessionBackend):
    """Session backend; screen treats names as prefixes, so sessions are addressed by ``pid.name``."""

    def probe_command(self) -> str:
        return "command -v screen >/dev/null"

    def install_command(self, prefix: str) -> str:
        return f"{prefix} screen"

    def start_command(self, name: str, script: str) -> str:
        return f'cd "$HOME" && screen -dmS {shlex.quote(name)} sh {shlex.quote(script)}'

    def list_command(self) -> str:
        return "LC_ALL=C screen -ls"

    def parse_sessions(self, output: str) -> Sequence[SessionInfo]:
        found = []
        for line in output.splitlines():
            match = _LISTING_LINE.fullmatch(line)
            if match is None or "dead" in match["state"].lower():
                continue
            found.append(
                SessionInfo(
                    id=f"{match['pid']}.{match['name']}",
                    name=match["name"],
                    attached=match["state"].lower() in _ATTACHED_STATES,
                    since=match["since"] or "",
                )
            )
        return found

    def attach_command(self, session: SessionInfo) -> str:
        return f"screen -d -r {shlex.quote(session.id)}"

    def stop_command(self, session: SessionInfo) -> str:
        return f"screen -S {shlex.quote(session.id)} -X quit"

    def detach_hint(self) -> str:
        return "Ctrl+a d"
