"""Finds a job's results on its machine: named paths, the names that patterns are matched with, and what the job made.

Names are sent as base64 of a list separated by zero bytes, because they may hold any other byte.
"""

from __future__ import annotations

import re
import shlex
from base64 import b64decode
from collections.abc import Mapping, Sequence
from enum import Enum

from attrs import evolve, frozen

from gpurent.remote.shell import iter_marked_lines, probe_command

MAX_LISTING_BYTES = 4 << 20
_MARK = "gpurent-results "
_SCRIPT = r"""
names() { head -c @most@ | base64 | tr -d '\n'; echo .; }
cd "$HOME"/@folder@ 2>/dev/null || { echo "@mark@nothing"; exit 0; }
echo "@mark@here"
room="$HOME"/@room@
since=$room/run.sh
newer=-newer
find . -prune -cnewer "$since" >/dev/null 2>&1 && newer=-cnewer
is_earlier() { [ -f "$room/earlier" ] && grep -qxF -e "$1" "$room/earlier"; }
changed_below() { [ -n "$(find -H "$1" $newer "$since" -print 2>/dev/null | head -n 1)" ]; }
n=0
for path; do
  [ "$n" -lt @paths@ ] || break
  if [ ! -e "$path" ]; then
    kind=missing
    is_earlier "$path" && echo "@mark@earlier $n"
  elif is_earlier "$path" && ! changed_below "$path"; then kind=unchanged
  elif [ ! -L "$path" ]; then kind=plain
  elif [ -d "$path" ]; then kind=linked-folder
  else kind=linked-file; fi
  printf '@mark@path %s %s ' "$n" "$kind"
  if [ "$kind" = linked-file ]; then readlink -f -- "$path" | names; else echo .; fi
  n=$((n + 1))
done
shift @paths@
n=0
for base; do
  printf '@mark@list %s ' "$n"
  find -H "$base" -name .gpurent-part -prune -o -print0 2>/dev/null | names
  if [ -f "$room/earlier" ]; then
    printf '@mark@newer %s ' "$n"
    find -H "$base" -name .gpurent-part -prune -o $newer "$since" -print0 2>/dev/null | names
  fi
  n=$((n + 1))
done
@changes@
"""
# What changed after the job's script was written. The change time cannot be set, so unpacked files count too.
_CHANGES_SCRIPT = r"""
[ -f "$since" ] && has find && has base64 && has awk || exit 0
changed() {
  find . \( -name .git -o -name .gpurent -o -name .gpurent-part -o -name __pycache__ \) -prune -o "$@"
}
printf '@mark@changed '
changed -type f $newer "$since" -print0 2>/dev/null | names
printf '@mark@links '
changed -type l $newer "$since" -print0 2>/dev/null | names
printf '@mark@mixed '
changed -type f ! $newer "$since" -print 2>/dev/null | sed 's|/[^/]*$||' | sort -u | tr '\n' '\0' | names
printf '@mark@size '
changed -type f $newer "$since" -exec ls -ln {} + 2>/dev/null | awk '$1 ~ /^-/ {s += $5} END {printf "%.0f", s}'
echo .
"""


class PathKind(Enum):
    """What a named result is; MISSING also stands for a link to nothing.

    UNCHANGED: it was there before the job, whose work it is to change it, and nothing in it has changed.
    """

    MISSING = "missing"
    UNCHANGED = "unchanged"
    PLAIN = "plain"
    LINKED_FOLDER = "linked-folder"
    LINKED_FILE = "linked-file"


@frozen(kw_only=True)
class NamedPath:
    """``target``: where a linked file really is, else empty. ``is_earlier``: of what a pattern matches, only what has
    changed since the job began counts.
    """

    kind: PathKind
    target: str = ""
    is_earlier: bool = False


@frozen(kw_only=True)
class JobChanges:
    """Files in the job's folder that are new or changed since it was launched, and their ``size`` in bytes.

    ``links``: symbolic links made since. ``mixed``: folders that hold files which are not changed. Names are relative
    to the folder. ``truncated``: there are more names than were listed.
    """

    files: tuple[bytes, ...]
    links: tuple[bytes, ...]
    mixed: tuple[bytes, ...]
    size: int
    truncated: bool


@frozen(kw_only=True)
class FoundResults:
    """``paths`` and ``listings`` are in the order of the request; a listing is None if it is truncated or missing.

    ``newer``: of each listing, the names that have changed since the job began; None as well if that does not matter.
    ``changes``: None if they were not requested, or not reported.
    """

    paths: tuple[NamedPath, ...]
    listings: tuple[tuple[bytes, ...] | None, ...]
    newer: tuple[tuple[bytes, ...] | None, ...] = ()
    changes: JobChanges | None


def find_results_command(
    folder: str, state_dir: str, paths: Sequence[str], bases: Sequence[str], *, with_changes: bool = False
) -> str:
    """Return the shell command; see `parse_results`.

    ``folder`` is the job's, ``state_dir`` that of its script, both relative to the home folder. ``paths`` are examined,
    what is below ``bases`` is listed. ``with_changes``: also list what has changed since the job began.
    """
    return probe_command(
        _SCRIPT.replace("@changes@", _CHANGES_SCRIPT if with_changes else ""),
        *(f"./{path}" for path in paths),
        *(base if base == "." else f"./{base}" for base in bases),
        name="results",
        mark=_MARK,
        most=MAX_LISTING_BYTES,
        folder=shlex.quote(folder),
        room=shlex.quote(state_dir),
        paths=len(paths),
    )


def parse_results(output: str, paths: int, listings: int) -> FoundResults | None:
    """Return what was found for that many paths and listings; None if the output is not that of the command."""
    lines = [line.partition(" ") for line in iter_marked_lines(output, _MARK)]
    words = [word for word, _space, _rest in lines]
    if "nothing" in words:
        nothing = (NamedPath(kind=PathKind.MISSING),) * paths
        return FoundResults(paths=nothing, listings=((),) * listings, changes=None)
    if "here" not in words:
        return None
    named = {
        number: path for word, _space, rest in lines if word == "path" for number, path in _parse_path(rest)
    }
    earlier = {rest for word, _space, rest in lines if word == "earlier"}
    listed, newer = (
        dict(item for word, _space, rest in lines if word == kind for item in _parse_listing(rest))
        for kind in ("list", "newer")
    )
    if any(number not in named for number in range(paths)):
        return None
    return FoundResults(
        paths=tuple(evolve(named[number], is_earlier=str(number) in earlier) for number in range(paths)),
        listings=tuple(listed.get(number) for number in range(listings)),
        newer=tuple(newer.get(number) for number in range(listings)) if newer else (),
        changes=_parse_changes({word: rest for word, _space, rest in lines}),
    )


def _parse_path(rest: str) -> list[tuple[int, NamedPath]]:
    found = re.fullmatch(
        r"(\d{1,6}) (missing|unchanged|plain|linked-folder|linked-file) (\S*)", rest, re.ASCII
    )
    if found is None:
        return []
    target = b"".join(_parse_names(found[3]) or ()).decode("utf-8", "replace").strip("\n")
    return [(int(found[1]), NamedPath(kind=PathKind(found[2]), target=target))]


def _parse_listing(rest: str) -> list[tuple[int, tuple[bytes, ...] | None]]:
    number, _space, text = rest.partition(" ")
    return [(int(number), _parse_names(text))] if re.fullmatch(r"\d{1,6}", number, re.ASCII) else []


def _parse_changes(parts: Mapping[str, str]) -> JobChanges | None:
    files, links, mixed = (_parse_names(parts.get(word, "")) for word in ("changed", "links", "mixed"))
    size = re.fullmatch(r"(\d{1,18})\.", parts.get("size", ""), re.ASCII)
    if size is None:
        return None
    return JobChanges(
        files=files or (),
        links=links or (),
        mixed=mixed or (),
        size=int(size[1]),
        truncated=files is None or mixed is None,
    )


def _parse_names(text: str) -> tuple[bytes, ...] | None:
    """Return the names; None if the list is truncated or invalid."""
    if not text.endswith("."):
        return None
    try:
        data = b64decode(text.removesuffix("."), validate=True)
    except ValueError:
        return None
    if len(data) >= MAX_LISTING_BYTES:
        return None
    return tuple(name.removeprefix(b"./") for name in data.split(b"\0") if name)
