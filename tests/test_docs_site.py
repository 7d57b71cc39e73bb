"""The documentation site: its reference is current, its links hold, its pages load nothing from elsewhere."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import check_site
import docs_hooks
import documented
import msgspec
import pytest
import record_docs
import yaml
from reference import meanings, options, results

from optbench.components import Component

ROOT = documented.ROOT


def test_the_reference_is_up_to_date():
    command = [sys.executable, str(ROOT / "scripts" / "build_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_docstring_says_what_fields_mean():
    text = """A thing.

    speed, size: of all; more
        of it. colour: red: or blue; taste: sweet.
    """
    assert meanings.listed(text, ["speed", "size", "colour", "taste", "none"]) == {
        "speed": "of all; more of it.",
        "size": "of all; more of it.",
        "colour": "red: or blue",
        "taste": "sweet.",
    }
    assert meanings.listed(text, []) == {}


@dataclass
class Explained(Component):
    """A part.

    size: in rows.
    """

    __module__ = "optbench.example"
    size: int | None = None
    names: list[str] | None = None


def test_a_key_without_a_meaning_ends_the_build(monkeypatch):
    with pytest.raises(ValueError, match="Explained must explain its field 'names'"):
        list(options.field_rows(Explained, "part"))
    monkeypatch.setattr(Explained, "__doc__", "A part.\n\nsize: in rows. names: of rows.")
    assert list(options.field_rows(Explained, "part")) == [
        ("`part.size`", "integer or null", "`null`", "in rows."),
        ("`part.names`", "list of text or null", "`null`", "of rows."),
    ]


def test_a_record_links_to_the_records_it_holds():
    class Inner(msgspec.Struct):
        """Inside."""

        value: float | None

    class Outer(msgspec.Struct):
        """Outside. inner: what it holds."""

        inner: list[Inner]

    Inner.__module__ = Outer.__module__ = "optbench.example"
    assert list(results.reachable(Outer)) == [Outer, Inner]
    assert results.told(Outer) == "Outside."
    assert "| `inner` | list of [Inner](#inner) | what it holds. |" in results.fields_table(Outer)


LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_links_of_the_readme_lead_to_files():
    links = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert len(local) > 10
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_every_page_has_its_place_in_the_menu():
    pages = [str(path.relative_to(ROOT / "docs")) for path in documented.pages()]
    menu = docs_hooks.complete(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"], pages)
    listed = list(docs_hooks.leaves(menu))
    assert sorted(listed) == sorted([*pages, *docs_hooks.OUTSIDE])
    (decisions,) = [section["Decisions"] for section in menu if "Decisions" in section]
    assert "decisions/0001-dependencies.md" in decisions


def test_a_page_that_no_menu_lists_comes_under_more():
    menu = docs_hooks.complete([{"Start": ["index.md"]}], ["index.md", "new.md", "decisions/0001.md"])
    assert menu == [
        {"Start": ["index.md"]},
        {"Decisions": ["decisions/0001.md"]},
        {"More": ["new.md"]},
        {"Changes": "changes.md"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.html", '<script src="//cdn.example/x.js"></script>', "<script src=//cdn.example/x.js>"),
        (
            "a.html",
            '<link rel="preconnect" href="https://fonts.example">',
            "<link href=https://fonts.example>",
        ),
        ("a.html", '<p style="background: url(https://a.example/x.png)">', "style https://a.example/x.png"),
        ("a.html", '<pre class="mermaid">', "a mermaid diagram"),
        ("a.css", '@import "https://a.example/x.css";', "style https://a.example/x.css"),
        ("a.html", '<a href="https://a.example">read</a><img src="x.svg">', None),
        ("a.html", '<link rel="canonical" href="https://a.example">', None),
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_found(name, content, found, tmp_path, capsys):
    (tmp_path / "index.html").write_text("<p>")
    (tmp_path / name).write_text(content)
    assert check_site.main([str(tmp_path)]) == (0 if found is None else 1)
    assert (found or "no page loads anything") in capsys.readouterr().out


def test_a_folder_without_pages_is_no_site(tmp_path, capsys):
    assert check_site.main([str(tmp_path)]) == 2
    assert "a folder of built pages" in capsys.readouterr().err


def test_recording_writes_what_commands_print(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("```bash\necho $PWD/x '  '; exit 4\n```\n\n```text\nold\n```\n\n```bash\nexit 9\n```\n")
    monkeypatch.setattr(sys, "argv", ["record_docs.py", str(page), "--place", str(tmp_path)])
    assert record_docs.main() == 0
    assert "```text\nx\n```\n\n```bash\nexit 9\n```\n" in page.read_text()
    page.write_text("```bash\nexit 9\n```\n\n```text\n```\n")
    with pytest.raises(SystemExit, match="ended with 9"):
        record_docs.main()


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_loads_nothing(tmp_path):
    done = build(tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no page loads anything from elsewhere" in done.stdout
    assert (tmp_path / "site" / "reference" / "config.html").is_file()
    assert "Unreleased" in (tmp_path / "site" / "changes.html").read_text()


@pytest.mark.slow
def test_a_broken_link_ends_the_build(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# Page\n\n[gone](index.md#nowhere)\n")
    own = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    own |= {"docs_dir": str(docs), "nav": ["index.md"], "hooks": [], "extra_css": []}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(own))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(tmp_path / "mkdocs.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def build(site):
    """The documentation, built with this interpreter's environment."""
    environment = {**os.environ, "SITE": str(site), "VENV": str(Path(sys.executable).parents[1])}
    command = [str(ROOT / "scripts" / "build_docs.sh"), "--strict"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
