"""The page in a real browser: no console errors, its script at work, its charts drawn."""

import re
import shutil
import subprocess

import pytest

from optbench.delivery.report import page_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=3000",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]


@pytest.fixture
def load(tmp_path):
    """The page as the browser has it after its script ran, and what the console said."""

    def run(html):
        file = tmp_path / "page.html"
        file.write_text(html)
        profile = tmp_path / "profile"
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def test_a_run_loads_without_a_word_on_the_console(load, full_run, write_run, write_raw, tmp_path):
    directory = write_raw(write_run(tmp_path / "run", full_run()))
    dom, console = load(page_of(directory).html())
    assert console == []
    assert len(re.findall("<svg", dom)) == 4


def test_a_sweep_can_be_sorted_and_filtered(load, tmp_path, made_run, write_run):
    for batch in (1, 8):
        for length in (16, 64):
            run = made_run(batch, length, speedup=batch / 4 + 0.9)
            overrides = [f"batch_size={batch}", f"input_length={length}"]
            write_run(tmp_path / "s" / f"{batch}-{length}", run, overrides)
    dom, console = load(page_of(tmp_path / "s").html())
    assert console == []
    assert "4 of 4 rows" in dom
    assert len(re.findall('<th scope="col"[^>]*><button type="button">', dom)) > 8
    assert 'class="breakeven"' not in dom


def test_the_browser_refuses_a_script_that_is_not_ours(load, full_run, write_run, tmp_path):
    html = page_of(write_run(tmp_path / "run", full_run())).html()
    foreign = "<script>document.title = 'taken over'</script><p onclick='1' style='color:red'>x</p></main>"
    dom, console = load(html.replace("</main>", foreign))
    assert "<title>taken over" not in dom
    assert any("Content Security Policy" in line for line in console)
