"""Counters of the host and of processes, from literal /proc texts."""

import sys

import pytest

from optbench.measure.counters import (
    HostCounters,
    busiest_others,
    others_cpu_cores,
    parse_cpu_times,
    parse_pressure,
    parse_process,
    parse_swap,
    probe,
    probe_spread,
    process_cores,
    read_host_counters,
    read_process_counters,
)

STAT = "4242 (my (odd) name) S 1 4242 4242 0 -1 {flags} 1 0 0 0 250 50 0 0 20 0 1 0 100 0 0"


def host(seconds, busy=0.0, processes=None):
    return HostCounters(seconds, busy, 0.0, 0, 0, 0, None, processes or {})


def test_busy_time_leaves_out_idle_and_waiting_for_disks():
    text = "cpu  100 20 30 1000 500 5 6 70 80 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert parse_cpu_times(text, 100) == (1.61, 0.7)


@pytest.mark.parametrize("text", ["", "intr 5\n", "cpu 1 2\n"])
def test_a_damaged_stat_tells_nothing(text):
    assert parse_cpu_times(text, 100) == (None, None)


def test_pressure_and_swap_are_read_from_their_lines():
    assert parse_pressure("some avg10=1.00 avg60=0.5 avg300=0.1 total=123\nfull avg10=0 total=9\n") == 123
    assert parse_pressure("") is None
    assert parse_swap("pgpgin 1\npswpin 3\npswpout 4\n") == 7
    assert parse_swap("nothing 1\n") is None


def test_a_name_may_hold_spaces_and_parentheses():
    assert parse_process(STAT.format(flags=4194304), 100) == ("my (odd) name", 3.0)


def test_threads_of_the_kernel_are_nobodys_neighbours():
    assert parse_process(STAT.format(flags=0x00200040), 100) is None


@pytest.mark.parametrize(
    "text", ["", "1 (x) S 1 2", "no parentheses here at all 1 2 3 4 5 6 7 8 9 10 11 12 13 14"]
)
def test_a_damaged_process_is_left_out(text):
    assert parse_process(text, 100) is None


def test_others_are_all_but_our_own():
    before = host(0, 10.0, {1: ("we", 1.0), 2: ("they", 5.0)})
    after = host(2, 13.0, {1: ("we", 2.0), 2: ("they", 6.0)})
    assert others_cpu_cores(before, after, {1}) == pytest.approx((3.0 - 1.0) / 2)
    assert others_cpu_cores(host(0, None), after, {1}) is None
    assert others_cpu_cores(before, host(2, 10.1, {1: ("we", 9.0)}), {1}) == 0.0


def test_a_process_that_came_meanwhile_or_took_a_number_over_counts_from_zero():
    before = host(0, 0, {2: ("old", 50.0)})
    after = host(1, 0, {2: ("new", 0.5), 3: ("late", 0.25)})
    assert process_cores(before, after) == {2: 0.5, 3: 0.25}


def test_the_busiest_neighbours_come_first_and_idle_ones_not_at_all():
    before = host(0)
    after = host(10, 0, {1: ("we", 9.0), 2: ("busy", 8.0), 3: ("less", 4.0), 4: ("idle", 0.1)})
    assert [(found.pid, found.cores) for found in busiest_others(before, after, {1})] == [(2, 0.8), (3, 0.4)]


def test_the_spread_of_the_probe_is_robust():
    assert probe_spread([100, 100, 100, 100]) is None
    assert probe_spread([100, 102, 98, 100, 9000]) == pytest.approx(1.4826 * 2 / 100)
    assert probe() > 0


def test_a_host_of_files(tmp_path):
    proc = tmp_path / "proc"
    (proc / "pressure").mkdir(parents=True)
    (proc / "stat").write_text("cpu  100 0 0 5 0 0 0 0 0 0\n")
    (proc / "pressure/cpu").write_text("some avg10=0 avg60=0 avg300=0 total=77\n")
    (proc / "vmstat").write_text("pswpin 1\npswpout 1\n")
    (proc / "4242").mkdir()
    (proc / "4242/stat").write_text(STAT.format(flags=0))
    frequency = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    frequency.mkdir(parents=True)
    (frequency / "scaling_cur_freq").write_text("2000000\n")
    found = read_host_counters(tmp_path)
    assert found.psi_some_microseconds == 77
    assert found.swap_pages == 2
    assert found.frequency_hertz == 2e9
    assert set(found.processes) == {4242}


def test_a_system_without_proc_tells_nothing(tmp_path):
    found = read_host_counters(tmp_path)
    assert (found.busy_seconds, found.psi_some_microseconds, found.frequency_hertz) == (None, None, None)
    assert found.processes == {}
    assert read_process_counters(tmp_path).voluntary_switches is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine_tells_and_its_counters_only_rise():
    before, after = read_host_counters(), read_host_counters()
    assert after.busy_seconds >= before.busy_seconds
    assert read_process_counters().voluntary_switches >= 0
