"""The product's own access to the files of this computer, for tests that build a plugin's parts themselves."""

from __future__ import annotations

from gpurent.domain.transfer import PullRequest, PushRequest
from gpurent.infra.platform.local_files import make_local_files
from gpurent.roles.safe_dir import SafeDir, open_safe_dir
from gpurent.roles.source_files import SourceFiles

LOCAL_FILES = make_local_files()


def open_target(request: PullRequest) -> SafeDir:
    """Open the folder into which ``request`` downloads."""
    return open_safe_dir(LOCAL_FILES, request)


def open_sources(request: PushRequest) -> SourceFiles:
    """Open what an upload reads."""
    return SourceFiles(LOCAL_FILES, request)
