"""Only plain https pages on declared hosts are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.infra.platform.posix.system import has_display, is_allowed_url, open_page

HOSTS = ("acme.example",)


@pytest.mark.parametrize(
    "url",
    ["https://acme.example", "https://acme.example/", "https://acme.example/user/?a=b&c=%20"],
)
def test_pages_of_the_provider(url: str) -> None:
    assert is_allowed_url(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://acme.example/",
        "HTTPS://acme.example/",
        "https://acme.example.evil.test/",
        "https://www.acme.example/",
        "https://ACME.example/",
        "https://acme.example:8443/",
        "https://acme.example@evil.test/",
        "https://evil.test/@acme.example",
        "https://evil.test/https://acme.example/",
        "https://acme.example\\@evil.test/",
        "https://acme.example/ --new-window",
        "https://acme.example/\n",
        "https://acme.example/#x",
        "https://sh\u043ep.example/",
        "https://acme\uff0eexample/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "--help",
        "//acme.example/",
    ],
)
def test_other_urls_are_not_opened(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "browser"
    script.write_text(f"#!/bin/sh\ntouch {seen}\n")
    script.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(script))
    assert not is_allowed_url(url, HOSTS)
    assert not open_page(url, HOSTS)
    assert not seen.exists()


def test_without_a_display_nothing_is_opened() -> None:
    assert not has_display({})
    assert has_display({"DISPLAY": ":0"})
    assert has_display({"WAYLAND_DISPLAY": "wayland-0"})
    assert has_display({"BROWSER": "firefox"})
