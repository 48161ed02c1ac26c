"""Volumes: storage that outlives machines, costs money by itself, and lies in one place of its provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen

from gpurent.domain.money import UnitPrice
from gpurent.locale import N_, _
from gpurent.terminal_text import NO_TEXT, ForeignText, to_foreign_texts

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,23}"
_MARK_LENGTH = 8
_LABEL = re.compile(rf"gpurent-([0-9a-f]{{{_MARK_LENGTH}}})-({NAME_PATTERN})-([a-z0-9]{{5}})")


class VolumeState(Enum):
    """The state of a volume.

    REQUESTED: its create was recorded, and may have been sent; whether it exists is not known yet. MISSING: the
    provider's answers lack it, but nothing shows that it ended. Only a DELETED one costs nothing for sure.
    """

    REQUESTED = "requested"
    CREATING = "creating"
    READY = "ready"
    MISSING = "missing"
    DELETING = "deleting"
    DELETED = "deleted"

    @property
    def title(self) -> str:
        """The state in the user's language."""
        return _(_STATE_TITLES[self])


_STATE_TITLES = {
    VolumeState.REQUESTED: N_("requested"),
    VolumeState.CREATING: N_("being created"),
    VolumeState.READY: N_("ready"),
    VolumeState.MISSING: N_("missing"),
    VolumeState.DELETING: N_("being deleted"),
    VolumeState.DELETED: N_("deleted"),
}


@frozen(kw_only=True)
class VolumeOffer:
    """A place in which volumes can be created. ``price`` is that of one GB; sizes in GB, ``maximum`` None: not known.

    ``location``: the place in words, as `Offer.location`. ``provider_data`` holds the plugin's own data as text.
    """

    provider: str
    place: str = field(converter=ForeignText)
    price: UnitPrice
    location: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    minimum: int = 1
    maximum: int | None = None
    provider_data: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Volume:
    """A volume as its provider last described it; ``size`` in GB.

    ``id`` is our own, and ``label`` what the volume bears at the provider: both are made by core before the create, and
    empty for a volume that is only listed, but for its label. ``name`` is what the user calls it. ``ref`` is the
    provider's, ``account`` whose it is there (empty if that is not known). ``place``: only machines whose
    `Offer.volume_place` is the same can mount it. ``price`` is that of the whole volume, as long as it exists; None if
    the provider does not tell it. ``users``: the provider's references of the machines that mount it, as far as it
    lists them.

    ``sent_at``: when core first called `SupportsVolumes.create_volume`; None during that first call.
    ``delete_requested_at`` is set before the first call that deletes. ``absent_since``: the first of the good answers
    in a row that lacked it. ``books_closed_at``: when, after its end, the ledger got all its charges.
    """

    provider: str
    place: str = field(converter=ForeignText)
    size: int
    state: VolumeState = VolumeState.READY
    id: str = ""
    name: str = field(default=NO_TEXT, converter=ForeignText)
    label: str = field(default=NO_TEXT, converter=ForeignText)
    ref: str = field(default=NO_TEXT, converter=ForeignText)
    account: str = field(default=NO_TEXT, converter=ForeignText)
    price: UnitPrice | None = None
    users: tuple[ForeignText, ...] = field(default=(), converter=to_foreign_texts)
    note: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    created_at: datetime | None = None
    deleted_at: datetime | None = None
    sent_at: datetime | None = None
    delete_requested_at: datetime | None = None
    absent_since: datetime | None = None
    books_closed_at: datetime | None = None
    provider_data: Mapping[str, str] = field(factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether it has been deleted and no longer costs money."""
        return self.state is VolumeState.DELETED

    def is_same(self, listed: Volume) -> bool:
        """Whether ``listed``, of the same provider, is this volume: by its reference, else by its label."""
        return listed.ref == self.ref if self.ref else bool(self.label) and listed.label == self.label


@frozen(kw_only=True)
class VolumeLabel:
    """What a volume bears at its provider: the beginning of this installation's id, the name, and a random mark."""

    installation: str
    name: str
    mark: str

    @classmethod
    def make(cls, installation: str, name: str, mark: str) -> VolumeLabel:
        return cls(installation=installation[:_MARK_LENGTH], name=name, mark=mark)

    @classmethod
    def parse(cls, text: str) -> VolumeLabel | None:
        """Return the label that ``text`` is; None for one that gpurent did not make."""
        found = _LABEL.fullmatch(text)
        return cls(installation=found[1], name=found[2], mark=found[3]) if found else None

    def is_of(self, installation: str) -> bool:
        return installation.startswith(self.installation)

    @property
    def id(self) -> str:
        """The id of our volume with this label."""
        return f"vol-{self.name}-{self.mark}"

    def __str__(self) -> str:
        return f"gpurent-{self.installation}-{self.name}-{self.mark}"
