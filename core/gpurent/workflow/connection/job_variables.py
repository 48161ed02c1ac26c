"""What a job gets in its environment: variables that the user named, those of a file, and secrets of the vault."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from attrs import frozen

from gpurent.domain.job_variables import (
    MAX_FILE_BYTES,
    parse_variable_file,
    split_secret_names,
    split_variables,
)
from gpurent.domain.secret import Secret
from gpurent.domain.trip import JobSpec
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.local_files import LINK_ERRORS, LocalFiles
from gpurent.ports.services import SecretRegistry, SecretStore
from gpurent.roles.transfer_errors import linked_source_error

JOB_SCOPE = "@job"
"""In place of a plugin's name, in the vault: none is called like this."""


@frozen
class JobVariables:
    """Reads the variables of a job. What comes from a file or from the vault is secret, and is written nowhere."""

    files: LocalFiles
    secrets: SecretStore
    registry: SecretRegistry

    def get_plain(self, job: JobSpec) -> Mapping[str, str]:
        """Return the variables that the user named, with which the job's script may be written."""
        return split_variables(job.env)

    def read_secret(self, job: JobSpec) -> Mapping[str, Secret]:
        """Return those of the file and of the vault, but no variable that the user named otherwise.

        Raises `UsageError` for a file that cannot be read or a name that the vault lacks, `AuthError` if the vault
        needs its passphrase.
        """
        found = {name: Secret(value) for name, value in self._read_file(job).items()}
        vault = self.secrets.get_vault(JOB_SCOPE)
        for variable, name in split_secret_names(job.secrets).items():
            secret = vault.get(name)
            if secret is None:
                raise UsageError(
                    _("the vault has no secret {name} for jobs").format(name=name),
                    hint=_("Put it there: gpurent vault put {name}").format(name=name),
                )
            found[variable] = secret
        for name in split_variables(job.env):
            found.pop(name, None)
        for secret in found.values():
            self.registry.register_secret(secret)
        return found

    def check(self, job: JobSpec) -> None:
        """Raise as `read_secret` does, before anything is rented."""
        if job.env_file or job.secrets:
            self.read_secret(job)

    def _read_file(self, job: JobSpec) -> Mapping[str, str]:
        if not job.env_file:
            return {}
        path = Path(job.env_file)
        try:
            data = self._read_bytes(path, job.env_root)
            return parse_variable_file(data.decode("utf-8"))
        except OSError as error:
            if job.env_root and error.errno in LINK_ERRORS:
                raise linked_source_error(path) from None
            raise _make_file_error(path, describe_error(error)) from None
        except UnicodeDecodeError:
            raise _make_file_error(path, _("it is not UTF-8 text")) from None
        except ValueError as error:
            raise _make_file_error(path, str(error)) from None

    def _read_bytes(self, path: Path, root: str) -> bytes:
        """Read the file; below the folder of a project file, no link is followed."""
        if not (root and path.is_relative_to(root)):
            path = path.resolve()  # the user's own word
            root = str(path.parent)
        *folder, base = path.relative_to(root).parts
        with closing(self.files.open_tree(Path(root), tuple(folder))) as tree, tree.open_folder(()) as opened:
            handle = opened.open_file(base)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(_("it is not a regular file"))
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(_("it is too large"))
        return data


def _make_file_error(path: Path, why: str) -> UsageError:
    return UsageError(_("the variables in {file} cannot be read: {why}").format(file=path, why=why))
