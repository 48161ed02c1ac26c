"""Finding elements and their texts in pages as browsers show them."""

from __future__ import annotations

import re

import pytest
from lxml import etree

from gpurent_plugin_mistgpu.markup import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_TEXT,
    find_elements,
    find_first,
    find_innermost,
    get_text,
    parse_page,
)


def parse_whole(page: str) -> etree._Element:
    root, whole = parse_page(page)
    assert whole, page
    return root


def find_marked(page: str) -> etree._Element:
    found = find_first(parse_whole(page).iter("*"), id="it")
    assert found is not None, page
    return found


def test_a_page_is_parsed_to_its_end() -> None:
    for page in ("", "text", "<p id='it'>x", "<HTML><p>x</HTML >more", "\ud800", "<b><i>x</b></i>"):
        assert parse_page(page)[1], page
    for page in ("<!-- open", "<script>open", "<a title='open"):
        assert not parse_page(page)[1], page


def test_what_comes_after_the_end_belongs_to_the_page() -> None:
    assert get_text(parse_whole("<html><p>one</p></HTML \n><p>two</p></html>three")) == "one two three"


def test_comments_and_instructions_are_no_text() -> None:
    assert get_text(find_marked("<p id='it'>1<!-- 2 -->3<?pi 4?>5</p>")) == "135"


def test_characters_that_cannot_be_encoded_are_replaced() -> None:
    assert get_text(find_marked("<p id='it'>a\ud800b 元</p>")) == "a?b 元"


@pytest.mark.parametrize("tags", ["<div>", "<div class='x'>"])
def test_how_deep_a_page_may_be_nested(tags: str) -> None:
    deepest = next(depth for depth in range(MAX_DEPTH, 0, -1) if parse_page(tags * depth)[1])
    assert MAX_DEPTH - 4 < deepest < MAX_DEPTH
    root, whole = parse_page(tags * (deepest + 1))
    assert (root.tag, len(root), whole) == ("html", 0, False)
    side_by_side = "<p>x</p>" * MAX_DEPTH * 2
    assert len(list(parse_whole(side_by_side).iter("p"))) == MAX_DEPTH * 2, "elements that ended do not count"


@pytest.mark.parametrize("charset", ["utf-16", "utf-32", "gb2312", "no-such"])
def test_what_a_page_says_of_its_encoding_changes_nothing(charset: str) -> None:
    """Read as UTF-16, the tags of a page in UTF-8 would be none, and any depth within the limit."""
    assert get_text(find_marked(f"<meta charset='{charset}'><p id='it'>3.50 元</p>")) == "3.50 元"
    assert not parse_page(f"<meta charset='{charset}'>" + "<div>" * (MAX_DEPTH + 1))[1]


def test_how_many_attributes_an_element_may_have() -> None:
    for count, whole in ((MAX_ATTRIBUTES, True), (MAX_ATTRIBUTES + 1, False)):
        page = f"<a {' '.join(f'a{number}=1' for number in range(count))}>x</a>"
        assert parse_page(page)[1] is whole


def test_a_fault_is_found_wherever_it_is() -> None:
    for size in (10, 65_000, 200_000):
        assert not parse_page("x" * size + "<div>" * 300)[1]
        assert len(get_text(find_marked(f"<p id='it'>{'x' * size}</p>"))) == min(size, MAX_TEXT)


def test_elements_by_class_and_attribute() -> None:
    root = parse_whole(
        "<p id=1 class='card form-check big'></p><p id=2 class='form-check card'></p><p id=3 class='card'></p>"
        "<p id=4 class='cards form-check'></p><p id=5></p>"
    )

    def find(class_names: str = "", **attributes: str) -> list[str | None]:
        return [node.get("id") for node in find_elements(root.iter("p"), class_names, **attributes)]

    assert find("card form-check") == ["1", "2"]
    assert find("card") == ["1", "2", "3"]
    assert find() == ["1", "2", "3", "4", "5"]
    assert [node.get("id") for node in find_elements(root.iter("p"), id="4")] == ["4"]
    assert find("card", id="2") == ["2"]
    assert find(id="9") == find("none") == []
    first = find_first(root.iter("p"), "form-check", id="4")
    assert first is not None
    assert first.get("id") == "4"
    assert find_first(root.iter("p"), "card", id="5") is None


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("  a \n b\t<b>c</b> d <i> e<u>f</u></i>g ", "a b c d e f g"),
        ("1<del>2</del>3<s>4</s>5<strike>6</strike>7", "1 3 5 7"),
        ("1<b hidden>2</b>3", "1 3"),
        ("1<b style='Text-Decoration : LINE-THROUGH red'>2</b>3", "1 3"),
        ("1<b style='color:red; display : none'>2<i>3</i></b>4", "1 4"),
        ("1<b style='display:block'>2</b>3", "1 2 3"),
        ("1<b class='big text-decoration-line-through'>2</b>3", "1 3"),
        ("1<b class='line-through-not'>2</b>3", "1 2 3"),
        ("", ""),
    ],
)
def test_the_text_that_a_reader_sees(markup: str, text: str) -> None:
    assert get_text(find_marked(f"<div id='it'>{markup}</div>")) == text


def test_an_element_that_is_left_out() -> None:
    node = find_marked("<div id='it'>1<h5>2 <b>3</b></h5>4</div>")
    title = next(node.iter("h5"))
    assert get_text(node, title) == "1 4"
    assert get_text(node) == "1 2 3 4"
    assert get_text(title, title) == ""


def test_a_long_text_is_cut() -> None:
    assert get_text(find_marked(f"<p id='it'>{'x' * (MAX_TEXT + 1)}</p>")) == "x" * MAX_TEXT
    assert get_text(find_marked(f"<p id='it'>a<b>{'x' * MAX_TEXT}</b></p>")) == "a " + "x" * (MAX_TEXT - 2)


def test_the_smallest_elements_with_a_text() -> None:
    node = find_marked(
        "<div id='it'><p id=1>5 元<b id=2>3 元</b><b id=3>none</b></p><h5 id=4>4 元</h5><p id=5>2 <i>元</i></p></div>"
    )
    title = next(node.iter("h5"))
    price = re.compile(r"\d 元")

    def find(leave_out: etree._Element | None = None) -> list[str | None]:
        return [found.get("id") for found in find_innermost(node, price, leave_out)]

    assert find() == ["2", "4", "5"]
    assert find(title) == ["2", "5"]
    assert find_innermost(node, re.compile("no such"), None) == []
    assert find_innermost(title, price, title) == []
