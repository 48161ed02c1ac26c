"""Which project files the user trusts: one private file for each, in the data folder and never in the project."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from attrs import frozen

from gpurent.domain.project import ProjectFile, ProjectTrust, TrustRecord
from gpurent.infra.platform.system import (
    make_private_folder,
    make_storage_error,
    read_private_file,
    write_private_file,
)


@frozen
class TrustedProjects:
    """The records below ``data_folder``. The last content that was trusted counts; an earlier one counts no more."""

    data_folder: Path

    def get_trust(self, project: ProjectFile) -> ProjectTrust:
        """Return whether exactly this content, at this path, of this owner is trusted.

        Raises `UsageError` if others could have written the record.
        """
        known = self._read_record(self._get_record_path(project.path))
        if known is None or known.path != str(project.path):
            return ProjectTrust.UNKNOWN
        same = (known.sha256, known.owner) == (project.sha256, project.owner)
        return ProjectTrust.TRUSTED if same else ProjectTrust.CHANGED

    def trust(self, project: ProjectFile, now: datetime) -> TrustRecord:
        """Record that the user trusts this content; it replaces an earlier one. On disk when this returns."""
        record = TrustRecord(
            path=str(project.path), sha256=project.sha256, owner=project.owner, trusted_at=now
        )
        path = self._get_record_path(project.path)
        data = {
            "path": record.path,
            "sha256": record.sha256,
            "owner": record.owner,
            "trusted_at": record.trusted_at.isoformat(),
        }
        make_private_folder(self.data_folder)
        make_private_folder(path.parent)
        try:
            write_private_file(path, f"{json.dumps(data)}\n".encode())
        except OSError as error:
            raise make_storage_error(path, error) from error
        return record

    def remove(self, project_path: Path) -> bool:
        """Trust the file at the real path ``project_path`` no more; return whether it was trusted."""
        path = self._get_record_path(project_path)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise make_storage_error(path, error) from error
        return True

    def list_records(self) -> Sequence[TrustRecord]:
        """Return the records by path."""
        found = [self._read_record(path) for path in self._folder.glob("*.json")]
        return sorted((record for record in found if record is not None), key=lambda record: record.path)

    @property
    def _folder(self) -> Path:
        return self.data_folder / "trusted-projects"

    def _get_record_path(self, project_path: Path) -> Path:
        """A file for each path, so that two commands at once overwrite nothing of each other's."""
        return self._folder / f"{sha256(os.fsencode(project_path)).hexdigest()}.json"

    @staticmethod
    def _read_record(path: Path) -> TrustRecord | None:
        """Return the record; None if it is missing, or damaged so that it trusts nothing."""
        try:
            found = json.loads(read_private_file(path))
            return TrustRecord(
                path=str(found["path"]),
                sha256=str(found["sha256"]),
                owner=int(found["owner"]),
                trusted_at=datetime.fromisoformat(found["trusted_at"]),
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        except OSError as error:
            raise make_storage_error(path, error) from error
