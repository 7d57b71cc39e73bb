"""What is said of a variant before its workers are made."""

from types import SimpleNamespace

import pytest

from optbench.stages.preparing import crowding


@pytest.mark.parametrize(
    ("threads", "processes", "cores", "told"),
    [
        (99, 1, 2, ["99 threads on 2 usable cores: they take turns"]),
        (2, 1, 1, ["2 threads on 1 usable core: they take turns"]),
        (2, 3, 4, ["3 processes of 2 threads on 4 usable cores: they take turns"]),
        (2, 1, 2, []),
        (1, 2, 2, []),
    ],
)
def test_more_threads_than_cores_are_measured_and_said(threads, processes, cores, told):
    config = SimpleNamespace(threads="auto", measure=SimpleNamespace(processes=processes))
    assert crowding(config, SimpleNamespace(threads=threads), cores) == told
