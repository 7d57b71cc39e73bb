"""Questions and contexts as windows of tokens, and answers as pieces of a context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Feed = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Window:
    """One input: its row, its encoding, and the context's characters of each token (null elsewhere)."""

    row: int
    encoding: Any
    spans: list[tuple[int, int] | None]


@dataclass(frozen=True)
class Reader:
    """Cuts windows and finds answers in them.

    max_length: tokens of a window, question included; the other fields are those of the task
    question-answering. null_threshold: null where every question has an answer.
    """

    tokenizer: Any
    max_length: int
    doc_stride: int
    n_best: int
    max_answer_length: int
    null_threshold: float | None

    def windows(self, questions: Sequence[str], contexts: Sequence[str]) -> list[Window]:
        """One window or more for each question. Raises DataError where a question fills its window."""
        windows = []
        for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
            try:
                encoding = self.tokenizer(
                    question,
                    context,
                    truncation="only_second",
                    max_length=self.max_length,
                    stride=min(self.doc_stride, self.max_length // 2),
                    return_overflowing_tokens=True,
                    return_offsets_mapping=True,
                )
            except Exception as error:  # the tokenizer's own kind, where a question fills the window
                raise DataError(
                    f"the question in row {row} leaves no room for its context in {self.max_length} tokens; "
                    "raise task.max_length, or lower task.doc_stride"
                ) from error
            for one in encoding.encodings:
                spans = [
                    (int(start), int(end)) if part == 1 else None
                    for (start, end), part in zip(one.offsets, one.sequence_ids, strict=True)
                ]
                windows.append(Window(row, one, spans))
        return windows

    def feed(self, encoding: Any) -> Feed:
        """Model inputs of one encoding: int64 [length] by input name."""
        import numpy as np

        parts = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        return {name: np.asarray(parts[name], dtype=np.int64) for name in self.tokenizer.model_input_names}

    def answers(
        self, windows: Sequence[Window], outputs: Sequence[Mapping[str, Any]], contexts: Sequence[str]
    ) -> list[str]:
        """The answer to each question, from the logits of all windows; empty where none is given."""
        best: list[tuple[float, str]] = [(float("-inf"), "")] * len(contexts)
        nothing = [float("inf")] * len(contexts)
        for window, output in zip(windows, outputs, strict=True):
            row = window.row
            nothing[row] = min(nothing[row], float(output["start_logits"][0] + output["end_logits"][0]))
            found = self._best_span(window, output["start_logits"], output["end_logits"])
            if found is not None and found[0] > best[row][0]:
                best[row] = (found[0], contexts[row][found[1] : found[2]])
        if self.null_threshold is None:
            return [text for _, text in best]
        return [
            "" if none - score > self.null_threshold else text
            for (score, text), none in zip(best, nothing, strict=True)
        ]

    def _best_span(self, window: Window, starts: Any, ends: Any) -> tuple[float, int, int] | None:
        """(score, first character, last character) of the best valid answer; null where there is none."""
        spans, best = window.spans, None
        candidates = [
            range(len(spans)) if len(spans) <= self.n_best else top(side, self.n_best)
            for side in (starts, ends)
        ]
        for start in candidates[0]:
            first = spans[start]
            if first is None:
                continue
            for end in candidates[1]:
                last = spans[end]
                if last is None or not start <= end < start + self.max_answer_length:
                    continue
                score = float(starts[start] + ends[end])
                if best is None or score > best[0]:
                    best = (score, first[0], last[1])
        return best


def top(values: Any, count: int) -> list[int]:
    """Positions of the largest values, the largest first; ties in their order."""
    import numpy as np

    return [int(position) for position in np.argsort(-values, kind="stable")[:count]]
