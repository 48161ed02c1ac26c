"""What a field of a trip is: its kind of value, its heading, and its description."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from gpurent.locale import N_


class FieldKind(Enum):
    TEXT = "text"
    COMMAND = "words"
    TEXT_LIST = "texts"
    PATH = "path"
    PATH_LIST = "paths"
    PATTERN_LIST = "patterns"
    PACKAGES = "packages"
    FILE = "file"
    VARIABLE_LIST = "variables"
    SECRET_LIST = "secrets"  # noqa: S105 - a kind of field
    DURATION = "duration"
    TIME = "time"
    MONEY = "money"
    NUMBER = "number"
    PERCENT = "percent"
    EXACT_PERCENT = "exact-percent"
    PRICE = "price"
    TRAFFIC_PRICE = "traffic-price"
    VERSION = "version"
    SIZE = "size"
    FLAG = "flag"

    @property
    def is_list(self) -> bool:
        """Whether the field holds several values: a repeatable option, a list in the file."""
        return self in (
            FieldKind.TEXT_LIST,
            FieldKind.PATH_LIST,
            FieldKind.PATTERN_LIST,
            FieldKind.PACKAGES,
            FieldKind.VARIABLE_LIST,
            FieldKind.SECRET_LIST,
        )


class Tighter(Enum):
    """Which of two values of a field limits more; no value limits nothing."""

    LESS = "less"
    MORE = "more"
    EARLIER = "earlier"
    LAST_CHOICE = "last choice"
    ADDED = "added"  # values of a list are added to the user's own, and replace none


class FieldGroup(Enum):
    """The headings of help and docs, in their order."""

    MACHINE = N_("The machine")
    LIMITS = N_("Time and money")
    UPLOAD = N_("Upload")
    SETUP = N_("Setup")
    JOB = N_("The job")
    RESULTS = N_("Results")
    NOTIFICATIONS = N_("Notifications")


@frozen
class TripField:
    """A field of a trip. ``help_text`` is one line for people.

    ``example`` is the value as TOML; ``attribute_path`` is the attribute of `TripSpec`.

    ``choices``: the only values allowed. ``plugin_kind``: the kind of plugin that the value names, as in its hook
    ("lease" for a provider), for completion and checks. ``relative_to_upload``: paths are relative to the uploaded
    folder and stay inside it; otherwise they are relative to the file or folder in which they are given.

    ``tighter``: of a field that the user's settings have too, which value counts when the one of a project file meets
    the user's own; None: the settings have no such value.
    """

    name: str
    kind: FieldKind
    group: FieldGroup
    attribute_path: str
    example: str
    help_text: str
    choices: tuple[str, ...] = ()
    minimum: int = 0
    plugin_kind: str = ""
    relative_to_upload: bool = True
    tighter: Tighter | None = None

    @property
    def option_name(self) -> str:
        return f"--{self.name.replace('_', '-')}"
