"""The artifact cache under real processes that are killed at the worst moments, race, or fill the disk."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from optbench.artifacts import entries
from optbench.artifacts.store import ArtifactStore
from optbench.components import Artifact
from optbench.errors import DataError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="kills and mounts as on Linux"),
]

STEP = """
import os, signal
from pathlib import Path
from optbench.components import Quantization

def stop():
    staging = Path(os.environ["MARK"] + ".part")
    staging.write_text(str(os.getpid()))
    os.replace(staging, os.environ["MARK"])
    signal.pause()

class Step(Quantization):
    source_format = target_format = "onnx"
    def __init__(self, moment): self.moment = moment
    def supports(self, spec, backend): return None
    def recipe(self): return {"approach": "step"}
    def apply(self, source, target, calibration):
        import tempfile
        with open(os.environ["MADE"], "a") as file: file.write("made\\n")
        tempfile.mkdtemp(prefix="left-by-a-library-")
        if self.moment == "nothing written": stop()
        with (target / "model.onnx").open("wb") as file:
            file.write(b"x" * 500_000); file.flush()
            if self.moment == "half written": stop()
            file.write(b"x" * 500_000)
        if self.moment == "model written": stop()
        return {}
"""
DRIVER = """
import sys
from pathlib import Path
from optbench.artifacts import entries
from optbench.artifacts.store import ArtifactStore
from optbench.components import Artifact
from a_step import Step, stop

place, moment = Path(sys.argv[1]), sys.argv[2]
if moment == "no manifest yet":
    entries.write_manifest = lambda *args, **kwargs: stop()
elif moment == "whole but not in place":
    entries.put = lambda *args: stop()
elif moment == "old moved away":
    rename = Path.rename
    def first_only(path, target):
        return rename(path, target) if Path(target).name == "old" else stop()
    Path.rename = first_only
store = ArtifactStore(place / "cache", place / "log")
made = store.quantized(Artifact(place / "source", "onnx", "abc", 1), Step(moment))
print(made.from_cache, made.sha256, flush=True)
"""
IN_THE_CHILD = ["nothing written", "half written", "model written"]
IN_THE_COORDINATOR = ["no manifest yet", "whole but not in place", "old moved away"]
KILLS = [("child", moment) for moment in IN_THE_CHILD]
KILLS += [("coordinator", moment) for moment in [*IN_THE_CHILD, *IN_THE_COORDINATOR]]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A source, a cache to be, and modules that the processes can import."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "model.onnx").write_bytes(b"graph")
    (tmp_path / "source" / "config.json").write_text("{}")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a_step.py").write_text(STEP)
    (tmp_path / "code" / "drive.py").write_text(DRIVER)
    (tmp_path / "temporary").mkdir()
    package = Path(entries.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'code'}:{package}")
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setenv("MADE", str(tmp_path / "made"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.syspath_prepend(tmp_path / "code")
    return tmp_path


def drive(place, moment="never"):
    command = [sys.executable, str(place / "code" / "drive.py"), str(place), moment]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.split()


def wait_for(place, coordinator):
    """Pid of the process that has come to the moment it waits at."""
    mark = place / "mark"
    while not mark.exists():
        assert coordinator.poll() is None, coordinator.stderr.read()
        time.sleep(0.005)
    return int(mark.read_text())


def gone(pids):
    """Wait until none of the processes runs any more."""
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=60)
    return not alive


def damage(place):
    """A first entry with a byte changed, so that an old one lies where the new one goes."""
    finish(drive(place))
    (entry,) = found(place)
    (entry / "model.onnx").write_bytes(b"y")


def found(place):
    """What lies in the cache, but for the empty lock files."""
    return [path for path in (place / "cache" / "artifacts").iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize(("victim", "moment"), KILLS)
def test_after_a_kill_the_next_run_makes_it_and_leaves_nothing(place, moment, victim):
    if moment == "old moved away":
        damage(place)
    coordinator = drive(place, moment)
    with coordinator:
        stopped = wait_for(place, coordinator)
        children = [child.pid for child in psutil.Process(coordinator.pid).children(recursive=True)]
        os.kill(coordinator.pid if victim == "coordinator" else stopped, signal.SIGKILL)
        error = coordinator.communicate(timeout=60)[1]
    if victim == "child":
        assert "quantize process" in error
        assert "SIGKILL" in error
        assert found(place) == []
    assert gone([*children, stopped])
    from_cache, sha256 = finish(drive(place))
    assert from_cache == "False"
    (entry,) = found(place)
    assert entries.verified(entry).files.keys() == {"model.onnx", "config.json"}
    assert (entry / "model.onnx").stat().st_size == 1_000_000
    with entries.unused(entry):
        pass
    assert list((place / "temporary").iterdir()) == []
    assert finish(drive(place)) == ["True", sha256]


def test_two_processes_at_once_get_the_same_entry_made_once(place):
    answers = [finish(process) for process in [drive(place), drive(place), drive(place)]]
    assert len({sha256 for _, sha256 in answers}) == 1
    assert sorted(from_cache for from_cache, _ in answers) == ["False", "True", "True"]
    assert (place / "made").read_text() == "made\n"
    assert len(found(place)) == 1


def test_a_disk_that_is_really_full_is_named(place):
    import a_step

    small = place / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        store = ArtifactStore(small, place / "log")
        with pytest.raises(DataError, match=r"disk of the artifact cache .*small/artifacts is full"):
            store.quantized(Artifact(place / "source", "onnx", "abc", 1), a_step.Step("never"))
        left = [path.suffix for path in (small / "artifacts").iterdir()]
        assert set(left) <= {".lock"}
        store.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)
