"""What the refusal of a page that changed must say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpurent.api import UnexpectedResponse
from plugins.mistgpu.tests.test_mistgpu_wire import URL


def check_refused(parse: Callable[[str, str], object], page: str, what: str) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        parse(page, URL)
    assert caught.value.message == f"unexpected content on MISTGPU's page {URL}: {what}"
    assert caught.value.url == URL
    assert caught.value.detail == " ".join(page[:300].split())
