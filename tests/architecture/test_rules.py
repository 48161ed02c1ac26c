"""House rules that a machine can check."""

from __future__ import annotations

import abc
import ast
import inspect
import keyword
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path
from typing import NamedTuple

from gpurent import api

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "gpurent"
PRODUCT = [*CORE.rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")]
MAX_LINES = 360
LINTER = "scripts/lint_imports.py"


class Violation(NamedTuple):
    """An import that breaks a contract, the file that it is added to, and the linter's report."""

    contract: str
    path: str
    line: str
    reported: str


# Only in the copy: the contracts must also hold for a plugin that was just added.
NEW_PLUGIN = "plugins/planted/src/gpurent_plugin_planted"
VIOLATIONS = (
    Violation(
        "core-layers",
        "core/gpurent/domain/money.py",
        "import gpurent.workflow.runtime.leases",
        "gpurent.domain.money -> gpurent.workflow.runtime.leases",
    ),
    Violation(
        "workflow-layers",
        "core/gpurent/workflow/payments/quotes.py",
        "import gpurent.workflow.trips.execute",
        "gpurent.workflow.payments.quotes -> gpurent.workflow.trips.execute",
    ),
    Violation(
        "workflow-layers",
        "core/gpurent/workflow/timing/time_left.py",
        "import gpurent.workflow.reports.costs",
        "gpurent.workflow.timing.time_left -> gpurent.workflow.reports.costs",
    ),
    Violation(
        "no-circles",
        "core/gpurent/infra/platform/posix/system.py",
        "import gpurent.infra.ssh.lease_files",
        ".platform -> .ssh (1 import)",
    ),
    Violation(
        "infra-at-composition",
        "core/gpurent/workflow/steps/make_plan.py",
        "import gpurent.infra.http",
        "gpurent.workflow.steps.make_plan -> gpurent.infra.http",
    ),
    Violation(
        "plugins-use-api",
        f"{NEW_PLUGIN}/plugin.py",
        "import gpurent.domain.money",
        "gpurent_plugin_planted.plugin -> gpurent.domain.money",
    ),
    Violation(
        "plugins-apart",
        f"{NEW_PLUGIN}/plugin.py",
        "import gpurent_plugin_tmux.backend",
        "gpurent_plugin_planted.plugin -> gpurent_plugin_tmux.backend",
    ),
    Violation(
        "plugins-apart",
        "plugins/screen/src/gpurent_plugin_screen/backend.py",
        "import gpurent_plugin_planted",
        "gpurent_plugin_screen.backend -> gpurent_plugin_planted",
    ),
    Violation(
        "no-circles",
        "plugins/turbo/src/gpurent_plugin_turbo/near/connection/stream_pool.py",
        "import gpurent_plugin_turbo.near.push.pusher",
        "gpurent_plugin_turbo.near",
    ),
    Violation(
        "turbo-layers",
        "plugins/turbo/src/gpurent_plugin_turbo/near/prune.py",
        "import gpurent_plugin_turbo.far.prune",
        "gpurent_plugin_turbo.near.prune -> gpurent_plugin_turbo.far.prune",
    ),
    Violation(
        "core-without-plugins",
        "core/gpurent/workflow/runtime/leases.py",
        "import gpurent_plugin_planted",
        "gpurent.workflow.runtime.leases -> gpurent_plugin_planted",
    ),
    Violation(
        "steps-apart",
        "core/gpurent/workflow/steps/make_plan.py",
        "import gpurent.workflow.steps.check_funds",
        "gpurent.workflow.steps.make_plan -> gpurent.workflow.steps.check_funds",
    ),
    Violation(
        "pluggy-in-two-places",
        "core/gpurent/workflow/steps/make_plan.py",
        "import pluggy",
        "gpurent.workflow.steps.make_plan -> pluggy",
    ),
    Violation(
        "pluggy-in-two-places",
        f"{NEW_PLUGIN}/plugin.py",
        "import pluggy",
        "gpurent_plugin_planted.plugin -> pluggy",
    ),
    Violation(
        "systems-in-one-room",
        "core/gpurent/workflow/steps/make_plan.py",
        "import termios",
        "gpurent.workflow.steps.make_plan -> termios",
    ),
    Violation(
        "product-without-testing",
        "core/gpurent/workflow/steps/make_plan.py",
        "import gpurent.testing.sandbox",
        "gpurent.workflow.steps.make_plan -> gpurent.testing.sandbox",
    ),
)


def test_each_import_contract_fails_on_its_violation(tmp_path: Path) -> None:
    copy_product(tmp_path)
    for violation in VIOLATIONS:
        add_import(tmp_path, violation)
    done = subprocess.run(
        [sys.executable, LINTER, "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "500"},  # wide enough that no line wraps
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    names = {contract["id"]: contract["name"] for contract in settings["contracts"]}
    assert {item.contract for item in VIOLATIONS} == set(names), "every contract needs a planted violation"
    broken = split_sections(done.stdout.partition("Broken contracts")[2])
    missed = [item for item in VIOLATIONS if item.reported not in broken.get(names[item.contract], "")]
    assert missed == [], done.stdout


def copy_product(target: Path) -> None:
    """Copy what the import linter reads."""
    for folder in ("core", "plugins"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    (target / LINTER).parent.mkdir()
    for name in (LINTER, "pyproject.toml"):
        shutil.copy(ROOT / name, target / name)


def add_import(root: Path, violation: Violation) -> None:
    """Add the import to its file, which must exist unless it belongs to the new plugin."""
    path = root / violation.path
    if violation.path.startswith(NEW_PLUGIN):
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
    else:
        assert path.exists(), path
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{violation.line}\n")


def split_sections(report: str) -> dict[str, str]:
    """Return the text below each underlined heading of a report."""
    _before, *parts = re.split(r"^(.+)\n-+\n", report, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


# Core itself uses these protocols and file formats.
SHARED_NAMES = {"openssh", "ssh", "torch"}
PLUGINS = {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")} - SHARED_NAMES
FOREIGN_NAMES = re.compile(
    rf"mistgpu|1024gpu|gpu1024|alipay|deepbrain|\b({'|'.join(sorted(PLUGINS))})\b", re.IGNORECASE
)
# The demo names these providers; the mail address may come from the mailbox's own setting.
EXEMPT_PATHS = ("cli/commands/sandbox/", "testing/", "locale/")
ALLOWED_EXAMPLES = re.compile(r"200000DBC|screen, tmux, …|MISTGPU, paid|1024GPU, prepaid|desktop\.ini")


def test_core_names_no_provider_wallet_or_tool() -> None:
    found = []
    for path in CORE.rglob("*.py"):
        inside = path.relative_to(CORE).as_posix()
        if inside.startswith(EXEMPT_PATHS):
            continue
        if not FOREIGN_NAMES.search(path.read_text("utf-8")):
            continue
        docs = docstring_lines(path)
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.COMMENT or token.start[0] in docs:
                    continue
                if keyword.iskeyword(token.string):  # a plugin may be called lambda
                    continue
                text = ALLOWED_EXAMPLES.sub("", token.string)
                if inside.startswith(("cli/top/", "cli/commands/top.py")):
                    text = text.replace("screen", "")  # a terminal's screen
                if FOREIGN_NAMES.search(text):
                    found.append(f"{inside}:{token.start[0]}: {token.string[:80]}")
    assert [line for line in found if '"imap"' not in line] == []


def docstring_lines(path: Path) -> set[int]:
    """Return the line numbers of all docstrings."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            lines |= set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
    return lines


def test_roles_stay_small() -> None:
    for name in api.__all__:
        role = getattr(api, name)
        if inspect.isclass(role) and issubclass(role, abc.ABC):
            limit = 7 if name in ("SessionBackend", "ProviderSimulator") else 6
            assert len(role.__abstractmethods__) <= limit, name


def test_modules_stay_short() -> None:
    assert [
        str(path)
        for path in PRODUCT
        if len(path.read_text("utf-8").splitlines()) > MAX_LINES and path.name != "api.py"
    ] == []


def test_no_code_switches_safety_off() -> None:
    banned = re.compile(
        r"known_hosts\s*=\s*None|shell\s*=\s*True|except(\s+Exception)?:\s*pass|verify\s*=\s*False"
    )
    assert [str(path) for path in PRODUCT if banned.search(path.read_text("utf-8"))] == []


def test_debian_s_python_has_all_that_is_used() -> None:
    """Debian 12 has 3.11.2: filters of tarfile came with 3.11.4, and type checkers know no patch version."""
    late = re.compile(r"(extractall|extract|unpack_archive)\([^)]*\bfilter=|tarfile\.\w+_filter\b")
    used = [
        path
        for folder in ("core", "plugins", "scripts", "tests", "examples", "bench")
        for path in (ROOT / folder).rglob("*.py")
    ]
    assert [str(path) for path in used if late.search(path.read_text("utf-8"))] == []


def test_leases_are_handled_by_their_own_provider() -> None:
    """`Plugins.provider_of` and `Plugins.billing_of` must be used: a provider's API cannot manage a manual rental."""
    past = re.compile(r"\.(provider|billing)\(\s*(lease|found|before|after|kept)\.provider\s*\)")
    wrong = [
        f"{path.name}: {match[0]}"
        for path in (CORE / "workflow").rglob("*.py")
        for match in past.finditer(path.read_text("utf-8"))
        if path.name != "plugins.py"
    ]
    assert wrong == []


def test_payments_are_made_in_one_place() -> None:
    callers = [
        path.name
        for path in (CORE / "workflow").rglob("*.py")
        if re.search(r"(?<!self\.payments)\.pay_bill\(", path.read_text("utf-8"))
    ]
    assert callers == ["pay.py"]
    for call, caller in (
        (r"\.confirm_lease\(lease", "leases.py"),
        (r"\.request_confirmation\(", "provider_orders.py"),
    ):
        confirmers = [
            path.name
            for path in (CORE / "workflow").rglob("*.py")
            if re.search(call, path.read_text("utf-8"))
        ]
        assert confirmers == [caller]


def test_no_registry_host_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    hosts = re.compile(r"index-url|https?://[^\s\"']+/(simple|packages)/|pypi\.|pythonhosted")
    this_file = Path(__file__).relative_to(ROOT).as_posix()
    wrong = [
        name
        for name in listed
        if name.endswith((".txt", ".toml", ".lock", ".json", ".cfg", ".md", ".py", ".sh", "Makefile"))
        and name != this_file
        and (ROOT / name).exists()  # it may be deleted but not committed
        and hosts.search((ROOT / name).read_text("utf-8", "replace"))
    ]
    assert wrong == []
