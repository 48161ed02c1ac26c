"""What the source of a plugin shows without running it: imports, clocks, annotations, and its version of the API."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from gpurent.infra.registry.required_api import DECLARATION
from gpurent.locale import N_, _

# Modules that are never right in a plugin, and what to use.
FORBIDDEN_MODULES: Mapping[str, str] = {
    "sqlite3": N_("use the state of the plugin's context"),
    "dbm": N_("use the state of the plugin's context"),
    "shelve": N_("use the state of the plugin's context"),
    "keyring": N_("use the vault of the plugin's context"),
    "getpass": N_("make it an InputField; core asks for it"),
    "subprocess": N_("use spawn_program of gpurent.api"),
    "multiprocessing": N_("use spawn_program of gpurent.api"),
    "pty": N_("use spawn_program of gpurent.api"),
    "webbrowser": N_("return the URL; core opens it"),
    "pluggy": N_("use hookimpl of gpurent.api"),
}
FORBIDDEN_CALLS: Mapping[str, str] = {
    "os.system": N_("use spawn_program of gpurent.api"),
    "os.popen": N_("use spawn_program of gpurent.api"),
    "os.fork": N_("use spawn_program of gpurent.api"),
    "print": N_("raise, return, or use the log of the plugin's context"),
    "input": N_("make it an InputField; core asks for it"),
}
# What the context gives: a plugin with another one goes past redaction, the sandbox's clock, and the user's settings.
OWN_SERVICES: Mapping[str, str] = {
    **dict.fromkeys(
        ("socket", "http.client", "urllib.request", "httpx", "httpx2", "requests", "aiohttp", "websockets"),
        N_("use the HTTP client of the plugin's context"),
    ),
    **dict.fromkeys(("imaplib", "poplib", "imap_tools"), N_("use the mail of the plugin's context")),
    **dict.fromkeys(("smtplib", "asyncssh", "paramiko"), N_("it is a connection of the plugin's own")),
}
OWN_CLOCKS = {
    *("time.time", "time.monotonic", "datetime.now", "datetime.utcnow", "date.today", "datetime.today"),
    *("datetime.datetime.now", "datetime.date.today", "asyncio.sleep", "time.sleep"),
}
ALLOWED_CORE = "gpurent.api"


def iter_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of whatever is imported: ``a.b`` for ``from a import b`` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def find_forbidden_imports(sources: Mapping[str, str], package: str) -> list[str]:
    """Return a line for each import or call that no plugin may have."""
    found = []
    for name, tree in _parse(sources):
        for line, module in iter_imports(tree):
            if why := _explain_import(module, package):
                found.append(f"{name}:{line}: {_describe(module)}: {why}")
        for line, call in _iter_calls(tree):
            if call in FORBIDDEN_CALLS:
                found.append(f"{name}:{line}: {call}: {_(FORBIDDEN_CALLS[call])}")
    return found


def _explain_import(module: str, package: str) -> str:
    top = module.partition(".")[0]
    if top == "gpurent" and not f"{module}.".startswith(f"{ALLOWED_CORE}."):
        return _("only gpurent.api is for plugins")
    if top.startswith("gpurent_plugin_") and top != package:
        return _("plugins do not know each other")
    return _(FORBIDDEN_MODULES[top]) if top in FORBIDDEN_MODULES else ""


def _describe(module: str) -> str:
    return module.rpartition(".")[0] if module.count(".") > 1 else module


def find_own_services(sources: Mapping[str, str]) -> list[str]:
    """Return a line for each clock, HTTP client or mailbox that is not that of the context."""
    found = []
    for name, tree in _parse(sources):
        for line, module in iter_imports(tree):
            known = next((own for own in OWN_SERVICES if f"{module}.".startswith(f"{own}.")), "")
            if known:
                found.append(f"{name}:{line}: {known}: {_(OWN_SERVICES[known])}")
        for line, call in _iter_calls(tree):
            if call in OWN_CLOCKS:
                found.append(f"{name}:{line}: {call}: " + _("use the clock of the plugin's context"))
    return found


def find_untyped(sources: Mapping[str, str]) -> list[str]:
    """Return a line for each function that lacks an annotation."""
    return [
        f"{name}:{node.lineno}: " + _("{name} is not typed").format(name=node.name)
        for name, tree in _parse(sources)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_typed(node)
    ]


def _is_typed(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    every += [extra for extra in (given.vararg, given.kwarg) if extra is not None]
    wanted = [one for one in every if one.arg not in ("self", "cls")]
    return all(one.annotation is not None for one in wanted) and node.returns is not None


def find_declaration_fault(source: str) -> str:
    """Return why the declaration of the API's version says nothing; empty if it is a pair of numbers."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(ast.unparse(target) == DECLARATION for target in targets) and isinstance(node, ast.Assign):
            if isinstance(node.value, ast.Tuple) and all(
                isinstance(x, ast.Constant) for x in node.value.elts
            ):
                return ""
            return _("{name} must be written in numbers, or it would always agree").format(name=DECLARATION)
    return _("its entry module does not state {name}").format(name=DECLARATION)


def _parse(sources: Mapping[str, str]) -> Iterator[tuple[str, ast.Module]]:
    for name, source in sources.items():
        yield name, ast.parse(source)


def _iter_calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
