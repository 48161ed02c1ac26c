"""Only plain https pages on declared hosts are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.infra.platform.posix.system import has_display, is_allowed_url, open_page

HOSTS = ("shop.example",)


@pytest.mark.parametrize(
    "url",
    ["https://shop.example", "https://shop.example/", "https://shop.example/user/?a=b&c=%20"],
)
def test_pages_of_the_provider(url: str) -> None:
    assert is_allowed_url(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://shop.example/",
        "HTTPS://shop.example/",
        "https://shop.example.evil.test/",
        "https://www.shop.example/",
        "https://SHOP.example/",
        "https://shop.example:8443/",
        "https://shop.example@evil.test/",
        "https://evil.test/@shop.example",
        "https://evil.test/https://shop.example/",
        "https://shop.example\\@evil.test/",
        "https://shop.example/ --new-window",
        "https://shop.example/\n",
        "https://shop.example/#x",
        "https://sh\u043ep.example/",
        "https://shop\uff0eexample/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "--help",
        "//shop.example/",
    ],
)
def test_everything_else_stays_shut(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
