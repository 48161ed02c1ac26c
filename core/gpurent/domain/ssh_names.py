"""The strict grammar of what leads to a machine over SSH: none of it can be an option of a program."""

USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
HOST = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]{{2,45}}\])"
