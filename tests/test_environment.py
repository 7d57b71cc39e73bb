"""What the machine is, read from made-up files and from this one."""

import json
import os
import subprocess

import pytest

from optbench import environment
from optbench.environment import (
    available_cores,
    capture,
    cgroup_directories,
    cpu_quota_cores,
    frequency,
    git_state,
    gpus,
    machine_fingerprint,
    memory_limit_bytes,
    parse_cpuinfo,
    versions,
)


def files(root, contents):
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "model", "flags"),
    [
        ("model name\t: A CPU\nflags\t\t: fpu avx2\n\nmodel name : other\n", "A CPU", {"fpu", "avx2"}),
        ("Hardware : Board\nFeatures : fp asimd\n", "Board", {"fp", "asimd"}),
        ("", None, set()),
    ],
)
def test_cpuinfo_of_both_families(text, model, flags):
    assert parse_cpuinfo(text) == (model, flags)


def test_the_tightest_quota_of_nested_groups_holds(tmp_path):
    root = files(
        tmp_path,
        {
            "proc/self/cgroup": "0::/outer/inner\n",
            "sys/fs/cgroup/outer/inner/cpu.max": "max 100000\n",
            "sys/fs/cgroup/outer/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/outer/memory.max": "1073741824\n",
            "sys/fs/cgroup/outer/inner/memory.max": "max\n",
        },
    )
    assert cpu_quota_cores(root) == 1.5
    assert memory_limit_bytes(root) == 1 << 30


def test_the_first_version_of_groups_has_a_tree_for_each_controller(tmp_path):
    root = files(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/box\n3:memory:/box\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert cpu_quota_cores(root) == 0.5
    assert memory_limit_bytes(root) is None
    assert cgroup_directories(root, "cpu") == [root / "sys/fs/cgroup/cpu/box", root / "sys/fs/cgroup/cpu"]


def test_without_groups_there_is_no_quota(tmp_path):
    assert cpu_quota_cores(tmp_path) is None
    assert memory_limit_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("quota", "affinity", "cores"), [(None, 6, 6), (2.9, 6, 2), (0.5, 6, 1), (8.0, 6, 6), (1.0, 1, 1)]
)
def test_threads_follow_affinity_and_whole_cores_of_the_quota(monkeypatch, quota, affinity, cores):
    monkeypatch.setattr(environment, "cpu_quota_cores", lambda: quota)
    monkeypatch.setattr(environment, "affinity_cores", lambda: affinity)
    assert available_cores() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_a_pinned_process_has_as_many_cores_as_it_is_pinned_to():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_governor_is_read_or_its_absence_explained(tmp_path):
    assert "no cpufreq" in frequency(tmp_path)["reason"]
    place = "sys/devices/system/cpu/cpu0/cpufreq"
    root = files(
        tmp_path,
        {
            f"{place}/scaling_governor": "powersave\n",
            f"{place}/scaling_driver": "intel_pstate\n",
            f"{place}/cpuinfo_min_freq": "800000\n",
            f"{place}/cpuinfo_max_freq": "3000000\n",
        },
    )
    assert frequency(root) == {
        "governor": "powersave",
        "driver": "intel_pstate",
        "min_hertz": 800_000_000,
        "max_hertz": 3_000_000_000,
    }


def test_versions_of_what_is_not_installed_are_null():
    found = versions(("numpy", "no-such-distribution"))
    assert found["numpy"][0].isdigit()
    assert found["no-such-distribution"] is None


def test_graphics_cards_are_named_by_their_driver(tmp_path):
    root = files(tmp_path, {"proc/driver/nvidia/gpus/0/information": "Model: \t NVIDIA H200\nIRQ: 1\n"})
    assert gpus(root) == ["NVIDIA H200"]
    assert gpus(tmp_path / "none") == []


def git(directory, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(directory), *who, *arguments], check=True, capture_output=True)


def test_a_checkout_is_named_with_whether_it_was_changed(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == {**clean, "dirty": True}


def test_outside_a_checkout_the_reason_stands_there(tmp_path):
    assert "is in no git checkout" in git_state(tmp_path)["reason"]


def test_the_record_is_plain_json_and_whole(tmp_path):
    record = capture(tmp_path)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["machine"] == machine_fingerprint()
    assert record["cores_available"] >= 1
    assert record["memory_bytes"] > 0
    assert record["clock_resolution_seconds"] > 0
    assert {"torch", "onnxruntime", "transformers", "optimum", "datasets", "numpy"} <= set(record["versions"])


def test_the_fingerprint_is_stable():
    first = machine_fingerprint()
    machine_fingerprint.cache_clear()
    assert machine_fingerprint() == first
    assert len(first) == 12
