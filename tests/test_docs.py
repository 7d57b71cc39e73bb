"""Code in the documentation runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def blocks(name, language="python"):
    """Code blocks of a language in a page, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.timeout(1800)
def test_the_page_about_python_runs_from_top_to_bottom(tmp_path):
    script = "\n".join(blocks("docs/api.md"))
    assert script.count("optbench.") >= 10
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "optbench run: ok, grade quick look" in done.stdout
    assert "optbench results: 4 points: 4 ok" in done.stdout
    assert "batch_size must be >= 1, got 0" in done.stdout
    assert done.stderr == ""


def test_what_the_page_about_python_names_is_there():
    import optbench

    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"optbench\.([a-z_A-Z]+)\(", text)):
        assert name in optbench.__all__, name


PAGES = sorted(
    page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in folder.glob("[0-9]*.md")}
    assert pages == set(re.findall(r"\]\(([^)]+)\)", index))


def test_hooks_run_the_same_tools_as_make_check_and_fetch_nothing():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    entries = " ".join(hook["entry"] for repository in hooks["repos"] for hook in repository["hooks"])
    check = (ROOT / "scripts" / "check.sh").read_text(encoding="utf-8")
    checked = re.findall(r'^"\$bin/(\w+)"', check, re.MULTILINE)
    assert sorted(checked) == sorted(re.findall(r"\.venv/bin/(\w+)", entries))


def test_the_map_for_contributors_names_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"`([\w/.]+\.(?:py|sh|txt|yaml))`", text)):
        homes = (ROOT, ROOT / "optbench", ROOT / "optbench" / "reports", ROOT / "tests", ROOT / "scripts")
        assert any((home / name).exists() for home in homes), name
