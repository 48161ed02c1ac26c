"""Faults of launchers and rate sources."""

from __future__ import annotations

from tests.testing.seeded.fault import seed

LAUNCHER_AND_RATE_FAULTS = (
    seed(
        "launcher",
        "unquoted",
        "arguments are joined with spaces",
        "plain",
        "test_every_argument_arrives_unchanged",
        ("plain_launcher.py", "return shlex.join(command)", 'return " ".join(command)'),
    ),
    seed(
        "launcher",
        "own-python",
        "another Python than the machine's is used",
        "plain",
        "test_the_machine_s_own_python_runs_it",
        (
            "plain_launcher.py",
            '(profile.python, "-u", *command)',
            '("/usr/bin/env", "python3", "-u", *command)',
        ),
    ),
    seed(
        "launcher",
        "streams-merged",
        "what goes to stderr is in stdout",
        "plain",
        "test_output_and_folder_are_the_command_s",
        ("plain_launcher.py", "return shlex.join(command)", 'return shlex.join(command) + " 2>&1"'),
    ),
    seed(
        "launcher",
        "other-folder",
        "the command runs in the home folder",
        "plain",
        "test_output_and_folder_are_the_command_s",
        (
            "plain_launcher.py",
            "return shlex.join(command)",
            'return "d=$PWD; cd; cd \\"$d/..\\"; " + shlex.join(command)',
        ),
    ),
    seed(
        "launcher",
        "words-split",
        "arguments are split again in the shell",
        "torch",
        "test_every_argument_arrives_unchanged",
        (
            "launcher.py",
            'could not count the GPUs: starting one process"; exec "$python" "$@" ;;',
            'could not count the GPUs: starting one process"; exec "$python" $@ ;;',
        ),
    ),
    seed(
        "launcher",
        "exit-code-lost",
        "the exit code is that of the launcher",
        "torch",
        "test_the_exit_code_is_the_command_s",
        (
            "launcher.py",
            'could not count the GPUs: starting one process"; exec "$python" "$@" ;;',
            'could not count the GPUs: starting one process"; "$python" "$@"; exit 0 ;;',
        ),
    ),
    seed(
        "launcher",
        "crash-on-the-unsupported",
        "a command that it cannot start ends in a traceback",
        "torch",
        "test_what_it_cannot_start_is_said_beforehand",
        ("launcher.py", "    return UsageError(\n", "    raise ValueError(\n"),
    ),
    seed(
        "rates",
        "swapped",
        "the rate is the other way round",
        "ecb",
        "test_the_values_are_those_of_the_source",
        ("wire.py", "Fraction(self.cny) / Fraction(self.usd)", "Fraction(self.usd) / Fraction(self.cny)"),
    ),
    seed(
        "rates",
        "in-the-future",
        "a rate is dated at the end of its day",
        "ecb",
        "test_rates_are_positive_dated_and_young_enough",
        ("wire.py", "_TIME_OF_DAY = time(14, tzinfo=UTC)", "_TIME_OF_DAY = time(23, 59, tzinfo=UTC)"),
    ),
    seed(
        "rates",
        "asks-twice",
        "the source is asked twice",
        "ecb",
        "test_the_source_is_asked_once_at_most",
        (
            "source.py",
            '        answer = await self._context.http.request("GET", wire.PATH)\n',
            '        await self._context.http.request("GET", wire.PATH)\n'
            '        answer = await self._context.http.request("GET", wire.PATH)\n',
        ),
    ),
    seed(
        "rates",
        "kept-for-ever",
        "the first rate is kept for ever",
        "ecb",
        "test_rates_are_positive_dated_and_young_enough",
        (
            "source.py",
            "return asked_at <= now < (due if asked_at < due else due + _DAY)",
            "return asked_at <= now",
        ),
    ),
    seed(
        "rates",
        "kept-with-a-new-date",
        "a kept rate is dated today",
        "ecb",
        "test_what_is_kept_keeps_its_time",
        (
            "source.py",
            'wire.make_reference_rates(record["day"], record',
            "wire.make_reference_rates(now.date().isoformat(), record",
        ),
    ),
    seed(
        "rates",
        "pause-is-an-error",
        "a 429 is an answer of an unknown format",
        "ecb",
        "test_a_bad_answer_is_no_rate",
        ("source.py", '        answer.raise_if_unavailable(_("the European Central Bank"))\n', ""),
    ),
    seed(
        "rates",
        "crash-on-damage",
        "a damaged record ends in a traceback",
        "ecb",
        "test_a_damaged_record_is_asked_for_again",
        ("source.py", "except (ValueError, KeyError, TypeError):", "except KeyError:"),
    ),
)
