"""Hands secrets to a job through a named pipe: they are in memory only, and in no file and argument on the machine.

The pipe is made before the session starts. The job's first act is to read from it, and whoever started the job writes
to it, over the connection. A writer may be cut off, or two may write at once: only a text that is complete counts, and
the job waits for the next one otherwise.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from gpurent.domain.secret import Secret
from gpurent.remote.shell import fill_template, sh_command

PIPE_NAME = "secrets"
_END = ": gpurent-end-of-secrets"
DELIVERED_STATUS, WAITING_STATUS = 0, 75
DELIVERY_SECONDS = 30.0

# Runs in the job itself, before its command; the variable is not exported.
_RECEIVE = r"""
if [ -p "$room/@pipe@" ]; then
  while :; do
    _gpurent_got=$(cat "$room/@pipe@")
    case $_gpurent_got in
      *"@end@"*"@end@"*) ;;
      *"@end@") break ;;
    esac
  done
  rm -f "$room/@pipe@"
  eval "$_gpurent_got"; _gpurent_got=
fi
"""

# Without a pipe, the job has what it waits for. The writer is blocked until the job reads.
_DELIVER = r"""
cd "$HOME/@room@" 2>/dev/null && [ -p @pipe@ ] || exit 0
cat > @pipe@
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  [ -p @pipe@ ] || exit 0
  sleep 0.2 2>/dev/null || sleep 1
done
exit @waiting@
"""


def make_receiver() -> str:
    """Return the lines of the job that read the secrets, where there is a pipe."""
    return fill_template(_RECEIVE, pipe=PIPE_NAME, end=_END)


def make_pipe_command(room: str) -> str:
    """Return the command that makes the pipe in the folder ``room`` (relative to the home folder)."""
    path = f'"$HOME"/{shlex.quote(room)}/{PIPE_NAME}'
    return f"rm -f {path} && mkfifo {path}"


def deliver_command(room: str) -> str:
    """Return the command that hands its stdin to the job in ``room``.

    It exits with `DELIVERED_STATUS` if the job has what it waits for, with `WAITING_STATUS` if it still waits.
    """
    return sh_command(fill_template(_DELIVER, room=room, pipe=PIPE_NAME, waiting=WAITING_STATUS))


def make_delivery(secrets: Mapping[str, Secret]) -> Secret:
    """Return the text for stdin: shell lines that export the secrets."""
    lines = [f"export {name}={shlex.quote(secret.reveal())}" for name, secret in sorted(secrets.items())]
    return Secret("\n".join([*lines, _END, ""]))
