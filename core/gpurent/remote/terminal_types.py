"""Which terminal type exists on a machine: programs there refuse one that they have never heard of."""

from __future__ import annotations

from gpurent.remote.shell import iter_marked_lines, probe_command

COMMON_TYPE = "xterm-256color"
KNOWN_TYPES = frozenset({"xterm", COMMON_TYPE, "dumb", "vt100"})
"""These are looked up nowhere: they exist wherever any does."""
_MARK = "gpurent-terminal "
_FALLBACKS = (COMMON_TYPE, "xterm", "vt100")
_SCRIPT = r"""
exists() {
  case $1 in '' | */*) return 1 ;; esac
  first=${1%"${1#?}"}
  for folder in "$HOME/.terminfo" /etc/terminfo /lib/terminfo /usr/share/terminfo /usr/lib/terminfo \
    /usr/local/share/terminfo; do
    [ -e "$folder/$first/$1" ] && return
  done
  if has infocmp; then infocmp "$1"; elif has tput; then tput -T "$1" longname; else false; fi >/dev/null 2>&1
}
for name; do
  if exists "$name"; then echo "@mark@$name"; break; fi
done
"""


def find_type_command(wanted: str) -> str:
    """Return the command that looks for the terminal type ``wanted``, and for what most terminals understand."""
    return probe_command(_SCRIPT, wanted, *_FALLBACKS, name="terminal", mark=_MARK)


def parse_type(output: str, wanted: str) -> str:
    """Return the type to use."""
    found = next(iter_marked_lines(output, _MARK), "")
    return found if found in (wanted, *_FALLBACKS) else COMMON_TYPE
