"""The roots of what failed in the user's terminal, and in the lines that are typed there: B9 to B11 and B14."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_LINE = "core/gpurent/domain/ssh_line.py"
_NAMES = "core/gpurent/domain/ssh_names.py"
_ENDPOINT = "tests/domain/test_endpoint.py"
_STRIPPER = "core/gpurent/cli/stream_stripper.py"
_OUTPUT = "tests/cli/test_job_output.py"
_CONNECTION = "core/gpurent/infra/ssh/connection.py"
_ATTACHED = "core/gpurent/infra/ssh/attached_terminal.py"
_ATTACHED_TESTS = "tests/infra/test_attached_terminal.py"
_INTERACTIVE = "tests/infra/test_interactive.py"

TERMINAL_ROOTS = (
    TestedRoot(
        name="printed-lines-are-refused",
        kind="B9",
        summary="an SSH line with -L or -i, as providers print it, is none",
        edits=(Edit(_LINE, '_WITH_VALUE = frozenset("LRDicme")', '_WITH_VALUE = frozenset("")'),),
        tests=(f"{_ENDPOINT}::test_usual_ssh_lines",),
    ),
    TestedRoot(
        name="any-option-is-left-out",
        kind="B9",
        summary="an option of an SSH line that changes where it leads is left out",
        edits=(Edit(_LINE, 'if letter not in _WITH_VALUE and letter not in "plo":', "if False:"),),
        tests=(f"{_ENDPOINT}::test_everything_else_is_refused",),
    ),
    TestedRoot(
        name="names-begin-with-a-dash",
        kind="B9",
        summary="a user's name in an SSH line may begin with a dash, and so is an option of the next program",
        edits=(Edit(_NAMES, 'USER = r"[A-Za-z0-9_][', 'USER = r"[A-Za-z0-9_-]['),),
        tests=(f"{_ENDPOINT}::test_constructor_is_as_strict_as_the_parser",),
    ),
    TestedRoot(
        name="bars-become-one-line",
        kind="B10",
        summary="carriage returns are taken out of a job's output, so that a progress bar is one endless line",
        edits=(
            Edit(
                _STRIPPER,
                'first, *states = text.split("\\r")',
                'first, *states = [text.replace("\\r", "")]',
            ),
        ),
        tests=(f"{_OUTPUT}::test_of_a_progress_bar_its_end_stays",),
    ),
    TestedRoot(
        name="no-log-is-raw",
        kind="B10",
        summary="a raw log is stripped",
        edits=(Edit("core/gpurent/cli/terminal.py", "if self._is_raw:", "if False:"),),
        tests=(f"{_OUTPUT}::test_a_raw_log_is_shown_byte_for_byte",),
    ),
    TestedRoot(
        name="terminal-is-unknown-there",
        kind="B11",
        summary="a terminal has the type of the user's own, which the machine may not know",
        edits=(Edit(_CONNECTION, "return parse_type(ran.stdout, wanted)", "return wanted"),),
        tests=(f"{_INTERACTIVE}::test_the_type_of_the_terminal_exists_on_the_machine",),
    ),
    TestedRoot(
        name="terminal-keeps-its-size",
        kind="B11",
        summary="the size of a terminal is what variables said when the command began",
        edits=(
            Edit(
                _ATTACHED,
                "size = os.get_terminal_size(sys.stdin.fileno())",
                'size = os.terminal_size((int(os.environ["COLUMNS"]), int(os.environ["LINES"])))',
            ),
        ),
        tests=(f"{_INTERACTIVE}::test_a_terminal_is_resized_while_it_is_used",),
    ),
    TestedRoot(
        name="left-output-is-waited-for",
        kind="B13",
        summary="exec waits for the end of an output that a process left behind holds open",
        edits=(
            Edit(
                _ATTACHED,
                "await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)",
                "await reading",
            ),
        ),
        tests=(f"{_ATTACHED_TESTS}::test_what_the_command_leaves_behind_is_not_waited_for",),
    ),
    TestedRoot(
        name="start-file-speaks-in-the-output",
        kind="B4",
        summary="what a start file prints is part of exec's output",
        edits=(
            Edit(
                _ATTACHED,
                "self.noise.write(before[: len(before) - kept])",
                "output.write(before[: len(before) - kept])",
            ),
        ),
        tests=(f"{_ATTACHED_TESTS}::test_arguments_and_output_arrive_as_they_are",),
    ),
    TestedRoot(
        name="terminal-that-never-began-is-done",
        kind="B8",
        summary="a start file that opens something else, or ends, passes for the command that was done",
        edits=(Edit(_CONNECTION, "if not has_begun:", "if False:"),),
        tests=(f"{_ATTACHED_TESTS}::test_a_shell_that_ends_before_the_command_is_an_error",),
    ),
    TestedRoot(
        name="no-other-session-is-named",
        kind="B14",
        summary="where a session backend cannot start, no other one is named",
        edits=(
            Edit(
                "core/gpurent/workflow/connection/jobs.py",
                'return _("Try another session backend: --session {name}").format(name=self.other_sessions[0])',
                'return ""',
            ),
        ),
        tests=("tests/infra/test_odd_machines.py::test_a_session_backend_that_cannot_start_names_another",),
    ),
    TestedRoot(
        name="library-warns-the-user",
        kind="B14",
        summary="warnings of a library about old algorithms are printed",
        edits=(
            Edit(
                "core/gpurent/infra/ssh/__init__.py",
                'warnings.filterwarnings("ignore",',
                'warnings.filterwarnings("default",',
            ),
        ),
        tests=("tests/infra/test_odd_machines.py::test_old_algorithms_that_are_used_print_no_warning",),
    ),
    TestedRoot(
        name="bars-pass-their-end",
        kind="B14",
        summary="a file that grows makes a bar pass 100 %",
        edits=(
            Edit(
                "core/gpurent/cli/progress.py",
                "return max(self._bytes_total, self._bytes_done, 1)",
                "return max(self._bytes_total, 1)",
            ),
        ),
        tests=("tests/cli/test_progress.py::test_a_file_that_grows_ends_at_a_hundred",),
    ),
)
