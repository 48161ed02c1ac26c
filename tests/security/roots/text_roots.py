"""The roots in what is shown of others' text: S5."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_TEXT = "core/gpurent/terminal_text.py"
_OUTPUT = "core/gpurent/cli/output.py"
_TESTS = "tests/security/test_foreign_text.py"

TEXT_ROOTS = (
    TestedRoot(
        name="text-enters-as-it-is",
        kind="S5",
        summary="the type of others' text cleans nothing",
        edits=(
            Edit(
                _TEXT,
                "return super().__new__(cls, strip_to_line(text[: 2 * MAX_LINE_LENGTH])[:MAX_LINE_LENGTH])",
                "return super().__new__(cls, text)",
            ),
            Edit(
                _TEXT,
                "super().__new__(cls, strip_terminal(text[:MAX_TEXT_LENGTH]))",
                "super().__new__(cls, text)",
            ),
        ),
        tests=(
            f"{_TESTS}::test_what_a_provider_lists",
            f"{_TESTS}::test_what_a_mail_says",
            f"{_TESTS}::test_notifications",
            f"{_TESTS}::test_long_text_is_cut",
        ),
    ),
    TestedRoot(
        name="rows-are-printed-as-they-are",
        kind="S5",
        summary="the one door to the terminal does not strip what it prints",
        edits=(
            Edit(
                _OUTPUT,
                'click.echo(_paint(" " * indent + strip_to_line(text), colour, bold=bold), err=err)',
                'click.echo(_paint(" " * indent + text, colour, bold=bold), err=err)',
            ),
            Edit(
                _OUTPUT,
                "click.echo(_paint(strip_terminal(text), colour, bold=bold), err=err, nl=nl)",
                "click.echo(_paint(text, colour, bold=bold), err=err, nl=nl)",
            ),
        ),
        tests=(f"{_TESTS}::test_what_is_printed_while_a_trip_runs",),
    ),
    TestedRoot(
        name="nothing-is-stripped",
        kind="S5",
        summary="no escape is removed anywhere",
        edits=(
            Edit(
                _TEXT,
                'return _controls().sub("", _escapes().sub("", text.replace("\\r\\n", "\\n")))',
                "return text",
            ),
            Edit(
                _TEXT,
                'return _controls().sub("", _separators().sub(" ", _escapes().sub("", text)))',
                "return text",
            ),
        ),
        tests=(
            f"{_TESTS}::test_what_an_ssh_server_says_before_the_login",
            f"{_TESTS}::test_how_a_provider_refuses",
            "tests/security/test_canary_journey.py::test_a_journey",
        ),
    ),
    TestedRoot(
        name="job-output-as-it-comes",
        kind="S5",
        summary="what a job prints reaches the terminal as it came",
        edits=(
            Edit(
                "core/gpurent/cli/stream_stripper.py",
                "return [strip_terminal(text)]",
                "return [text]",
            ),
            Edit(
                "core/gpurent/cli/output.py",
                "_REPLACE_LINE.join(map(strip_terminal, parts))",
                "_REPLACE_LINE.join(parts)",
            ),
        ),
        tests=(f"{_TESTS}::test_what_a_job_prints",),
    ),
    TestedRoot(
        name="json-with-raw-characters",
        kind="S5",
        summary="--json prints what a terminal obeys",
        edits=(
            Edit(
                "core/gpurent/cli/json_output.py",
                'return text if text.isprintable() else "".join(map(_escape_character, text))',
                "return text",
            ),
        ),
        tests=(f"{_TESTS}::test_a_json_document_keeps_each_character_of_a_text",),
    ),
    TestedRoot(
        name="markup-in-the-page-of-costs",
        kind="S5",
        summary="names are markup in the HTML page of costs",
        edits=(
            Edit(
                "core/gpurent/cli/views/cost_page.py",
                'return escape(_CONTROL_CHARACTERS.sub("\\ufffd", value))',
                "return escape('') + value",
            ),
        ),
        tests=(f"{_TESTS}::test_the_page_of_costs",),
    ),
)
