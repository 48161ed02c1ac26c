"""Makes gpurent's own folders on a machine, and mends those that an older version left open to its other users."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

FOREIGN_STATUS = 76
"""The exit status where such a folder is a link or a file, or belongs to another user: what is in it is not ours."""

# A list is expanded before its loop begins, so that the arguments may be set within.
_FUNCTION = rf"""
own() {{
  for own_dir; do
    own_said=$(umask 077; mkdir "$own_dir" 2>&1) && continue
    if ! [ -e "$own_dir" ] && ! [ -L "$own_dir" ]; then echo "$own_said" >&2; exit 1; fi
    set -- $(ls -ldn "$own_dir" 2>/dev/null)
    case $1 in
      d*) [ "$3" = "$(id -u)" ] ;;
      *) false ;;
    esac || {{ echo "$own_dir" >&2; exit {FOREIGN_STATUS}; }}
    case $1 in d???------*) ;; *) chmod 700 "$own_dir" || exit 1 ;; esac
  done
}}
"""


def make_own_folders_script(folders: Iterable[str], existing: Iterable[str] = ()) -> str:
    """Return shell text that makes or mends ``folders`` (relative to the home folder) and mends ``existing`` ones.

    It prints the folder and exits with `FOREIGN_STATUS` at the first one that is not ours.
    """
    lines = [f'own "$HOME"/{shlex.quote(folder)}\n' for folder in folders]
    for folder in existing:
        place = f'"$HOME"/{shlex.quote(folder)}'
        lines.append(f"if [ -e {place} ] || [ -L {place} ]; then own {place}; fi\n")
    return _FUNCTION + "".join(lines)
