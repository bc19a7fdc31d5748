"""References resolved as RFC 3986 has it: its own tables, its own pseudo-code as the oracle, and what browsers add."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.references import resolved
from chalicelib.jobs.urls import InvalidURL, normal_form, without_dots

BASE = "http://a/b/c/d;p?q"

# RFC 3986, 5.4.1 and 5.4.2; of its two answers to http:g the one that browsers give
STANDARD = {
    "g:h": "g:h",
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q#s",
    "g#s": "http://a/b/c/g#s",
    "g?y#s": "http://a/b/c/g?y#s",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y#s",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/./x": "http://a/b/c/g#s/./x",
    "g#s/../x": "http://a/b/c/g#s/../x",
    "http:g": "http://a/b/c/g",
}


@pytest.mark.parametrize(("reference", "url"), STANDARD.items())
def test_the_standards_tables(reference: str, url: str) -> None:
    """RFC 3986, 5.4, whole."""
    assert resolved(BASE, reference) == url


@pytest.mark.parametrize(
    ("base", "reference", "url"),
    [
        ("http://h/web/2020/http://example.org/a", "b", "http://h/web/2020/http://example.org/b"),
        ("http://h/a//b", "../c", "http://h/a/c"),
        ("http://h/a//b", "c", "http://h/a//c"),
        ("http://h/login?next=1", "?", "http://h/login?"),
        ("http://h/login?next=1", "#top", "http://h/login?next=1#top"),
        ("http://h/login?next=1", "", "http://h/login?next=1"),
        ("http://h/a", "b?", "http://h/b?"),
        ("http://h/a", "b#", "http://h/b#"),
        ("http://h/", "b?c=/../d", "http://h/b?c=/../d"),
        ("https://h/a", "//other/x", "https://other/x"),
        ("http://h/a/b", "c;v=1", "http://h/a/c;v=1"),
        ("http://h/a/b", "/http%3A//h/p", "http://h/http%3A//h/p"),
        ("http://h/a/b", "1:2", "http://h/a/1:2"),  # no scheme begins with a digit
        ("http://h/a", "HTTP:/b", "http://h/b"),
        ("http://h/a", "https:/b", "https:/b"),
    ],
)
def test_what_is_empty_is_there(base: str, reference: str, url: str) -> None:
    """Empty segments and empty queries count; paths keep what looks like a URL."""
    assert resolved(base, reference) == url


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("\\new\\page", "http://h/new/page"),
        ("..\\x", "http://h/x"),
        ("\\\\other\\x", "http://other/x"),
        ("/\\other/x", "http://other/x"),
        ("http:\\\\other\\x", "http://other/x"),
        ("http://other\\x", "http://other/x"),
        ("x?a\\b", "http://h/a/x?a\\b"),
        ("x#a\\b", "http://h/a/x#a\\b"),
        ("x?a#b\\c?d", "http://h/a/x?a#b\\c?d"),
        ("//other?\\@x", "http://other?\\@x"),
    ],
)
def test_backslashes_are_slashes(reference: str, url: str) -> None:
    """In host and path, as browsers have it, and nowhere else."""
    assert resolved("http://h/a/b", reference) == url


@pytest.mark.parametrize("reference", ["http://one\\@two/", "//one\\.three@two/x", "//one:80\\@two"])
def test_a_host_that_two_readers_see_as_two(reference: str) -> None:
    """To browsers it ends before the backslash, to RFC 3986 it begins after the @: it is refused."""
    with pytest.raises(InvalidURL, match="backslash"):
        normal_form(resolved("http://h/", reference))


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("//b%C3%BCcher.example/", "xn--bcher-kva.example"),
        ("https://B%c3%9cCHER.example/", "xn--bcher-kva.example"),
        ("//93%E3%80%82184%E3%80%82216%E3%80%8234/", "93.184.216.34"),
    ],
)
def test_a_host_beyond_ascii_is_utf_8(reference: str, host: str) -> None:
    """Then it goes by IDNA, as in browsers."""
    assert normal_form(resolved("https://h/", reference)) == f"https://{host}/"


@pytest.mark.parametrize("reference", ["//b%FCcher.example/", "//%93%FA.example/", "//a%2eb/", "//%31.1.1.1/"])
def test_a_host_in_another_charset(reference: str) -> None:
    """Nobody knows which host that is; and an escape that hides ASCII is not undone either."""
    with pytest.raises(InvalidURL, match="percent-escape"):
        normal_form(resolved("https://h/", reference))


def remove_dot_segments(path: str) -> str:
    """RFC 3986, 5.2.4, step by step, as it is written there."""
    output = ""
    while path:
        if path.startswith("../"):  # 2A
            path = path[3:]
        elif path.startswith(("./", "/./")):  # 2A, 2B
            path = path[2:]
        elif path == "/.":
            path = "/"
        elif path.startswith("/../"):  # 2C
            path, output = path[3:], output[: max(output.rfind("/"), 0)]
        elif path == "/..":
            path, output = "/", output[: max(output.rfind("/"), 0)]
        elif path in (".", ".."):  # 2D
            path = ""
        else:  # 2E
            end = path.find("/", 1)
            end = len(path) if end < 0 else end
            output, path = output + path[:end], path[end:]
    return output


PATHS = st.lists(st.sampled_from(["/", "/", ".", "..", "a", "b:c", ";p", "%2e", "...", "http:"])).map("".join)
QUERIES = st.none() | st.sampled_from(["", "q", "a=/../b", "?"])


@given(PATHS)
def test_dot_segments_are_removed_as_the_standard_does_it(path: str) -> None:
    """Of any absolute path."""
    assert without_dots(f"/{path}") == remove_dot_segments(f"/{path}")


@given(PATHS, QUERIES, PATHS, QUERIES)
def test_resolved_as_the_standard_does_it(base: str, base_query: str | None, path: str, query: str | None) -> None:
    """RFC 3986, 5.2.2: of a relative reference that is no scheme's and names no host."""
    if path.startswith("//") or path.partition("/")[0].partition(":")[1]:
        return
    base_path = without_dots(f"/{base}")

    def shown(query: str | None) -> str:
        return "" if query is None else f"?{query}"

    if path == "":
        expected = base_path + shown(base_query if query is None else query)
    elif path.startswith("/"):
        expected = remove_dot_segments(path) + shown(query)
    else:
        expected = remove_dot_segments(base_path[: base_path.rindex("/") + 1] + path) + shown(query)
    assert resolved(f"http://h{base_path}{shown(base_query)}", path + shown(query)) == f"http://h{expected}"


@given(st.text() | st.text(st.sampled_from("htps:/\\?#[]@.%C3%BC a")))
def test_any_reference(reference: str) -> None:
    """It gives a URL, which is fetched or refused in a sentence; and what it gives leads to itself."""
    url = resolved("http://h.example/a/b?c", reference)
    try:
        normal = normal_form(url, AddressPolicy())
    except InvalidURL:
        return
    assert resolved("http://other.example/x", normal) == normal
    assert resolved(normal, "") == normal
