"""The roots of what broke on Windows and macOS: W1 to W8, M1, M2."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_PLATFORM = "core/gpurent/infra/platform"
_CONTRACT = "tests/windows/test_fake_windows.py::test_the_platform_keeps_its_contract"
_PARTS = "tests/windows/test_windows_parts.py"
_OTHER = "tests/windows/test_other_systems.py"
_NAMES = "tests/domain/test_name_policy.py"
_TUNING = "plugins/turbo/src/gpurent_plugin_turbo/near/connection/tcp_tuning.py"

WINDOWS_ROOTS = (
    TestedRoot(
        name="names-judged-with-posix-eyes",
        kind="W1",
        summary="a backslash in a machine's name leads out of the folder on Windows",
        edits=(
            Edit(
                "core/gpurent/domain/name_policy.py",
                "if self.rules.windows_names and (is_reserved_by_windows(name)",
                "if self.rules.windows_names and (not name",
            ),
        ),
        tests=(
            f"{_NAMES}::test_names_that_windows_reserves",
            "plugins/sftp/tests/test_sftp_contract.py::TestSftpEmbedded::test_names_that_are_not_used_here_are_reported",
        ),
    ),
    TestedRoot(
        name="files-opened-by-any-name",
        kind="W1",
        summary="what opens files on Windows takes any name for one of its folder",
        edits=(
            Edit(
                f"{_PLATFORM}/windows/local_files.py",
                'if not base or base == ".." or "/" in base or "\\0" in base or is_reserved_by_windows(base):',
                'if not base or base == ".." or "/" in base or "\\0" in base:',
            ),
        ),
        tests=(_CONTRACT,),
    ),
    TestedRoot(
        name="two-names-one-file",
        kind="W2",
        summary="of two names that are one file here, the second replaces the first, and both are reported",
        edits=(
            Edit(
                "core/gpurent/domain/name_policy.py",
                "return NameProblem.SAME_NAME if self._is_taken(path) else None",
                "return None",
            ),
        ),
        tests=(
            f"{_NAMES}::test_the_second_of_two_names_that_are_one_here",
            "plugins/sftp/tests/test_sftp_contract.py::TestSftpEmbedded::test_names_that_are_not_used_here_are_reported",
        ),
    ),
    TestedRoot(
        name="one-bad-name-stops-all",
        kind="W3",
        summary="a name that cannot be used here ends the whole download",
        edits=(
            Edit(
                "plugins/sftp/src/gpurent_plugin_sftp/remote_walk.py",
                "                await self._refuse_entry(below, inner, state, problem)",
                "                raise source_name_error(escape_name(below), problem.text)",
            ),
        ),
        tests=(
            "plugins/sftp/tests/test_sftp_contract.py::TestSftpEmbedded::test_names_that_are_not_used_here_are_reported",
        ),
    ),
    TestedRoot(
        name="world-writable-uploads",
        kind="W4",
        summary="files from Windows are writable for everybody on the machine, and scripts do not run",
        edits=(
            Edit(
                f"{_PLATFORM}/windows/local_files.py",
                "return file_modes.PROGRAM_MODE if is_program else file_modes.FILE_MODE",
                "return mode or is_program",
            ),
        ),
        tests=(_CONTRACT,),
    ),
    TestedRoot(
        name="guard-that-nothing-starts",
        kind="W5",
        summary="watch install writes for another system what nothing here will start",
        edits=(
            Edit(
                "core/gpurent/cli/commands/watch.py",
                "    if not only_print:\n        _check_kind(chosen)\n",
                "",
            ),
        ),
        tests=(f"{_OTHER}::test_what_this_system_lacks_starts_no_guard",),
    ),
    TestedRoot(
        name="pipes-in-a-code-page",
        kind="W6",
        summary="piped output is in Windows' code page, which lacks most characters",
        edits=(
            Edit(
                "core/gpurent/cli/main.py",
                'if _SYSTEM == "win32" and not stream.isatty():',
                "if stream.closed:",
            ),
        ),
        tests=(f"{_OTHER}::test_what_is_piped_on_windows_is_utf8",),
    ),
    TestedRoot(
        name="open-file-not-replaced",
        kind="W7",
        summary="a file that a scanner has open for a moment cannot be replaced",
        edits=(
            Edit(
                f"{_PLATFORM}/windows/private_files.py",
                'if getattr(error, "winerror", 0) not in _HELD_ERRORS or time.monotonic() > until:',
                "if until:",
            ),
        ),
        tests=(_CONTRACT,),
    ),
    TestedRoot(
        name="language-of-windows-unread",
        kind="W8",
        summary="the language is that of variables which Windows does not set",
        edits=(
            Edit(
                "core/gpurent/cli/main.py",
                "        set_default_language(system.find_system_language())\n",
                "        system.find_system_language()\n",
            ),
        ),
        tests=("tests/windows/test_fake_windows.py::test_the_language_is_that_of_windows",),
    ),
    TestedRoot(
        name="pages-never-open-on-windows",
        kind="W8",
        summary="no page opens on Windows, where nothing says that there is a display",
        edits=(
            Edit(
                f"{_PLATFORM}/windows/browser.py",
                'return "SSH_CONNECTION" not in os.environ',
                'return "DISPLAY" in os.environ',
            ),
        ),
        tests=("tests/windows/test_fake_windows.py::test_pages_open_in_the_users_browser",),
    ),
    TestedRoot(
        name="data-folder-named-twice",
        kind="W8",
        summary="the data folder is gpurent in gpurent",
        edits=(
            Edit(
                "core/gpurent/composition/system.py",
                'user_data_path("gpurent", appauthor=False)',
                'user_data_path("gpurent")',
            ),
        ),
        tests=(f"{_OTHER}::test_the_data_folder_on_windows_is_named_once",),
    ),
    TestedRoot(
        name="tcp-info-unasked",
        kind="M1",
        summary="turbo asks macOS for what only Linux tells of a connection",
        edits=(
            Edit(
                _TUNING,
                'CAN_TUNE = hasattr(socket, "TCP_INFO") and hasattr(socket, "TCP_QUICKACK")',
                "CAN_TUNE = True",
            ),
            Edit(_TUNING, 'getattr(socket, "TCP_INFO", 0)', "socket.TCP_INFO"),
        ),
        tests=(f"{_OTHER}::test_a_transfer_on_macos_asks_for_nothing_that_linux_alone_has",),
    ),
    TestedRoot(
        name="vault-stays-in-the-disk-s-cache",
        kind="M2",
        summary="on macOS, a private file is written no further than the disk's own cache",
        edits=(Edit(f"{_PLATFORM}/posix/system.py", 'getattr(fcntl, "F_FULLFSYNC", None)', "None"),),
        tests=(f"{_OTHER}::test_private_files_reach_the_disk_on_macos",),
    ),
    TestedRoot(
        name="ledger-stays-in-the-disk-s-cache",
        kind="M2",
        summary="on macOS, the ledger is written no further than the disk's own cache",
        edits=(Edit("core/gpurent/infra/sqlite/database.py", "PRAGMA fullfsync=ON", "PRAGMA fullfsync=OFF"),),
        tests=(f"{_OTHER}::test_the_ledger_reaches_the_disk_on_macos",),
    ),
)
