"""Several processes as one worker: what their blocks come to."""

import pytest

from optbench.errors import WorkerError
from optbench.measure.counters import ProcessCounters
from optbench.measure.samples import Block
from optbench.measure.schedule import WarmupRule
from optbench.processes.group import WorkerGroup, added, joined


class Process:
    """Stands in for a RemoteWorker; what it is sent, it answers from a list."""

    def __init__(self, *answers, switches=ProcessCounters(1, 2)):
        self.child = self
        self.sent = []
        self.closed = False
        self.switches = switches
        self._answers = list(answers)

    def send(self, *request):
        self.sent.append(request)

    def answer_within_limit(self):
        return self._answers.pop(0)

    def counters(self):
        return self.switches

    def close(self):
        self.closed = True


def test_a_joined_block_lasts_from_the_first_counted_call_to_the_last_end():
    one = Block([50, 10, 10], 1, 18, 1000)
    two = Block([20, 30, 30], 1, 55, 1020)
    both = joined([one, two])
    assert both.nanoseconds == [50, 20, 10, 10, 30, 30]
    assert both.settling == 2
    assert both.counted_calls == 4
    assert both.cpu_nanoseconds == 73
    assert both.started_nanoseconds == 1000
    assert both.counted_nanoseconds == (1020 + 80) - (1020 + 20)


def test_first_tokens_are_joined_in_the_order_of_the_calls():
    one = Block([50, 10, 10], 1, 18, 1000, first_token_nanoseconds=[20, 1, 2])
    two = Block([20, 30, 30], 1, 55, 1020, first_token_nanoseconds=[10, 3, 4])
    assert joined([one, two]).first_token_nanoseconds == [20, 10, 1, 2, 3, 4]
    assert joined([Block([5, 6], 1, 1, 0)]).first_token_nanoseconds is None


def test_times_of_the_model_are_joined_likewise():
    one = Block([50, 10, 10], 1, 18, 1000, model_nanoseconds=[40, 8, 9])
    two = Block([20, 30, 30], 1, 55, 1020, model_nanoseconds=[10, 25, 26])
    assert joined([one, two]).model_nanoseconds == [40, 10, 8, 9, 25, 26]
    assert joined([one, two]).first_token_nanoseconds is None


def test_all_processes_are_asked_before_the_first_answer_is_awaited():
    order = []

    class Ordered(Process):
        def send(self, *request):
            order.append("sent")

        def answer_within_limit(self):
            order.append("answered")
            return Block([1, 2], 1, 2, 0)

    WorkerGroup([Ordered(), Ordered()]).time_block(3, 1, 1)
    assert order == ["sent", "sent", "answered", "answered"]


def test_every_process_gets_the_same_request():
    processes = [Process(Block([1, 2], 1, 2, 0)), Process(Block([1, 3], 1, 3, 0))]
    WorkerGroup(processes).time_block(3, 1, 1)
    assert [process.sent for process in processes] == [[("time_block", 3, 1, 1)]] * 2


def test_the_slowest_warm_up_counts():
    group = WorkerGroup([Process([9, 5]), Process([9, 7]), Process([9, 6])])
    assert group.warm_up(WarmupRule()) == [9, 7]


@pytest.mark.parametrize(("counts", "total"), [([1, 2], 3), ([1, None], None), ([], 0)])
def test_what_one_process_cannot_tell_the_group_cannot(counts, total):
    assert added(counts) == total


def test_counters_are_added_and_all_are_closed():
    processes = [Process(), Process(switches=ProcessCounters(10, None))]
    group = WorkerGroup(processes)
    assert group.counters() == ProcessCounters(11, None)
    group.close()
    assert all(process.closed for process in processes)


def test_what_the_processes_caution_against_is_said_once():
    one, two = Process(), Process()
    one.cautions = lambda: ["a", "b"]
    two.cautions = lambda: ["b", "c"]
    assert WorkerGroup([one, two]).cautions() == ["a", "b", "c"]


def test_if_one_does_not_come_up_the_others_are_closed():
    made = []

    def fresh():
        if len(made) == 2:
            raise WorkerError("no memory")
        made.append(Process())
        return made[-1]

    with pytest.raises(WorkerError, match="no memory"):
        WorkerGroup.of(3, fresh)
    assert [process.closed for process in made] == [True, True]


def test_the_rows_are_shared_out():
    processes = [Process(), Process()]
    for process in processes:
        process.receive = lambda: 0.1
    assert WorkerGroup(processes).evaluate("plan") >= 0
    assert [process.sent for process in processes] == [
        [("evaluate", "plan", 0, 2)],
        [("evaluate", "plan", 1, 2)],
    ]
