"""Errors about what the environment asks of every connection, and what cannot be done: certificates and proxies."""

from __future__ import annotations

import os

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error

_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXY_VARIABLES = ("all_proxy", "https_proxy", "http_proxy")
_PROXY_FORMS = ("http://", "https://", "socks5://", "socks5h://")


def make_environment_error(error: Exception) -> UsageError | None:
    """Return why a client could not be made, with the variable that asks for it; None if it is something else.

    The value of a proxy variable may hold a password, and is not shown.
    """
    if isinstance(error, ImportError):
        variable = _find_proxy_variable("socks")
        return UsageError(
            _("{variable} names a SOCKS proxy, and the package for that is not installed").format(
                variable=variable
            ),
            hint=_("Install it: pip install 'gpurent[socks]'. Or unset {variable}.").format(
                variable=variable
            ),
        )
    if isinstance(error, OSError):
        return _make_certificate_error(error)
    if isinstance(error, ValueError):
        variable = _find_proxy_variable()
        return UsageError(
            _("{variable} does not name a proxy that gpurent can use").format(variable=variable),
            hint=_("Write it like this: {example}").format(example=f"{variable}=http://proxy.example:3128"),
        )
    return None


def _make_certificate_error(error: OSError) -> UsageError | None:
    variable = next((name for name in _CERTIFICATE_VARIABLES if os.environ.get(name)), "")
    if not variable:
        return None
    return UsageError(
        _("{variable} is {path}, where no certificates can be read: {why}").format(
            variable=variable, path=os.environ[variable], why=describe_error(error)
        ),
        hint=_("It names a file (or folder) of certificates in the form PEM. Correct or unset it."),
    )


def _find_proxy_variable(scheme: str = "") -> str:
    """Return the variable that names a proxy of the ``scheme``, or one that is in no known form."""
    for name in _PROXY_VARIABLES:
        for variable in (name, name.upper()):
            value = os.environ.get(variable, "").lower()
            if value and (value.startswith(scheme) if scheme else not value.startswith(_PROXY_FORMS)):
                return variable
    return _PROXY_VARIABLES[0].upper()
