"""The roots of what failed with files on machines as they are: B5, B6, B12 and B13."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_PATTERNS = "core/gpurent/domain/ignore_patterns.py"
_LIKE_GIT = ("tests/infra/test_ignore_rules.py::test_the_same_files_as_git",)
_LAUNCHER = "tests/infra/test_plain_launcher.py"
_POSIX = "plugins/turbo/tests/posix"
_ODD_TIMES = "test_files_of_odd_times_are"

FILE_ROOTS = (
    TestedRoot(
        name="allow-lists-lose-folders",
        kind="B5",
        summary="a pattern for folders says nothing about folders, so that an allow list leaves out all of them",
        edits=(Edit(_PATTERNS, "(is_folder and self._folders.matches(name, base))", "False"),),
        tests=_LIKE_GIT,
    ),
    TestedRoot(
        name="byte-order-mark-is-a-pattern",
        kind="B5",
        summary="a byte order mark is part of the first pattern of an ignore file",
        edits=(Edit(_PATTERNS, "data.removeprefix(_BOM).split", "data.split"),),
        tests=_LIKE_GIT,
    ),
    TestedRoot(
        name="own-excludes-are-not-read",
        kind="B5",
        summary=".git/info/exclude is not read",
        edits=(
            Edit(
                "core/gpurent/roles/source_files.py",
                'if not below and (names is None or ".git" in names):',
                "if False:",
            ),
        ),
        tests=_LIKE_GIT,
    ),
    TestedRoot(
        name="hostile-patterns-hang",
        kind="B5",
        summary="a pattern of many wildcards is tried in every way",
        edits=(
            Edit(
                _PATTERNS,
                'form += b"%s*%s" % (one, text) if is_bound else b"(?>%s*?%s)" % (one, text)',
                'form += b"%s*%s" % (one, text) if is_bound else b"%s*%s" % (one, text)',
            ),
        ),
        tests=("tests/infra/test_ignore_rules.py::test_no_pattern_takes_for_ever",),
    ),
    TestedRoot(
        name="times-that-sftp-has-not",
        kind="B6",
        summary="a file of 1969 or 2128 ends an upload by SFTP",
        edits=(
            Edit(
                "plugins/sftp/src/gpurent_plugin_sftp/scan.py",
                "return min(max(status.st_mtime_ns // 10**9, 0), MAX_SFTP_TIME)",
                "return status.st_mtime_ns // 10**9",
            ),
        ),
        tests=(f"plugins/sftp/tests/test_sftp_contract.py::TestSftpEmbedded::{_ODD_TIMES}_pushed_once",),
    ),
    TestedRoot(
        name="times-that-no-table-has",
        kind="B6",
        summary="one file of a far year ends a download from a machine without Python",
        edits=(
            Edit(
                "plugins/turbo/src/gpurent_plugin_turbo/posix/listing.py",
                "stamp = min(max(stamp, MIN_TIME), MAX_TIME)",
                "stamp += 0 * (MIN_TIME + MAX_TIME)",
            ),
        ),
        tests=(
            f"plugins/turbo/tests/posix/test_posix_contract.py::TestPosixEmbedded::{_ODD_TIMES}_pulled_once",
        ),
    ),
    TestedRoot(
        name="umask-takes-modes",
        kind="B12",
        summary="modes are left to a tar that takes the umask off for everybody but root",
        edits=(
            Edit(
                "plugins/turbo/src/gpurent_plugin_turbo/posix/tar_archives.py",
                'if not (mode & 0o400 and b"gnu" in tools.tool_names):',
                "if not mode & 0o400:",
            ),
        ),
        tests=(f"{_POSIX}/test_posix_tools.py::test_a_plain_user_keeps_modes",),
    ),
    TestedRoot(
        name="paths-leave-the-home",
        kind="B13",
        summary="an upload or a job goes out of the home folder of the machine by its parent",
        edits=(
            Edit(
                "core/gpurent/domain/machine_folders.py",
                'if posixpath.normpath(path).split("/")[0] == "..":',
                "if False:",
            ),
        ),
        tests=("tests/domain/test_machine_folders.py::test_a_path_that_leads_out_is_refused",),
    ),
    TestedRoot(
        name="file-is-a-shell-line",
        kind="B13",
        summary="one argument with a space is a line of the shell, although it is a Python file that is there",
        edits=(
            Edit(
                "core/gpurent/infra/registry/plain_launcher.py",
                'if not command[0].endswith(".py"):',
                "if command[0]:",
            ),
        ),
        tests=(f"{_LAUNCHER}::test_one_argument_is_a_file_that_is_there_or_a_line_of_the_shell",),
    ),
    TestedRoot(
        name="unknown-option-is-the-job",
        kind="B13",
        summary="an option that a command does not know becomes the job, on a rented machine",
        edits=(
            Edit(
                "core/gpurent/cli/job_command.py",
                'if word.startswith("-") and word != "-":',
                "if False:",
            ),
        ),
        tests=("tests/cli/test_commands.py::test_an_unknown_option_is_not_taken_as_the_command",),
    ),
)
