"""What a model is asked to do, and labelled rows as such a task sees them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optbench.components.component import Component, component_name
from optbench.components.data import Dataset
from optbench.components.session import ModelSpec, Pipeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components.session import Feed
    from optbench.quality.row_metric import RowMetric
    from optbench.quality.rows import Statistics


Kind = Literal["classification", "regression", "structured"]


@dataclass
class Task(Component, ABC):
    """What the model is asked to do: its preprocessing, postprocessing and metrics."""

    model_class: ClassVar[str]
    """Name of the transformers Auto class."""

    export_task: ClassVar[str]
    """Task name of the ONNX exporter."""

    has_length: ClassVar[bool] = True
    """Whether input_length means anything: the inputs are sequences of tokens."""

    labels_show_in: ClassVar[Literal["columns", "rows"] | None] = None
    """What tells whether labels are the model's: plain columns, or rows once read; null if any will do."""

    evaluation_batch_size: ClassVar[int | None] = None
    """Rows that are evaluated together unless the config says otherwise; null leaves it to the run."""

    pipeline_imports: ClassVar[tuple[str, ...]] = ("transformers.models.auto.tokenization_auto",)
    """Modules that `pipeline` needs; template processes import them once."""

    @property
    def generated_tokens(self) -> int | None:
        """New tokens that a timed call generates; null where a call is one forward pass."""
        return None

    @abstractmethod
    def supports(self, spec: ModelSpec) -> str | None:
        """None, or why such a model cannot do this task."""

    @abstractmethod
    def examples(self, spec: ModelSpec, dataset: Dataset, rows: Any) -> Examples:
        """`rows` bound to this task and model: checked, aligned, ready to encode. Raises DataError."""

    @abstractmethod
    def random_feed(self, spec: ModelSpec, shape: tuple[int, int], seed: int) -> Feed:
        """Model inputs of `shape` (batch, length) with seeded random content."""

    @abstractmethod
    def padding(self, spec: ModelSpec) -> dict[str, int]:
        """What fills the end of shorter rows in a batch, by input name."""

    def unlabelled(
        self, spec: ModelSpec, dataset: Dataset, columns: Mapping[str, Sequence[Any]]
    ) -> str | None:
        """Why rows with these plain columns have no labels; null where they have some that are the model's.

        For a plan, of a task whose `labels_show_in` them. Raises DataError as `examples` does.
        """
        return None

    def refuses_pipeline(self) -> str | None:
        """None, or why there is no `pipeline`."""
        name = component_name(self)
        return f"task={name} cannot be timed from raw rows to answers; use measure.scope=model"

    def pipeline(self, spec: ModelSpec) -> Pipeline:
        """How raw rows (`Examples.raw`) become answers. Heavy: loads the tokenizer or image processor."""
        raise ValueError(self.refuses_pipeline())

    def kept(self, feed: Feed, outputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """What of one row's outputs the worker keeps; `feed` is the row, unpadded. All, unless overridden.

        Runs in the worker: it may use numpy and nothing heavier.
        """
        return outputs


class Examples(ABC):
    """Labelled rows as a task sees them.

    kind: 'classification' (an answer is a label), 'regression' (a number), else 'structured'.
    columns: which column serves as what, such as {'primary': 'sentence', 'reference': 'label'}.
    notes: what was guessed or assumed, said aloud in the result. failed: rows that could not be read or
    encoded, by number, and why; they are in no list below. metrics: of this task's own, by name.
    """

    kind: Kind
    columns: dict[str, str]
    notes: list[str]

    def __init__(self) -> None:
        self.failed: dict[int, str] = {}
        self.metrics: dict[str, RowMetric] = {}

    @abstractmethod
    def encoded(self) -> list[Feed]:
        """Model inputs of each row, unpadded: arrays without a batch axis.

        Names that begin with an underscore are for `Task.kept` and never reach the model. A row may
        have several entries here; outputs come back in the same number and order.
        """

    @abstractmethod
    def cut(self, shape: tuple[int, int], seed: int) -> Feed:
        """Real rows cut and padded to `shape` (batch, length)."""

    @abstractmethod
    def references(self) -> list[Any] | None:
        """The right answer of each row; null for a dataset without labels."""

    @abstractmethod
    def predictions(self, outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The model's answer for each row, in the form of the references; null where it has none."""

    @abstractmethod
    def default_metrics(self) -> list[str]:
        """Metrics that are computed when none are named."""

    @abstractmethod
    def texts(self) -> list[str]:
        """Each row in words, for lists that people read."""

    def raw(self) -> list[Any]:
        """Each row as its task's `pipeline` takes it; empty for tasks that have none."""
        return []

    def statistics(self, outputs: Sequence[Mapping[str, Any]]) -> Statistics:
        """What each row contributes to `metrics`, by name; empty without references."""
        return {}

    def against(
        self, outputs: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]]
    ) -> Statistics:
        """What each row contributes to `metrics` that hold a variant against the baseline's own answers."""
        return {}

    def logits(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """Logits of each row [positions, classes], padding left out; empty where there are none."""
        return []

    def vectors(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """Embeddings of the rows [dimensions], one or more of each; empty where there are none."""
        return []

    def groups(self) -> dict[str, list[str]]:
        """Name of the group that each row belongs to, by what divides them, such as 'class'."""
        return {}
