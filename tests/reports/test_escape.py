"""Text of unknown origin in Markdown."""

import pytest

from optbench.reports.escape import fenced, markdown, one_line


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a/b-1.5 (95%)", "a/b-1.5 (95%)"),
        ("a|b", r"a\|b"),
        ("two\nlines\r\n| x |", r"two lines \| x \|"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("![x](http://y)", r"!\[x\](http&#58;//y)"),
        ("www.y.z @all", "www&#46;y.z &#64;all"),
        ("`code` *bold* _em_ ~~no~~ $x$", r"\`code\` \*bold\* \_em\_ \~\~no\~\~ \$x\$"),
        ("\\|", r"\\\|"),
        ("x\u202egnp.exe\u2028y\x1b[31m", r"x gnp.exe y \[31m"),
        (None, "None"),
    ],
)
def test_markdown_shows_what_is_there_and_does_nothing(text, safe):
    assert markdown(text) == safe


def test_names_are_cut_where_they_are_longer_and_sentences_never():
    assert one_line("x" * 500, 300) == "x" * 299 + "…"
    assert len(one_line("x" * 300, 300)) == 300
    assert one_line("x" * 5000) == "x" * 5000
    assert markdown("y" * 500, 10) == "y" * 9 + "…"


def test_a_code_block_cannot_be_closed_from_inside():
    block = fenced("a\n  b\n````\n# title\x1b[1m", "bash")
    assert block.splitlines() == ["`````bash", "a", "  b", "````", "# title [1m", "`````"]
    assert fenced("x") == "```\nx\n```"
