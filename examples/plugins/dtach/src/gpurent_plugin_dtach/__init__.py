"""dtach as a session backend for gpurent. Each session is a socket in a folder of its own."""

import shlex
from collections.abc import Sequence

from gpurent.api import SessionBackend, SessionEntry, SessionInfo, hookimpl

REQUIRED_API = (1, 0)
FOLDER = '"$HOME"/.gpurent-dtach'


class DtachBackend(SessionBackend):
    """dtach has no list and no stop, and lets many clients in: sockets and pid files make up for that."""

    def probe_command(self) -> str:
        return "command -v dtach >/dev/null"

    def install_command(self, prefix: str) -> str:
        return f"{prefix} dtach"

    def start_command(self, name: str, script: str) -> str:
        socket = f"{FOLDER}/{name}"
        job = shlex.quote(f"echo $$ >{socket}.pid; exec sh {shlex.quote(script)}")
        prepare = f"mkdir -p -m 700 {FOLDER}; {make_ping(socket)} || rm -f {socket}"
        return f"{prepare}; dtach -n {socket} sh -c {job}"

    def list_command(self) -> str:
        # dtach sets the socket's x as long as somebody is attached.
        show = '{ [ -x "$s" ] && echo "${s##*/} attached" || echo "${s##*/} detached"; }'
        live = make_ping('"$s"')
        return f'for s in {FOLDER}/*; do [ -S "$s" ] && {live} && {show}; done'

    def parse_sessions(self, output: str) -> Sequence[SessionInfo]:
        rows = [row for row in map(str.split, output.splitlines()) if row[1:] in (["attached"], ["detached"])]
        return [SessionInfo(id=name, name=name, attached=state == "attached") for name, state in rows]

    def attach_command(self, session: SessionInfo) -> str:
        socket = f"{FOLDER}/{session.name}"
        detach = f'[ ! -x {socket} ] || kill "$(cat {socket}.client)"'
        return f"{detach}; echo $$ >{socket}.client; exec dtach -a {socket} -z -r winch"

    def stop_command(self, session: SessionInfo) -> str:
        socket = f"{FOLDER}/{session.name}"
        # dtach ends a moment after its job.
        wait = f"for i in 1 2 3 4 5 6 7 8 9 10; do {make_ping(socket)} || break; sleep 0.4; done"
        return f'kill -- -"$(cat {socket}.pid)"; {wait}'

    def detach_hint(self) -> str:
        return "Ctrl+\\"


def make_ping(socket: str) -> str:
    """Return a command that fails for a socket that a power loss has left behind."""
    return f"dtach -p {socket} </dev/null >/dev/null 2>&1"


@hookimpl
def gpurent_register_session() -> Sequence[SessionEntry]:
    return [SessionEntry(name="dtach", summary="dtach", build=lambda context: DtachBackend())]
