"""The patterns of an ignore file, matched byte for byte as git matches those of a ``.gitignore``."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator

from attrs import define, field, frozen

_BOM = b"\xef\xbb\xbf"
_SPECIAL = re.compile(rb"[*?\[\\]")
_SLASH, _BACKSLASH, _BRACKET, _DASH, _COLON, _OPEN = b"/\\]-:["
# What a wildcard stands for: within one name; folders, down to any depth, with a slash; any text; any text to the end.
_STAR, _FOLDERS, _DEEP, _ALL = b"*", b"**/", b"**\\", b"**"
_SKIPS = {_FOLDERS: b"(?:[^/]*/)*", _DEEP: b".*", _ALL: b".*"}
_CLASSES = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, (*range(32), 127))),
    b"digit": string.digits,
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"lower": string.ascii_lowercase,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"punct": string.punctuation,
    b"space": string.whitespace,
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


class _NeverMatches(Exception):
    """The pattern is not complete: git lets it match nothing."""


@frozen
class IgnorePatterns:
    """The patterns of one file. Those in a row that say the same are one block; the last block that matches decides."""

    _blocks: tuple[_Block, ...]

    @classmethod
    def parse(cls, data: bytes) -> IgnorePatterns:
        """Parse the contents of a file; a line that is no pattern is none of them. Never fails."""
        blocks: list[_Block] = []
        for line in data.removeprefix(_BOM).split(b"\n"):
            text = _strip_line(line)
            if not text or text.startswith(b"#"):
                continue
            is_ignored = not text.startswith(b"!")
            if not blocks or blocks[-1].is_ignored is not is_ignored:
                blocks.append(_Block(is_ignored))
            blocks[-1].add_pattern(text if is_ignored else text[1:])
        return cls(tuple(reversed(blocks)))

    def find_verdict(self, name: bytes, *, is_folder: bool) -> bool | None:
        """Return whether a path is ignored, given below the folder of the file; None if no pattern says anything.

        What is below an ignored folder is not asked for: it is ignored, whatever its own patterns say.
        """
        base = name[name.rfind(b"/") + 1 :]
        return next(
            (block.is_ignored for block in self._blocks if block.matches(name, base, is_folder)), None
        )


@define
class _Group:
    """Patterns of one kind: names, ends of names, paths, and forms of names and of paths."""

    bases: set[bytes] = field(factory=set)
    ends: tuple[bytes, ...] = ()
    paths: set[bytes] = field(factory=set)
    base_forms: list[bytes] = field(factory=list)
    path_forms: list[bytes] = field(factory=list)
    _base_regex: re.Pattern[bytes] | None = None
    _path_regex: re.Pattern[bytes] | None = None

    def matches(self, name: bytes, base: bytes) -> bool:
        if base in self.bases or name in self.paths or (self.ends and base.endswith(self.ends)):
            return True
        if self.base_forms:
            if self._base_regex is None:
                self._base_regex = _join_forms(self.base_forms)
            if self._base_regex.fullmatch(base):
                return True
        if self.path_forms:
            if self._path_regex is None:
                self._path_regex = _join_forms(self.path_forms)
            return self._path_regex.fullmatch(name) is not None
        return False


@define
class _Block:
    is_ignored: bool
    _any: _Group = field(factory=_Group)
    _folders: _Group = field(factory=_Group)

    def matches(self, name: bytes, base: bytes, is_folder: bool) -> bool:
        return self._any.matches(name, base) or (is_folder and self._folders.matches(name, base))

    def add_pattern(self, text: bytes) -> None:
        group = self._any
        fixed = _measure_fixed(text)
        if text.endswith(b"/"):
            text, group = text[:-1], self._folders
            fixed = min(fixed, len(text))
        try:
            if b"/" in text:
                # The fixed beginning is compared first, so that to git the rest is a pattern of its own.
                start = int(text.startswith(b"/"))
                form = re.escape(text[start:fixed]) + _make_path_form(text[max(start, fixed) :])
                if fixed == len(text):
                    group.paths.add(text[start:])
                else:
                    group.path_forms.append(form)
            elif fixed == len(text):
                group.bases.add(text)
            elif text.startswith(b"*") and not _SPECIAL.search(text, 1):
                group.ends += (text[1:],)
            else:
                group.base_forms.append(_make_base_form(text))
        except _NeverMatches:
            return


def _join_forms(forms: list[bytes]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(b"(?:%s)" % form for form in forms), re.DOTALL)


def _strip_line(line: bytes) -> bytes:
    """Return a line without its carriage return and the spaces at its end, unless a backslash keeps them."""
    text = line.removesuffix(b"\r").partition(b"\0")[0]
    end = at = 0
    while at < len(text):
        is_escaped = text[at] == _BACKSLASH
        at += is_escaped
        if at == len(text):
            return text
        at += 1
        if is_escaped or text[at - 1 : at] != b" ":
            end = at
    return text[:end]


def _measure_fixed(text: bytes) -> int:
    """Return the length of the beginning that has no wildcard."""
    found = _SPECIAL.search(text)
    return found.start() if found else len(text)


def _make_base_form(text: bytes) -> bytes:
    return _join_stars(list(_iter_tokens(text, in_path=False)), b".")


def _make_path_form(text: bytes) -> bytes:
    """Return the regular expression of a path. A wildcard takes the least that lets the next one begin.

    That is enough for every match, and keeps hostile patterns from taking for ever.
    """
    segments: list[list[bytes]] = [[]]
    skips: list[bytes] = []
    for token in _iter_tokens(text, in_path=True):
        if token in _SKIPS:
            skips.append(token)
            segments.append([])
        else:
            segments[-1].append(token)
    form = _join_stars(segments[0], b"[^/]")
    for number, (skip, segment) in enumerate(zip(skips, segments[1:], strict=True), 1):
        body = _join_stars(segment, b"[^/]")
        form += _SKIPS[skip] + body if number == len(skips) else b"(?>%s?%s)" % (_SKIPS[skip], body)
    return form


def _join_stars(tokens: list[bytes], one: bytes) -> bytes:
    """Return the expression of tokens of which only `_STAR` stands for more than one byte; ``one``: any of a name."""
    pieces: list[list[bytes]] = [[]]
    for token in tokens:
        if token == _STAR:
            pieces.append([])
        else:
            pieces[-1].append(token)
    form = b"".join(pieces[0])
    for number, piece in enumerate(pieces[1:], 1):
        text = b"".join(piece)
        is_bound = number == len(pieces) - 1 or b"/" in piece
        form += b"%s*%s" % (one, text) if is_bound else b"(?>%s*?%s)" % (one, text)
    return form


def _iter_tokens(text: bytes, *, in_path: bool) -> Iterator[bytes]:
    """Yield an expression for each byte, and the wildcards. Raises `_NeverMatches`."""
    at = 0
    while at < len(text):
        sign = text[at : at + 1]
        if sign == b"*":
            end = at
            while text[end : end + 1] == b"*":
                end += 1
            token, end = _classify_stars(text, at, end) if in_path else (_STAR, end)
            yield token
            at = end
        elif sign == b"[":
            members, at = _parse_class(text, at + 1)
            yield _format_class(members - {_SLASH} if in_path else members)
        elif sign == b"?":
            yield b"[^/]" if in_path else b"."
            at += 1
        else:
            if sign == b"\\":
                at += 1
                sign = text[at : at + 1]
                if not sign:
                    raise _NeverMatches
            yield sign if sign == b"/" else re.escape(sign)
            at += 1


def _classify_stars(text: bytes, start: int, end: int) -> tuple[bytes, int]:
    """Return the token of the stars from ``start`` to ``end``, and where the text goes on."""
    if end - start > 1 and (not start or text[start - 1] == _SLASH):
        if end == len(text):
            return _ALL, end
        if text[end] == _SLASH:
            return _FOLDERS, end + 1
        if text[end : end + 2] == b"\\/":
            return _DEEP, end
    return _STAR, end


def _parse_class(text: bytes, at: int) -> tuple[frozenset[int], int]:
    """Return the bytes that a bracket expression stands for and where the text goes on; ``at``: behind the bracket."""
    is_negated = text[at : at + 1] in (b"!", b"^")
    at += is_negated
    members: set[int] = set()
    before = 0
    while True:
        sign = _get_byte(text, at)
        if sign == _BACKSLASH:
            at += 1
            sign = _get_byte(text, at)
            members.add(sign)
        elif sign == _DASH and before and text[at + 1 : at + 2] not in (b"", b"]"):
            at += 1
            at += text[at] == _BACKSLASH
            members.update(range(before, _get_byte(text, at) + 1))
            sign = 0
        elif sign == _OPEN and text[at + 1 : at + 2] == b":":
            end = text.find(b"]", at + 2)
            if end < 0:
                raise _NeverMatches
            if end > at + 2 and text[end - 1] == _COLON:
                members.update(_get_class(text[at + 2 : end - 1]))
                at, sign = end, 0
            else:
                members.add(sign)
        else:
            members.add(sign)
        before, at = sign, at + 1
        if text[at : at + 1] == b"]":
            return frozenset(range(256)) - members if is_negated else frozenset(members), at + 1


def _get_byte(text: bytes, at: int) -> int:
    if at >= len(text):
        raise _NeverMatches
    return text[at]


def _get_class(name: bytes) -> Iterable[int]:
    if name not in _CLASSES:
        raise _NeverMatches
    return _CLASSES[name].encode()


def _format_class(members: frozenset[int]) -> bytes:
    if not members:
        return b"(?!)"
    return b"[%s]" % b"".join(b"\\x%02x" % member for member in sorted(members))
