"""What a local folder is like, as far as it decides which names a download may use there."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from gpurent.domain.auto_run_names import REPOSITORY_MARK
from gpurent.domain.name_policy import LocalNames
from gpurent.ports.system import Platform


@frozen
class LocalNamesMaker:
    """``user_home``: the user's home folder, where many names run by themselves."""

    platform: Platform
    user_home: Path

    def make_names(self, folder: Path) -> LocalNames:
        """Return the names of one download into ``folder``, which need not exist."""
        real, home = folder.resolve(), self.user_home.resolve()
        return LocalNames(
            rules=self.platform.read_file_system_rules(real),
            home=home.relative_to(real).parts if home.is_relative_to(real) else None,
            is_repository=lambda path: _has_mark(real.joinpath(*path)),
        )


def _has_mark(folder: Path) -> bool:
    """Return whether ``folder`` has the file by which git takes it for a repository, or cannot be looked into."""
    mark = folder / REPOSITORY_MARK
    try:
        return mark.is_symlink() or mark.is_file()
    except OSError:
        return True
