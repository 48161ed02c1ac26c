"""The variables of a job: typed, from a file, or from the vault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from gpurent.locale import _

NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
MAX_FILE_BYTES = 1 << 20
_OWN_PREFIX = "GPURENT_"
_ASSIGNMENT = re.compile(rf"(?:export\s+)?({NAME_PATTERN})\s*=(.*)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "`": "`", "\n": ""}


def parse_variable(text: str) -> str:
    """Return ``NAME=VALUE`` as it is; raises `ValueError` for anything else."""
    name, mark, value = text.partition("=")
    if not mark or not re.fullmatch(NAME_PATTERN, name) or "\0" in value:
        raise ValueError(_("expected NAME=VALUE; a name has letters, digits and _"))
    _check_free(name)
    return text


def parse_secret_name(text: str) -> str:
    """Return ``NAME`` or ``VARIABLE=NAME`` as it is; raises `ValueError` for anything else."""
    variable, mark, name = text.rpartition("=")
    if not re.fullmatch(NAME_PATTERN, name) or not re.fullmatch(NAME_PATTERN, variable if mark else name):
        raise ValueError(_("expected the name of a secret in the vault, or VARIABLE=NAME"))
    _check_free(variable or name)
    return text


def _check_free(name: str) -> None:
    if name.startswith(_OWN_PREFIX):
        raise ValueError(_("names that begin with {prefix} are gpurent's own").format(prefix=_OWN_PREFIX))


def split_variables(texts: Iterable[str]) -> dict[str, str]:
    """Return values by name; of two with one name, the later one."""
    return {name: value for name, _mark, value in (text.partition("=") for text in texts)}


def split_secret_names(texts: Iterable[str]) -> dict[str, str]:
    """Return the names in the vault by the variable that each becomes."""
    pairs = (text.rpartition("=") for text in texts)
    return {variable or name: name for variable, _mark, name in pairs}


def merge_variables(first: Sequence[str], later: Sequence[str]) -> tuple[str, ...]:
    """Return the variables of both; where both have one, the later value."""
    merged = {**split_variables(first), **split_variables(later)}
    return tuple(f"{name}={value}" for name, value in merged.items())


def parse_variable_file(text: str) -> Mapping[str, str]:
    """Parse lines ``NAME=VALUE``, as .env files have them; raises `ValueError` with the line's number.

    Blank lines, comments and a leading ``export`` are skipped; quotes are removed, and within double ones a backslash
    escapes. Values may go over several lines within quotes. Nothing is replaced: ``$NAME`` stays as it is.
    """
    found: dict[str, str] = {}
    lines = text.removeprefix("\ufeff").split("\n")
    number = 0
    while number < len(lines):
        line, start = lines[number].strip(), number + 1
        number += 1
        if not line or line.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            raise ValueError(_("line {number}: expected NAME=VALUE").format(number=start))
        value = match[2].lstrip()
        while value[:1] in ("'", '"') and _find_end(value) is None and number < len(lines):
            value += "\n" + lines[number].removesuffix("\r")
            number += 1
        try:
            _check_free(match[1])
            found[match[1]] = _unquote(value)
        except ValueError as error:
            raise ValueError(_("line {number}: {why}").format(number=start, why=error)) from None
    return found


def _find_end(value: str) -> int | None:
    """Return where the quoted text ends, with which ``value`` begins; None if it does not."""
    quote = value[0]
    at = 1
    while at < len(value):
        if value[at] == "\\" and quote == '"':
            at += 1
        elif value[at] == quote:
            return at
        at += 1
    return None


def _unquote(value: str) -> str:
    if value[:1] not in ("'", '"'):
        value = re.split(r"\s#", value, maxsplit=1)[0].strip()
        if "\0" in value:
            raise ValueError(_("a value has no zero bytes"))
        return value
    end = _find_end(value)
    rest = "" if end is None else value[end + 1 :].strip()
    if end is None or (rest and not rest.startswith("#")):
        raise ValueError(_("unclosed quotation mark"))
    inside = value[1:end]
    if value[0] == '"':
        inside = re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[0]), inside, flags=re.DOTALL)
    if "\0" in inside:
        raise ValueError(_("a value has no zero bytes"))
    return inside
