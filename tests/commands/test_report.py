"""`optbench report`: what it writes, where, as what, and what it imports."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from PIL import Image

from optbench.cli import main

HEAVY = ("torch", "transformers", "onnxruntime", "datasets", "sklearn", "scipy", "pandas", "optuna", "hydra")


@pytest.fixture
def run(tmp_path, made_run, write_run):
    return write_run(tmp_path / "run", made_run(command=["optbench", "quant=dynamic"]), ["quant=dynamic"])


def test_a_page_is_written_into_the_run(run, capsys):
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert capsys.readouterr().err == f"Written: {run / 'report.html'}\n"


def test_a_result_file_stands_for_its_directory_and_output_for_another_place(run, tmp_path):
    assert main(["report", str(run / "result.json"), "--output", str(tmp_path / "new" / "a.html")]) == 0
    assert (tmp_path / "new" / "a.html").is_file()
    assert not (run / "report.html").exists()


def test_a_sweep_has_one_page(tmp_path, made_run, write_run):
    for number, batch in enumerate((1, 8)):
        write_run(tmp_path / "s" / str(number), made_run(batch=batch), [f"batch_size={batch}"])
    assert main(["report", str(tmp_path / "s")]) == 0
    assert "2 points: 2 ok" in (tmp_path / "s" / "report.html").read_text()


@pytest.mark.parametrize(
    ("kind", "start"), [("markdown", "### optbench: OK, grade good"), ("terminal", "grade: good")]
)
def test_text_goes_to_the_terminal_or_into_a_file(run, tmp_path, capsys, kind, start):
    assert main(["report", str(run), "--format", kind]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(start)
    assert "optbench quant=dynamic" in shown
    assert main(["report", str(run), "--format", kind, "--output", str(tmp_path / "text")]) == 0
    assert (tmp_path / "text").read_text() == shown
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("kind", "start"), [("markdown", "### optbench: 1 point"), ("terminal", "1 point: 1 ok")]
)
def test_the_text_of_a_sweep_is_its_table(run, capsys, kind, start):
    assert main(["report", str(run.parent), "--format", kind]) == 0
    assert capsys.readouterr().out.startswith(start)


def test_every_plot_is_a_file_of_its_own(run, tmp_path, capsys):
    assert main(["report", str(run), "--plots", str(tmp_path / "plots")]) == 0
    names = sorted(file.name for file in (tmp_path / "plots").iterdir())
    assert names == ["footprint.svg", "quality.svg", "timeline.svg"]
    for name in names:
        root = ElementTree.parse(tmp_path / "plots" / name).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.find("{*}title").text
        assert "prefers-color-scheme" in root.find("{*}style").text
    assert "footprint.svg" in capsys.readouterr().err


def test_plots_as_png_are_the_same_drawings_with_their_legend(run, tmp_path):
    pytest.importorskip("resvg_py")
    assert main(["report", str(run), "--plots", str(tmp_path / "svg")]) == 0
    assert main(["report", str(run), "--plots", str(tmp_path / "png"), "--png"]) == 0
    drawn = {file.stem: file for file in (tmp_path / "png").iterdir()}
    assert set(drawn) == {file.stem for file in (tmp_path / "svg").iterdir()}
    for name, file in drawn.items():
        root = ElementTree.parse(tmp_path / "svg" / f"{name}.svg").getroot()
        with Image.open(file) as image:
            assert image.size == tuple(round(3 * float(root.get(side))) for side in ("width", "height"))
            assert image.getpixel((0, 0))[:3] == (255, 255, 255)
            assert len(image.getcolors(1 << 24)) > 10
    words = [
        "".join(element.itertext())
        for element in ElementTree.parse(tmp_path / "svg" / "footprint.svg").iter()
    ]
    assert {"baseline", "candidate"} <= set(words)


def test_png_needs_its_package_and_a_directory(run, tmp_path, monkeypatch, capsys):
    assert main(["report", str(run), "--png"]) == 2
    assert "--plots" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert main(["report", str(run), "--plots", str(tmp_path / "plots"), "--png"]) == 2
    assert "pip install 'optbench[png]'" in capsys.readouterr().err
    assert not (tmp_path / "plots").exists()


def test_what_cannot_be_written_is_one_sentence_and_code_2(run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for option in ("--output", "--plots"):
        assert main(["report", str(run), option, str(tmp_path / "file" / "below")]) == 2
        text = capsys.readouterr().err.splitlines()[-1]
        assert text.startswith(f"optbench: {option} {tmp_path / 'file' / 'below'} cannot be written: ")
    assert main(["report", str(tmp_path / "gone")]) == 2
    assert "there is none" in capsys.readouterr().err


def test_a_page_needs_no_heavy_library(run):
    script = f"import sys; from optbench.cli import main; code = main(['report', {str(run)!r}]); "
    script += f"sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or code)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_that_is_read_only_is_named_with_the_option_for_another_place(run, capsys):
    (run / "report.html").mkdir()
    assert main(["report", str(run)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"optbench: {run / 'report.html'} cannot be written: ")
    assert told.endswith("; name a file elsewhere with --output\n")
    assert main(["report", str(run), "--output", str(run / "report.html")]) == 2
    assert capsys.readouterr().err.startswith(f"optbench: --output {run / 'report.html'} cannot be written: ")
