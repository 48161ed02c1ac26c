# Python 2.7 replacement for fake machines: rejects source that only Python 3 can parse, and runs the rest with 3.
import ast
import io
import os
import re
import sys
import tokenize
from collections.abc import Iterator
from typing import NoReturn

PYTHON2_VERSION = "Python 2.7.17"
CODING_PATTERN = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")
PYTHON3_NODES = tuple(
    getattr(ast, name)
    for name in (
        *("JoinedStr", "AnnAssign", "NamedExpr", "AsyncFunctionDef", "Await", "AsyncFor", "AsyncWith"),
        *("Nonlocal", "Starred", "YieldFrom", "MatMult", "Match", "TryStar", "TypeAlias"),
    )
    if hasattr(ast, name)
)
PYTHON3_NUMBER = re.compile(r"\d_\d")


def exit_with_syntax_error(
    file_name: str, line: int, column: int, text: str, message: str = "invalid syntax"
) -> NoReturn:
    """Print the error as Python 2 does, and exit with status 1."""
    lines = text.splitlines()
    code = lines[line - 1] if 0 < line <= len(lines) else ""
    caret = " " * max(0, column - (len(code) - len(code.lstrip()))) + "^"
    sys.stderr.write(
        f'  File "{file_name}", line {line}\n    {code.strip()}\n    {caret}\nSyntaxError: {message}\n'
    )
    raise SystemExit(1)


def check_encoding(source: bytes, file_name: str) -> None:
    """Reject non-ASCII source without a declared encoding."""
    lines = source.split(b"\n")
    if source.startswith(b"\xef\xbb\xbf") or any(CODING_PATTERN.match(line) for line in lines[:2]):
        return
    for number, line in enumerate(lines, 1):
        strange = next((byte for byte in line if byte > 127), None)
        if strange is not None:
            sys.stderr.write(
                f"  File \"{file_name}\", line {number}\nSyntaxError: Non-ASCII character '\\x{strange:02x}' in file "
                f"{file_name} on line {number}, but no encoding declared\n"
            )
            raise SystemExit(1)


def is_python3_call(node: ast.Call, prints: bool) -> bool:
    """Whether the call is print(x, end="") without the future import, or f(*a, b)."""
    is_print = isinstance(node.func, ast.Name) and node.func.id == "print"
    return is_print and not prints and bool(node.keywords)


def is_python3_function(node: ast.FunctionDef | ast.Lambda) -> bool:
    """Whether the function has annotations, or keyword-only or positional-only arguments."""
    arguments = node.args
    all_arguments = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    all_arguments += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
    returns = getattr(node, "returns", None)
    return bool(
        returns
        or arguments.kwonlyargs
        or arguments.posonlyargs
        or any(each.annotation for each in all_arguments)
    )


def is_python3_only(node: ast.AST, prints: bool, call_stars: set[ast.AST]) -> bool:
    """Whether Python 2 lacks this syntax."""
    if isinstance(node, ast.Call):
        return is_python3_call(node, prints)
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        return is_python3_function(node)
    if isinstance(node, ast.Raise):
        return node.cause is not None
    if isinstance(node, ast.ClassDef):
        return bool(node.keywords)
    return isinstance(node, PYTHON3_NODES) and node not in call_stars


def find_python3_syntax(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """Yield line and column of everything that Python 2 cannot parse."""
    prints = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "print_function" for alias in node.names)
        for node in tree.body
    )
    call_stars: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            call_stars.update(argument for argument in node.args if isinstance(argument, ast.Starred))
        if is_python3_only(node, prints, call_stars):
            yield getattr(node, "lineno", 1), getattr(node, "col_offset", 0)


def check_source(source: bytes, file_name: str) -> None:
    """Return if Python 2 could parse the source, else exit with status 1 and its message."""
    check_encoding(source, file_name)
    text = source.decode("utf-8", "replace")
    try:
        tree = ast.parse(source)
        tokens = list(tokenize.tokenize(io.BytesIO(source).readline))
    except (SyntaxError, ValueError) as problem:
        line, column = getattr(problem, "lineno", 1) or 1, getattr(problem, "offset", 1) or 1
        exit_with_syntax_error(file_name, line, column - 1, text)
    found = list(find_python3_syntax(tree))
    found += [
        token.start
        for token in tokens
        if token.type == tokenize.NUMBER and PYTHON3_NUMBER.search(token.string)
    ]
    if found:
        exit_with_syntax_error(file_name, *min(found), text)


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split into the interpreter's own flags and the rest: a script, ``-c``, ``-m``, ``-`` and what follows."""
    flags: list[str] = []
    while (
        arguments
        and arguments[0].startswith("-")
        and arguments[0][:2] not in ("-c", "-m")
        and arguments[0] != "-"
    ):
        flags.append(arguments[0])
        arguments = arguments[1:]
    return flags, arguments


def main() -> None:
    """Check the program, then run it."""
    flags, rest = split_arguments(sys.argv[1:])
    if {"-V", "--version"} & set(flags):
        sys.stderr.write(PYTHON2_VERSION + "\n")
        return
    python = os.path.realpath(sys.executable)
    if not rest and os.isatty(0):
        sys.stderr.write(f"{PYTHON2_VERSION} (stand-in)\n")
    elif not rest or rest[0] == "-":
        source = sys.stdin.buffer.read()
        check_source(source, "<stdin>")
        os.execv(python, [python, *flags, "-c", source.decode(), *rest[1:]])  # noqa: S606
    elif rest[0].startswith("-c"):
        check_source((rest[0][2:] or (rest[1] if len(rest) > 1 else "")).encode(), "<string>")
    elif rest[0] != "-m":
        try:
            with open(rest[0], "rb") as script:  # noqa: PTH123
                source = script.read()
        except OSError as problem:
            sys.stderr.write(
                f"python: can't open file '{rest[0]}': [Errno {problem.errno}] {problem.strerror}\n"
            )
            raise SystemExit(2) from None
        check_source(source, rest[0])
    os.execv(python, [python, *flags, *rest])  # noqa: S606


if __name__ == "__main__":
    main()
