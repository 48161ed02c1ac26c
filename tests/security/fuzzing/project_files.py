"""Project files of repositories: every key with values of every type, and damaged files.

A file is read or refused with its path; whatever it says, uploads and results stay beneath its folder and keep off the
names that other programs run by themselves.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from gpurent.domain.field_kinds import FieldKind, TripField
from gpurent.domain.trip import TripSpec
from gpurent.domain.trip_fields import FIELDS_BY_NAME
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import UsageError
from gpurent.infra.config.project_file import parse_project_file
from tests.infra.test_project_file import FILE_PATH, FULL_FILE, NOW, NOWHERE
from tests.security.fuzzing.mutators import NUMBERS, PIECES, change_bytes, change_text
from tests.security.fuzzing.rules import FuzzFamily, require

OWNER = 1000
_PATH_KINDS = (FieldKind.PATH, FieldKind.FILE, FieldKind.PATH_LIST, FieldKind.PATTERN_LIST)
PATHS = (
    *(
        "out",
        "data/x",
        "sub",
        "a/b/c",
        "out/*.pt",
        "out/**/*.bin",
        "a/../b",
        "..",
        "../up",
        "/etc",
        "~/.ssh",
        ".git",
        ".git/hooks",
        "a/.GIT/x",
        ".ssh/authorized_keys",
    ),
    *(
        "C:\\x",
        "a\\..\\..\\b",
        "\\\\host\\share",
        ".gi\u200bt/hooks",
        "GIT~1",
        ".git. /x",
        ".git::$INDEX_ALLOCATION",
        ".",
        "",
        "*",
        "**",
    ),
    *(
        ".envrc",
        "sub/.vscode/tasks.json",
        "sitecustomize.py",
        "out\n.git",
        "a//b",
        "./x",
        "a/./b/../../..",
        "-rf",
        "x" * 5000,
    ),
)
TEXTS = (
    *(
        "1d",
        "20h",
        "200CNY",
        "¥5",
        "train.py",
        "release",
        "job-ended",
        "2026-12-01",
        "18:30",
        "0",
        "∞",
        "1e9h",
        "-1h",
        "9" * 400 + "h",
    ),
    *("--extra-x=http://evil.example", "-r/etc/passwd", "a; b", "$(id)", "'", '"unclosed'),
)
RAW_VALUES = (
    *(
        "1979-05-27T07:32:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "07:32:00",
        "1979-05-27",
        "inf",
        "nan",
    ),
    *(
        "true",
        "false",
        "0",
        "-1",
        "1_000_000_000_000",
        "0xff",
        "1e400",
        "1.5",
        "[]",
        "{}",
        "[[1]]",
        "{a = {b = 1}}",
        "9" * 5000,
    ),
)
_RUN_BY_THEMSELVES = re.compile(
    r"(?:^|/)(?:\.git|\.hg|\.ssh|\.envrc|\.vscode|sitecustomize\.py|git~\d+)(?:[. ]*(?::[^/]*)?)(?:/|$)",
    re.IGNORECASE,
)
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNSEEN = re.compile("[\u200b-\u200f\u2060-\u206f\ufeff\u00ad\u202a-\u202e]")


def _write_text(random: Random) -> str:
    text = random.choice((random.choice(PATHS), random.choice(TEXTS)))
    if random.random() < 0.3:
        text = change_text(random, text, (*PIECES, *NUMBERS, "/", "..", "\\", ".git"))
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")


def _write_value(random: Random, field: TripField | None = None) -> str:
    """Return a TOML value: for a field mostly one of its kind, otherwise any."""
    kind = random.random()
    if field is not None and kind < 0.6:
        return _write_fitting_value(random, field)
    if kind < 0.45:
        return _write_text(random)
    if kind < 0.7:
        return f"[{', '.join(_write_value(random) for _item in range(random.randint(0, 3)))}]"
    return random.choice(RAW_VALUES)


def _write_fitting_value(random: Random, field: TripField) -> str:
    if field.kind not in _PATH_KINDS:
        return field.example if random.random() < 0.6 else change_text(random, field.example, most=1)
    paths = [json.dumps(random.choice(PATHS), ensure_ascii=False) for _path in range(random.randint(1, 2))]
    return paths[0] if field.kind in (FieldKind.PATH, FieldKind.FILE) else f"[{', '.join(paths)}]"


def make_file(random: Random) -> bytes:
    """Return a file with a few keys of its own, or the full example changed in a few places."""
    kind = random.random()
    if kind < 0.6:
        keys = random.sample(sorted(FIELDS_BY_NAME), random.randint(1, 4))
        lines = [f"{key} = {_write_value(random, FIELDS_BY_NAME[key])}" for key in keys]
        if random.random() < 0.1:
            lines.insert(
                0,
                random.choice(("[guard]", "[x]", "gpu.name = 1", "\ufeff", "[[a]]", '"" = 1', "\x1b[2J = 1")),
            )
        data = "\n".join(lines).encode("utf-8", "replace")
    else:
        lines = FULL_FILE.strip().splitlines()
        at = random.randrange(len(lines))
        key = lines[at].partition(" =")[0]
        lines[at] = f"{key} = {_write_value(random, FIELDS_BY_NAME[key])}"
        data = "\n".join(lines).encode("utf-8", "replace")
    return change_bytes(random, data) if random.random() < 0.15 else data


def try_case(random: Random) -> str:
    data = make_file(random)
    try:
        file = parse_project_file(FILE_PATH, data, NOW, NOWHERE, OWNER)
        spec = make_trip_spec(file.values)
    except UsageError as error:
        require(
            error.message.startswith(str(FILE_PATH)), f"an error that names no file: {error.message[:200]!r}"
        )
        return "refused"
    check_trip(spec, file.written)
    return "read"


def check_trip(spec: TripSpec, written: Mapping[str, Any]) -> None:
    """Check where a trip reads and writes on this computer, and what its machine's pip is given."""
    folder = str(FILE_PATH.parent)
    for path in (spec.upload.folder, spec.results.dir, spec.job.env_file, *_list_below(spec)):
        full = posixpath.normpath(posixpath.join(folder, path))
        require(full == folder or full.startswith(f"{folder}/"), f"{path!r} leaves the folder: {written}")
        generous = posixpath.normpath(posixpath.join(folder, _UNSEEN.sub("", path).replace("\\", "/")))
        require(generous == folder or generous.startswith(f"{folder}/"), f"{path!r} leaves it: {written}")
    for path in (spec.results.dir, *spec.results.paths):
        seen = _UNSEEN.sub("", path).replace("\\", "/")
        require(not _RUN_BY_THEMSELVES.search(seen), f"{path!r} runs by itself: {written}")
    for name in spec.job.setup.pip:
        require(not name.startswith("-") and "\n" not in name, f"an option of pip: {name!r}")
    for text in (*spec.job.env, *spec.job.secrets):
        name = text.partition("=")[0]
        is_free = _VARIABLE.fullmatch(name) and not name.startswith("GPURENT_")
        require(is_free and "\0" not in text, f"no variable of a job: {text!r}")


def _list_below(spec: TripSpec) -> Iterator[str]:
    """Yield the paths that are relative to the uploaded folder."""
    setup = spec.job.setup
    for path in (
        *spec.upload.include,
        *spec.results.paths,
        *(setup.needs or ()),
        setup.requirements,
        setup.conda,
    ):
        yield posixpath.join(spec.upload.folder, path)


def open_cases() -> Callable[[Random], str]:
    return try_case


PROJECT_FILES = FuzzFamily(
    name="project-files",
    summary="`gpurent.toml` with values of every type for every key: paths, times, amounts, options, damage",
    open_cases=open_cases,
)
