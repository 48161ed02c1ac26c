"""Shell functions for machines without Python, for any POSIX shell including busybox. They are not stored there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gpurent_plugin_turbo.shared.wire import PARTIALS_DIR

# A script may contain line breaks and bytes that are not text: it is sent as one line.
START_COMMAND = 'IFS= read -r s; eval "$s"'
ANSWER_MARK = b"\n@gpurent "
END_MARK = b"\n@gpurent done\n"
MAX_NAMES_BYTES = 60_000  # bytes of names per script: below the limit for one program argument

_COMMON_FUNCTIONS = rb"""LC_ALL=C; export LC_ALL; unset CDPATH; umask 077; exec 2>&1
nl='
'
say() { printf '\n@gpurent %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
end() { say done; exit 0; }
fail() { say failed; end; }
if has sha256sum; then
  sum() { set -- $(sha256sum); printf %s "$1"; }
  sums() { sha256sum -- "$@"; }
else
  sum() { set -- $(cksum); printf %s "$1"; }
  sums() { cksum -- "$@"; }
fi
size() { stat -c %s -- "$1" 2>/dev/null || wc -c <"$1"; }
set_time() { touch -d "@$2" -- "$1" 2>/dev/null || TZ=UTC0 touch -t "$3" -- "$1"; }
choose_compression() {
  if [ "$Z" ] && has gzip && [ "$(head -c 65536 -- "$1" 2>/dev/null | gzip -1 | wc -c)" -lt "$Z" ]
  then how=gzip; say gzip; else how=raw; fi
}
"""

# Makes a folder of gpurent for its user alone, or mends it.
OWN_FUNCTION = rb"""own() {
  mkdir -- "$1" 2>/dev/null && return
  set -- "$1" $(ls -ldn -- "$1" 2>/dev/null)
  case $2 in
    d*) [ "$4" = "$(id -u)" ] ;;
    *) false ;;
  esac || { say foreign "$1"; end; }
  case $2 in d???------*) ;; *) chmod 700 -- "$1" || fail ;; esac
}
"""

# A folder on another disk would not be filled atomically; if a group of names fails, they are moved one by one.
_MOVE_FUNCTIONS = rb"""move_into() {
  n=$1 d=$2; shift 2
  x=$(stat -Lc %d -- "$d" 2>/dev/null)
  if [ "$x" ] && [ "$x" != "$dev" ]; then say lost "$n" all Invalid cross-device link; return; fi
  mv -f -- "$@" "$d" 2>/dev/null && return
  i=0
  for f; do
    if [ -e "$f" ] || [ -L "$f" ]; then y=$(mv -f -- "$f" "$d" 2>&1) || say lost "$n" "$i" "$y"; fi
    i=$((i + 1))
  done
}
make_symlink() {
  if [ -L "$2$3" ] && [ "$(readlink -- "$2$3" && echo .)" = "$4$nl." ]; then return; fi
  y=$(mkdir -p -- "$S/$1" && ln -s -- "$4" "$S/$1/$3" 2>&1) || { say lost "$1" 0 "$y"; return; }
  move_into "$1" "$2" "$S/$1/$3"
}
make_hardlink() {
  if [ ! -L "$2$3" ] && [ "$2$3" -ef "$4" ]; then return; fi
  y=$(mkdir -p -- "$S/$1" && ln -- "$4" "$S/$1/$3" 2>&1) || { say lost "$1" 0 "$y"; return; }
  move_into "$1" "$2" "$S/$1/$3"
}
"""

# Deletes in one folder below the target and nowhere else: a link in its path is not followed.
_DELETE_FUNCTIONS = rb"""find_root() { root=$(pwd -P && echo .); root=${root%"$nl."}; root=${root%/}; }
prune() {
  ( w=$1; p=$2; shift 2
    cd -P -- "./$p" 2>/dev/null || exit 0
    if [ "$(pwd -P && echo .)" != "$root${p:+/}$p$nl." ]; then say lost 'a link leads out of the folder'; exit; fi
    for f; do
      if [ ! -e "$f" ] && [ ! -L "$f" ]; then continue; fi
      if [ "$w" = folder ]; then
        y=$(rmdir -- "$f" 2>&1) || case $y in *ot\ empty*|*xist*) ;; *) say lost "$y" ;; esac
      else
        y=$(rm -f -- "$f" 2>&1) || say lost "$y"
      fi
    done )
}
"""

# No name can forge a record: two slashes in a row never occur in one.
_PRINT_FUNCTIONS = rb"""print_tree() {
  find "$@" -name .gpurent-part -prune -o -exec stat -c '//%f %s %Y %y|%n' {} + 2>/dev/null
}
report_missing() { say list; printf '//missing|./-\n//end\n'; end; }
print_states() { stat -c '//%f %s %Y %y|%n' -- "$@" 2>/dev/null; }
print_links() {
  i=0
  for f; do
    if t=$(readlink -- "$f" 2>/dev/null && echo .); then
      t=${t%"$nl."}
      case $t in *"$nl"*) say odd "$i" ;; *) say link "$i" "$t" ;; esac
    fi
    i=$((i + 1))
  done
}
print_unreadable() {
  find "$@" -name .gpurent-part -prune -o -type d -exec sh -c \
    'for d; do [ -r "$d" ] && [ -x "$d" ] || printf "//unreadable|%s\n" "$d"; done' sh {} + 2>/dev/null
}
"""

# Prints nothing and exits with 127 if required tools are missing.
_PROBE_COMMANDS = rb"""has tar && has head && { has sha256sum || has cksum; } || exit 127
[ "$(printf ab | head -c 1)" = a ] || exit 127
for p in sha256sum gzip; do if has $p; then say has $p; fi; done
[ "$(find / -prune -exec stat -c '%f %y' {} + 2>/dev/null)" ] && say has lists
case "$(tar --version 2>/dev/null)" in *GNU*) say has gnu;; esac
"""

WRITE_FUNCTIONS, PRUNE_FUNCTIONS, LIST_FUNCTIONS = (
    _COMMON_FUNCTIONS + _MOVE_FUNCTIONS,
    _COMMON_FUNCTIONS + _DELETE_FUNCTIONS,
    _COMMON_FUNCTIONS + _PRINT_FUNCTIONS,
)
PROBE_SCRIPT = LIST_FUNCTIONS + _PROBE_COMMANDS


def make_enter_script(target: bytes, token: bytes) -> bytes:
    """Return a script that changes to the target and sets ``dev`` to its disk.

    It also sets ``S`` to the script's own folder, which is removed at the end.
    """
    script = b"cd -- %s || fail\nS=%s/s%s\n" % (quote_path(target), PARTIALS_DIR, token)
    return script + b"dev=$(stat -Lc %d . 2>/dev/null)\n"


def quote_word(text: bytes) -> bytes:
    """Quote any bytes as one shell word."""
    return b"'" + text.replace(b"'", b"'\\''") + b"'"


def quote_path(name: bytes) -> bytes:
    """Quote a path as a word that is never taken for an option."""
    return quote_word(name if name.startswith(b"/") else b"./" + name)


def quote_folder(folder: bytes) -> bytes:
    """Quote a folder as a word that ends in a slash; the target itself has an empty name."""
    return quote_path(folder + b"/") if folder else b"./"


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """Return the parent folder and the base name."""
    above, _, base = name.rpartition(b"/")
    return above, base


def to_one_line(script: bytes) -> bytes:
    """Return a script of any length as the one line that `START_COMMAND` reads."""
    text = script.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"'", b"\\0047")
    return b"eval \"$(printf %b '" + text + b"')\"\n"


def batch_words(words: Iterable[bytes], most: int = 2000) -> Iterator[list[bytes]]:
    """Yield as many words at a time as one script may hold."""
    bundle: list[bytes] = []
    size = 0
    for word in words:
        if bundle and (size + len(word) > MAX_NAMES_BYTES or len(bundle) >= most):
            yield bundle
            bundle, size = [], 0
        bundle.append(word)
        size += len(word)
    if bundle:
        yield bundle
