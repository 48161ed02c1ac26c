"""Refuses folders that nobody means to upload: a home folder, credentials, gpurent's own files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from attrs import evolve, frozen

from gpurent.domain.transfer import PushRequest
from gpurent.domain.upload_rules import is_credential_name
from gpurent.errors import UsageError
from gpurent.locale import _


@frozen
class UploadGuard:
    """``user_home``: the user's home folder; ``own_folders``: gpurent's own, which may not exist."""

    user_home: Path
    own_folders: Sequence[Path]

    def check_upload(self, folder: Path, include: Sequence[str] = ()) -> None:
        """Raise `UsageError` unless ``folder`` may be uploaded, or only ``include`` of it, which the user has named."""
        if not include and folder.is_dir():
            parts = folder.resolve().parts
            if any(is_credential_name(name, parent) for parent, name in pairwise(parts)):
                raise _refused_error(folder, _("a folder of credentials"))
        for path in [folder / name for name in include] or [folder]:
            self._check_path(path)

    def exclude_own_folders(self, push: PushRequest) -> PushRequest:
        """Return ``push`` such that gpurent's own folders, where they lie below its sources, are left out."""
        sources = [source.resolve() for source in push.sources]
        own = (folder.resolve() for folder in self.own_folders)
        inside = {str(path) for path in own if any(path.is_relative_to(source) for source in sources)}
        return evolve(push, own_folders=tuple(sorted(inside)))

    def _check_path(self, path: Path) -> None:
        real, home = path.resolve(), self.user_home.resolve()
        if home.is_relative_to(real):
            what = _("your home folder") if real == home else _("a folder that contains your home folder")
            raise _refused_error(path, what)
        if any(real.is_relative_to(own.resolve()) for own in self.own_folders):
            raise _refused_error(path, _("a folder of gpurent itself"))


def _refused_error(path: Path, what: str) -> UsageError:
    return UsageError(
        _("{path} is {what}; it is not uploaded").format(path=path, what=what),
        hint=_("Change into the folder of your project, or name only the files that are needed."),
    )
