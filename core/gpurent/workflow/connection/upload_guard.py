"""Refuses folders that nobody means to upload: a home folder, credentials, gpurent's own files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from attrs import evolve, frozen

from gpurent.domain.transfer import PushRequest
from gpurent.domain.trip import UploadSpec
from gpurent.domain.upload_rules import is_credential_name
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.ports.local_files import LINK_ERRORS, LocalFiles
from gpurent.roles.transfer_errors import linked_source_error
from gpurent.workflow.connection.local_folder import LocalPlace, get_upload_place


@frozen
class UploadGuard:
    """``user_home``: the user's home folder; ``own_folders``: gpurent's own, which may not exist."""

    user_home: Path
    own_folders: Sequence[Path]
    files: LocalFiles

    def check_upload(self, upload: UploadSpec) -> None:
        """Raise `UsageError` unless the folder may be uploaded, or what was named of it, which no link may lead to."""
        place = get_upload_place(upload)
        self._check_way(place, upload.include)
        if not upload.include:
            self.check_source(place.path)
        for name in upload.include:
            self._check_path(place.path / name)

    def check_source(self, source: Path) -> None:
        """Raise `UsageError` unless ``source``, which the user has named, may be uploaded."""
        if source.is_dir() and any(
            is_credential_name(name, parent) for parent, name in pairwise(source.resolve().parts)
        ):
            raise _refused_error(source, _("a folder of credentials"))
        self._check_path(source)

    def _check_way(self, place: LocalPlace, include: Sequence[str]) -> None:
        """Check that no link is on the way to the folder and to what is named of it; what is missing is found later."""
        path = place.path
        try:
            with closing(self.files.open_tree(place.root, place.below)) as tree:
                for path in [place.path / name for name in include]:
                    with tree.open_folder(path.relative_to(place.path).parts[:-1]):
                        pass
        except OSError as error:
            if error.errno in LINK_ERRORS:
                raise linked_source_error(path) from None

    def exclude_own_folders(self, push: PushRequest, withheld: Sequence[str] = ()) -> PushRequest:
        """Return ``push`` such that gpurent's own folders and ``withheld`` files below its sources are left out."""
        sources = [source.resolve() for source in push.sources]
        own = (path.resolve() for path in (*self.own_folders, *map(Path, withheld)))
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
