"""The roots of what failed at a machine's shell, its sessions and its logins: B1 to B4, B7 and B8."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_DOOR = "core/gpurent/roles/shell_door.py"
_CONNECTION = "core/gpurent/infra/ssh/connection.py"
_TEST_DOOR = "tests/remote/test_door.py"
_SHELLS = "tests/infra/test_login_shells.py"
_ODD = "tests/infra/test_odd_machines.py"
_FALLBACK = "tests/workflow/test_transfer_fallback.py"
_WHOLE = f"{_SHELLS}::test_a_machine_is_used_whole[fish]"

SHELL_ROOTS = (
    TestedRoot(
        name="noise-is-read-as-frames",
        kind="B1",
        summary="what a start file prints is read as the first frames of a transfer",
        edits=(
            Edit(
                "plugins/turbo/src/gpurent_plugin_turbo/near/connection/command_connection.py",
                "before, mark, rest = (self.noise + data).partition(self._mark)\n        self.noise,",
                'before, mark, rest = b"", self._mark, data\n        self.noise,',
            ),
        ),
        tests=(f"{_SHELLS}::test_noise_is_no_reason_for_the_slower_way",),
    ),
    TestedRoot(
        name="broken-backend-has-no-successor",
        kind="B1",
        summary="a transfer backend that fails by itself before its first byte ends the transfer",
        edits=(
            Edit(
                "core/gpurent/workflow/connection/transfers.py",
                "if watch.is_begun or isinstance(error, TransferError | HostKeyChanged):",
                "if True:",
            ),
        ),
        tests=(f"{_FALLBACK}::test_the_next_backend_is_used_if_nothing_was_transferred",),
    ),
    TestedRoot(
        name="broken-python-is-tried-again",
        kind="B1",
        summary="a Python on the machine that ends before its first frame is no reason to do without it",
        edits=(
            Edit(
                "plugins/turbo/src/gpurent_plugin_turbo/near/connection/command_connection.py",
                "if self.frames.bytes_read or status not in NOT_STARTED:",
                "if status:",
            ),
        ),
        tests=(f"{_ODD}::test_a_python_that_does_not_work_is_none",),
    ),
    TestedRoot(
        name="scripts-have-lines",
        kind="B2",
        summary="a script goes to the login shell with its line breaks and history signs",
        edits=(
            Edit(_DOOR, '_UNSAFE = re.compile(rb"[^ -~]|[\'\\\\!]")', '_UNSAFE = re.compile(rb"[\'\\\\]")'),
        ),
        tests=(
            f"{_TEST_DOOR}::test_a_script_passes_every_shell_as_it_is[csh]",
            f"{_TEST_DOOR}::test_no_line_has_what_a_login_shell_would_read",
        ),
    ),
    TestedRoot(
        name="words-are-too-long-for-csh",
        kind="B2",
        summary="a script is one word, which csh refuses",
        edits=(Edit(_DOOR, "_MAX_WORD = 900", "_MAX_WORD = 90_000"),),
        tests=(f"{_TEST_DOOR}::test_what_a_script_reads_travels_in_the_line[csh]",),
    ),
    TestedRoot(
        name="words-end-in-a-backslash",
        kind="B2",
        summary="a word ends in a backslash, which takes the quote behind it away in fish",
        edits=(Edit(_DOOR, 'while encoded[at:end].endswith("\\\\"):', "while False:"),),
        tests=(f"{_TEST_DOOR}::test_no_word_ends_within_an_encoded_byte",),
    ),
    TestedRoot(
        name="tmux-runs-the-login-shell",
        kind="B2",
        summary="tmux runs a job by the login shell, whose start files may wait for a key",
        edits=(
            Edit(
                "plugins/tmux/src/gpurent_plugin_tmux/backend.py",
                "sh {shlex.quote(script)}'",
                '{shlex.quote(f"sh {script}")}\'',
            ),
        ),
        tests=(_WHOLE,),
    ),
    TestedRoot(
        name="start-files-choose-the-folder",
        kind="B3",
        summary="a script begins in the folder that a start file has changed to",
        edits=(Edit(_DOOR, "f'cd \"$HOME\" || exit {NO_HOME_STATUS}; '", '": ; "'),),
        tests=(f"{_TEST_DOOR}::test_a_stream_begins_where_the_start_files_ended[zsh]",),
    ),
    TestedRoot(
        name="sftp-begins-elsewhere",
        kind="B3",
        summary="SFTP by a server that a shell runs begins in the folder of its start files",
        edits=(
            Edit("plugins/sftp/src/gpurent_plugin_sftp/sftp_client.py", "await sftp.chdir(home)", "pass"),
        ),
        tests=(f"{_ODD}::test_sftp_by_a_server_that_a_shell_runs[cd]",),
    ),
    TestedRoot(
        name="one-session-is-a-lost-connection",
        kind="B4",
        summary="a session that the machine refuses is taken for a lost connection, and tried again without end",
        edits=(
            Edit(
                "core/gpurent/infra/ssh/sessions.py",
                "if self.transport.is_closed():\n            raise refusal",
                "if True:\n            raise refusal",
            ),
        ),
        tests=(
            f"{_ODD}::test_a_machine_that_allows_one_session_is_used_with_further_logins",
            f"{_ODD}::test_a_machine_that_opens_no_session_says_so",
        ),
    ),
    TestedRoot(
        name="exit-code-needs-a-free-disk",
        kind="B7",
        summary="the exit code of a job is lost on a disk that is full by then",
        edits=(Edit("core/gpurent/remote/jobs.py", "printf '%64s\\n' '' > exit.new\n", ""),),
        tests=(f"{_ODD}::test_the_exit_code_is_kept_when_the_disk_is_full",),
    ),
    TestedRoot(
        name="lost-jobs-end-well",
        kind="B7",
        summary="logs returns 0 for a job that was lost, and for one that never was",
        edits=(
            Edit(
                "core/gpurent/cli/commands/machine.py",
                "if state is JobState.ABSENT or (asks_status and state is JobState.LOST):",
                "if False:",
            ),
        ),
        tests=("tests/workflow/test_logs_command.py::test_what_logs_shows_and_returns",),
    ),
    TestedRoot(
        name="login-shell-is-not-heard",
        kind="B8",
        summary="what a login shell says that runs nothing is not shown",
        edits=(Edit(_CONNECTION, "if not run.out.is_begun:", "if False:"),),
        tests=(
            f"{_SHELLS}::test_the_words_of_a_login_shell_that_runs_nothing_are_shown",
            f"{_ODD}::test_a_login_shell_for_nobody_says_so_itself",
            f"{_ODD}::test_a_password_that_has_expired_is_said",
        ),
    ),
    TestedRoot(
        name="keys-go-where-nobody-reads",
        kind="B8",
        summary="the lease's key is written to the usual file, although the SSH server reads another",
        edits=(
            Edit(
                "core/gpurent/remote/authorized_keys.py",
                '"${set_to:-.ssh/authorized_keys}"',
                '".ssh/authorized_keys"',
            ),
        ),
        tests=(f"{_ODD}::test_a_key_goes_where_the_ssh_server_reads_it",),
    ),
    TestedRoot(
        name="start-files-choose-the-home",
        kind="B8",
        summary="the home of a machine is what a start file says",
        edits=(
            Edit(
                _DOOR,
                '"else GPURENT_LOGIN_HOME=$HOME; HOME=$gh; export GPURENT_LOGIN_HOME HOME; fi; "',
                '"fi; "',
            ),
        ),
        tests=(f"{_TEST_DOOR}::test_the_home_is_that_of_the_user_database[by name]",),
    ),
    TestedRoot(
        name="start-files-read-what-is-sent",
        kind="B8",
        summary="what a script reads is sent at once, so that a start file that reads gets it",
        edits=(Edit(_DOOR, '_DECOYS = b"\\n" * 8', '_DECOYS = b""'),),
        tests=(f"{_TEST_DOOR}::test_a_stream_begins_where_the_start_files_ended[zsh]",),
    ),
)
