"""Cache entries on disk: private, trusted by owner and mode, locked, never half there."""

import hashlib
import os
import subprocess
import sys

import pytest

from optbench import checkpoint
from optbench.artifacts import entries
from optbench.artifacts.entries import (
    Busy,
    Damaged,
    exclusive,
    in_use,
    key_of,
    private_folder,
    unused,
    verified,
)
from optbench.checkpoint import hash_file, hash_files
from optbench.errors import DataError

MATERIAL = {"step": "export", "source": "a"}
posix_only = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no user ids")


@pytest.fixture
def entry(tmp_path):
    """A whole entry."""
    place = private_folder(tmp_path / "cache") / key_of(MATERIAL)
    with entries.staging(place) as made:
        (made / "model.onnx").write_bytes(b"graph")
        (made / "1_Pooling").mkdir()
        (made / "1_Pooling" / "config.json").write_text("{}")
        entries.write_manifest(made, MATERIAL, {}, 1.0)
        entries.put(made, place)
    return place


def test_an_entry_and_its_folder_are_private(entry):
    assert verified(entry).files["1_Pooling/config.json"] == hashlib.sha256(b"{}").hexdigest()
    for place in (entry.parent.parent, entry.parent, entry.parent / ".lock"):
        if place.exists():
            assert place.stat().st_mode & 0o777 == 0o700
    umask = os.umask(0)
    try:
        with entries.staging(entry) as made:
            (made / "model.onnx").write_bytes(b"graph")
            entries.write_manifest(made, MATERIAL, {}, 1.0)
            entries.put(made, entry)
    finally:
        os.umask(umask)
    assert not any(path.stat().st_mode & 0o022 for path in [entry, *entry.rglob("*")])
    assert verified(entry) is not None


def test_nothing_there_is_no_damage(tmp_path):
    assert verified(tmp_path / "export-0") is None


@posix_only
def test_an_entry_of_another_user_is_not_used_but_that_of_root_is(entry, monkeypatch):
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    monkeypatch.setattr(entries, "ROOT_USER", mine)
    assert verified(entry) is not None
    monkeypatch.setattr(entries, "ROOT_USER", mine + 2)
    with pytest.raises(Damaged, match=rf"belongs to another user \(uid {mine}\)"):
        verified(entry)


@posix_only
def test_a_folder_of_another_user_is_refused_with_the_way_out(entry, monkeypatch):
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    monkeypatch.setattr(entries, "ROOT_USER", mine + 2)
    with pytest.raises(DataError, match=r"belongs to another user .*OPTBENCH_CACHE_DIR"):
        private_folder(entry.parent.parent)


@posix_only
def test_a_folder_of_ones_own_is_closed_to_others(entry):
    entry.parent.chmod(0o777)
    private_folder(entry.parent.parent)
    assert entry.parent.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "artifacts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link; set OPTBENCH_CACHE_DIR"):
        private_folder(tmp_path / "cache")


def test_an_entry_in_use_or_being_made_cannot_be_had_alone(entry):
    with in_use(entry), in_use(entry), pytest.raises(Busy), unused(entry):
        pass
    with exclusive(entry), pytest.raises(Busy), unused(entry):
        pass
    with unused(entry):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="kills as on Linux")
def test_locks_of_a_killed_process_are_gone_with_it(entry):
    script = (
        "import sys; from pathlib import Path; from optbench.artifacts.entries import exclusive, in_use\n"
        "with exclusive(Path(sys.argv[1])), in_use(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(entry)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy), exclusive(entry, wait=False):
            pass
        holder.kill()
        holder.wait()
    with unused(entry):
        pass


def test_what_is_being_made_elsewhere_is_not_swept(entry):
    other = entry.parent / key_of({"step": "export", "source": "b"})
    place = entry.parent / f".{other.name}-abc"
    place.mkdir()
    (entry.parent / ".mine").mkdir()
    with exclusive(other):
        assert entries.sweep(entry.parent) == 0
    assert entries.sweep(entry.parent) == 1
    assert not place.exists()
    assert (entry.parent / ".mine").exists()
    assert entry.exists()


def test_removing_a_link_leaves_what_it_points_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    entries.remove(tmp_path / "gone")
    entries.remove(tmp_path / "link")
    entries.remove(tmp_path / "never")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").read_text() == "kept"


@pytest.fixture
def settled(tmp_path, monkeypatch):
    """A file that was written long ago, and the number of files hashed since."""
    monkeypatch.setattr(checkpoint, "_hashes", {})
    file = tmp_path / "model.onnx"
    file.write_bytes(b"graph")
    real, count = hashlib.sha256, []

    def counting(*args):
        count.append(args)
        return real(*args)

    now = file.stat().st_ctime_ns + 10 * checkpoint.SETTLED_NANOSECONDS
    monkeypatch.setattr(checkpoint.time, "time_ns", lambda: now)
    monkeypatch.setattr(checkpoint.hashlib, "sha256", counting)
    return file, count


def test_a_file_is_hashed_once_while_it_stays_what_it_is(settled):
    file, count = settled
    first = hash_file(file)
    assert first == hash_file(file) == hash_file(file)
    assert len(count) == 1
    file.write_bytes(b"GRAPH")
    assert hash_file(file) != first
    assert len(count) == 2


def test_a_file_touched_a_moment_ago_is_not_remembered(settled, monkeypatch):
    file, count = settled
    monkeypatch.setattr(checkpoint.time, "time_ns", lambda: file.stat().st_ctime_ns)
    assert hash_file(file) == hash_file(file)
    assert len(count) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="coreutils as on Linux")
def test_hashes_are_those_that_sha256sum_prints(tmp_path):
    for name in ("model.onnx", "model.onnx_data"):
        (tmp_path / name).write_text(name)
    command = "sha256sum model.onnx model.onnx_data | sha256sum"
    printed = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert printed.stdout.split()[0] == hash_files([tmp_path / "model.onnx_data", tmp_path / "model.onnx"])
