"""Mutate the pure modules of money, orders, evidence and parsers, and count the mutants that their tests notice.

``python scripts/mutation_score.py [MODULE...]`` (a module as in the table, ``domain/money``; default: all) prints the
table of docs/mutation.md and the surviving mutants; with ``--write`` it puts the table of all modules into that page,
where each survivor stands with a reason. Each module is mutated alone and judged by its own fast tests alone, in a copy
under build/mutation.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "mutation"
DOCS_PAGE = ROOT / "docs" / "mutation.md"
TABLE_BEGIN, TABLE_END = "<!-- table: scripts/mutation_score.py --write -->\n", "<!-- end of table -->\n"
MIN_SCORE = 85

# Each module with the tests that state what it must do: fast ones, without a sandbox.
TESTS: Mapping[str, Sequence[str]] = {
    "domain/money": ("domain/test_money.py", "domain/test_rate.py", "domain/test_conversion.py"),
    "domain/money_text": ("domain/test_money_text.py", "domain/test_foreign_numbers.py"),
    "domain/foreign_numbers": ("domain/test_foreign_numbers.py",),
    "domain/ledger": ("ledger/test_ledger.py", "domain/test_ledger_lines.py"),
    "domain/ledger_chain": ("ledger/test_ledger_chain.py::test_the_canonical_form_is_as_documented",),
    "domain/receipt": ("domain/test_receipt.py",),
    "domain/offer": ("domain/test_terms.py",),
    "domain/spending": ("domain/test_spending.py",),
    "domain/evidence": ("domain/test_evidence.py",),
    "domain/lease_evidence": ("domain/test_lease_evidence.py", "domain/test_order_evidence.py"),
    "domain/lease": ("domain/test_lease.py",),
    "domain/trip_end": ("domain/test_trip_end.py",),
    "domain/time_left": ("domain/test_time_left.py", "domain/test_time_left_figures.py"),
    "domain/access": ("domain/test_endpoint.py",),
    "domain/result_paths": ("domain/test_result_paths.py",),
    "domain/name_policy": ("domain/test_name_policy.py",),
    "domain/outcomes": ("domain/test_outcomes.py",),
    "remote/file_reader": ("remote/test_file_reader.py",),
    "remote/jobs": ("remote/test_job_answers.py",),
    "remote/machine_facts": ("remote/test_machine_facts.py",),
    "remote/nvidia_smi": ("remote/test_nvidia_smi.py",),
    "remote/results_probe": ("remote/test_results_probe.py",),
    "remote/samples": ("remote/test_samples.py",),
    "remote/shell": ("remote/test_shell.py",),
    "dbc/wire": ("test_dbc_wire.py",),
    "dbcchain/wire": ("test_chain_wire.py",),
    "gpu1024/wire": ("test_gpu1024_replies.py", "test_gpu1024_lists.py"),
    "mistgpu/markup": ("test_mistgpu_markup.py", "test_mistgpu_hostile.py"),
    "mistgpu/wire": ("test_mistgpu_wire.py", "test_mistgpu_pages.py", "test_mistgpu_bills.py"),
}
# Lines whose expressions are not mutated: the texts of messages, which no test should repeat word for word.
TEXT_PATTERNS = (r"\b(?:N?_|ngettext)\(f?[\"']", r"\b_\($", r"raise (?:TypeError|ValueError)\(f?[\"']")
# Without the tests that try thousands of texts: they take minutes, and others state the same.
PYTEST_OPTIONS = (
    "--import-mode=importlib",
    "--hypothesis-profile=mutation",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
)
CONFTEST = """from hypothesis import Phase, settings

settings.register_profile(
    "mutation",
    deadline=None,
    derandomize=True,
    max_examples=30,
    phases=(Phase.explicit, Phase.generate),  # only whether a test fails matters here, not the smallest example
)
"""
SELECTION = (
    "-m",
    "not nightly and not vendor and not wine",
    "-k",
    "not ten_thousand and not fifteen_thousand and not megabyte",
)
SURVIVED = (0, 5, 33, None)  # mutmut's codes: the tests passed, there were none (twice), not tried


@dataclass(frozen=True)
class MutationScore:
    """The mutants of one module by what became of them; ``survivors`` are differences of one function each."""

    module: str
    killed: int
    survivors: tuple[str, ...]

    @property
    def mutants(self) -> int:
        return self.killed + len(self.survivors)

    @property
    def percent(self) -> float:
        return 100 * self.killed / self.mutants if self.mutants else 100.0


def find_paths(module: str) -> tuple[str, list[str]]:
    """Return the path of the module below ``src``, and those of its tests."""
    package, name = module.split("/")
    if package in ("domain", "remote"):
        return f"gpurent/{package}/{name}.py", [f"tests/{test}" for test in TESTS[module]]
    return f"gpurent_plugin_{package}/{name}.py", [
        f"plugins/{package}/tests/{test}" for test in TESTS[module]
    ]


def write_copy(module: str, folder: Path) -> str:
    """Copy what mutmut needs to ``folder``, in the layout that it knows; return the path of the module in it."""
    shutil.rmtree(folder, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis")
    sources = [ROOT / "core" / "gpurent", *ROOT.glob("plugins/*/src/gpurent_plugin_*")]
    for source in sources:
        shutil.copytree(source, folder / "src" / source.name, ignore=ignore)
    for name in ("docs", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for tests in ROOT.glob("plugins/*/tests"):
        shutil.copytree(tests, folder / "plugins" / tests.parent.name / "tests", ignore=ignore)
    path, tests_of_module = find_paths(module)
    lists = {
        "source_paths": ["src"],
        "only_mutate": [f"src/{path}"],
        "also_copy": ["conftest.py", "docs", "plugins"],
        "pytest_add_cli_args_test_selection": [*SELECTION, *tests_of_module],
        "pytest_add_cli_args": list(PYTEST_OPTIONS),
        "do_not_mutate_patterns": list(TEXT_PATTERNS),
    }
    settings = "".join(f"{key} = {json.dumps(values)}\n" for key, values in lists.items())
    pytest_settings = (
        'pythonpath = ["."]\nasyncio_mode = "auto"\nasyncio_default_fixture_loop_scope = "function"\n'
    )
    text = f"[tool.mutmut]\n{settings}\n[tool.pytest.ini_options]\n{pytest_settings}"
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    return f"src/{path}"


def run_mutmut(folder: Path, jobs: int) -> None:
    """Run mutmut in ``folder``. Raises `SystemExit` with what it printed if it fails."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(jobs)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    pipe = subprocess.PIPE
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{folder.name}: mutmut failed:\n{done.stdout[-4000:]}")


def read_difference(lines: Sequence[str], spans: Mapping[str, tuple[int, int]], name: str) -> str:
    """Return the function of the mutant ``name`` and the lines in which it differs from the original."""
    function = name.partition("__mutmut_")[0]
    shown = function[2:].replace("ǁ", ".")
    original, mutant = (
        [line.replace(key, shown) for line in lines[spans[key][0] - 1 : spans[key][1]]]
        for key in (f"{function}__mutmut_orig", name)
    )
    changed = [line for line in list(unified_diff(original, mutant, n=0, lineterm=""))[2:] if line[0] in "+-"]
    return "\n".join([shown, *changed])


def measure_module(module: str, jobs: int) -> MutationScore:
    """Try all mutants of a module. A mutant that makes the tests hang or crash is killed as well."""
    folder = WORK / module.replace("/", "-")
    path = write_copy(module, folder)
    run_mutmut(folder, jobs)
    mutated = folder / "mutants" / path
    found = json.loads(mutated.with_name(f"{mutated.name}.meta").read_text(encoding="utf-8"))[
        "exit_code_by_key"
    ]
    spans = json.loads(mutated.with_name(f"{mutated.name}.spans").read_text(encoding="utf-8"))["spans"]
    lines = mutated.read_text(encoding="utf-8").splitlines()
    survivors = [name.rpartition(".")[2] for name, code in found.items() if code in SURVIVED]
    return MutationScore(
        module=module,
        killed=len(found) - len(survivors),
        survivors=tuple(read_difference(lines, spans, name) for name in survivors),
    )


def format_table(scores: Sequence[MutationScore], commit: str) -> str:
    """Return the table as Markdown, with the sum of all modules in its last row."""
    lines = ["| module | tests | mutants | killed | survived | score |", "|---|---|---:|---:|---:|---:|"]
    for score in scores:
        tests = ", ".join(f"`{Path(test).name}`" for test in TESTS[score.module])
        counts = f"{score.mutants} | {score.killed} | {len(score.survivors)} | {score.percent:.1f} %"
        lines.append(f"| `{score.module}.py` | {tests} | {counts} |")
    total = sum_scores(scores)
    lines.append(
        f"| **all** | | {total.mutants} | {total.killed} | {len(total.survivors)} | {total.percent:.1f} % |"
    )
    return "\n".join([*lines, "", f"Measured at commit {commit} with `make test-mutation`.", ""])


def sum_scores(scores: Iterable[MutationScore]) -> MutationScore:
    every = list(scores)
    return MutationScore(
        module="all",
        killed=sum(score.killed for score in every),
        survivors=tuple(survivor for score in every for survivor in score.survivors),
    )


def find_commit() -> str:
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def find_unexplained(survivors: Iterable[str]) -> list[str]:
    """Return the survivors whose changed line has no reason in docs/mutation.md."""
    listed = set(DOCS_PAGE.read_text(encoding="utf-8").splitlines())
    return [survivor for survivor in survivors if read_new_text(survivor) not in listed]


def read_new_text(survivor: str) -> str:
    """Return the lines that a mutant has instead of the original's, as one; those that it lacks if it has none."""
    lines = survivor.splitlines()[1:]
    added = [line for line in lines if line.startswith("+")] or lines
    return " ".join(line[1:].strip() for line in added)


def write_table(table: str) -> None:
    before, _, rest = DOCS_PAGE.read_text(encoding="utf-8").partition(TABLE_BEGIN)
    after = rest.partition(TABLE_END)[2]
    DOCS_PAGE.write_text(f"{before}{TABLE_BEGIN}{table}{TABLE_END}{after}", encoding="utf-8")


def main() -> int:
    """Return 1 if the score of the modules together is below `MIN_SCORE`, or if a survivor has no reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants to try at a time")
    parser.add_argument(
        "--write", action="store_true", help="put the table of all modules into docs/mutation.md"
    )
    given = parser.parse_args()
    unknown = sorted(set(given.modules) - TESTS.keys())
    if unknown or (given.write and given.modules):
        parser.error(f"no such module: {', '.join(unknown)}" if unknown else "--write is for all modules")
    scores = []
    for module in given.modules or TESTS:
        score = measure_module(module, given.jobs)
        print(f"{module}: {score.killed} of {score.mutants} killed, {score.percent:.1f} %", flush=True)
        print("".join(f"\n{survivor}\n" for survivor in score.survivors), flush=True)
        scores.append(score)
    table = format_table(scores, find_commit())
    print(table)
    if given.write:
        write_table(table)
    total = sum_scores(scores)
    unexplained = find_unexplained(total.survivors)
    print(
        "".join(f"without a reason in {DOCS_PAGE.name}:\n{survivor}\n\n" for survivor in unexplained), end=""
    )
    return 1 if unexplained or total.percent < MIN_SCORE else 0


if __name__ == "__main__":
    sys.exit(main())
