"""What every plug-in is: a dataclass with its config fields and its behaviour, registered by name.

`@register("backend", "onnxruntime")` stores the dataclass as `onnxruntime_schema` in Hydra's config
store; `conf/backend/onnxruntime.yaml` starts with `defaults: [onnxruntime_schema, _self_]` and adds the
values. `OmegaConf.to_object` then gives the object itself. A plug-in module imports no heavy library at
its top: the command line reads all of them before it knows which one will run.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from optbench.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.quality.rows import RowMetric, Statistics
    from optbench.records import KernelReport

    Feed = Mapping[str, NDArray[np.generic]]

Kind = Literal["classification", "regression", "structured"]

ComponentType = TypeVar("ComponentType", bound="type[Component]")


class WaitPolicy(Enum):
    """How a runtime's threads wait for work: as it ships, asleep at once, or spinning."""

    runtime = "runtime"
    passive = "passive"
    active = "active"


class Priority(Enum):
    """Of worker processes: raised above all other work where the system permits, or as they come."""

    raised = "raised"
    normal = "normal"


@dataclass
class Component:
    """Base of all config parts.

    extra: the optional dependency group that brings `packages`, the modules this part needs.
    label_fields: what is told beside the name where a field differs from its default: words by field,
        with {} for the value.
    """

    extra: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    label_fields: ClassVar[Mapping[str, str]] = {}

    def label(self) -> str:
        """The name, and what of `label_fields` is not as usual: 'pytorch bfloat16'."""
        usual = {one.name: one.default for one in dataclasses.fields(self)}
        words = [component_name(self)]
        for name, text in self.label_fields.items():
            if (value := getattr(self, name)) != usual[name]:
                value = value.value if isinstance(value, Enum) else value
                words.append(text.format(str(value).lower() if isinstance(value, bool) else value))
        return " ".join(words)

    def missing_extra(self) -> MissingExtra | None:
        """The error to raise if a package of `extra` is not installed."""
        if all(map(is_installed, self.packages)):
            return None
        return MissingExtra(component_name(self), f"pip install 'optbench[{self.extra}]'")

    def problems(self) -> list[str]:
        """Each finding as 'key must ..., got ...; do ...', keys relative to this component."""
        return []


_registered: dict[tuple[str, str], str] = {}
"""Module of the class behind each group and name."""


def is_installed(package: str) -> bool:
    """Whether a package can be imported; a folder of its name that lies about, as W&B leaves one, is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def register(group: str, name: str) -> Callable[[ComponentType], ComponentType]:
    """Class decorator: store the dataclass as `<name>_schema` of a config group.

    Raises ValueError where another module has taken the name.
    """

    def store(cls: ComponentType) -> ComponentType:
        owner = _registered.setdefault((group, name), cls.__module__)
        if owner != cls.__module__:
            raise ValueError(f"{group}={name} is registered by {owner} already; choose another name")
        ConfigStore.instance().store(group=group, name=f"{name}_schema", node=cls, replace=True)
        cls.registered_name = name  # type: ignore[attr-defined]
        return cls

    return store


def component_name(component: Component) -> str:
    """The name a component was registered under, such as 'onnxruntime'."""
    return str(getattr(component, "registered_name", type(component).__name__))


def walk(node: object, path: str = "") -> Iterator[tuple[str, Component]]:
    """All components of a config tree with their dotted paths, parents first."""
    if isinstance(node, Component):
        yield path, node
    if isinstance(node, Mapping):
        children: Sequence[tuple[str, object]] = [(str(key), value) for key, value in node.items()]
    elif isinstance(node, list):
        children = [(str(index), value) for index, value in enumerate(node)]
    elif dataclasses.is_dataclass(node) and not isinstance(node, type):
        children = [(f.name, getattr(node, f.name)) for f in dataclasses.fields(node)]
    else:
        return
    for name, child in children:
        yield from walk(child, f"{path}.{name}" if path else name)


def collect_problems(root: Component) -> list[str]:
    """Problems of every component of the tree, each led by its full key, parents first."""
    return [
        f"{path}.{problem}" if path else problem
        for path, component in walk(root)
        for problem in component.problems()
    ]


def check(root: Component) -> None:
    """Raise one ConfigError that holds every problem of the tree."""
    if problems := collect_problems(root):
        raise ConfigError(*problems)


@dataclass(frozen=True)
class ModelSpec:
    """What a checkpoint's own files say about it; known before anything is loaded.

    max_length: the longest input in tokens; null where the model sets no limit.
    trust_remote_code: whether Python code beside the weights may be run.
    """

    directory: Path
    model_type: str
    labels: tuple[str, ...]
    vocab_size: int | None
    max_length: int | None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Artifact:
    """Files that a backend can load, and how they were made.

    format: 'transformers' (a checkpoint directory), 'onnx' (a directory that holds model.onnx) or
        'openvino' (one that holds model.xml and model.bin).
    step_seconds: seconds by preparation step, such as {'export': 3.1, 'quantize': 0.9}.
    model: directory of the checkpoint that all began with; empty where it is not known.
    history: what each step read and did, first step first. notes: what the reader of a result should know.
    """

    directory: Path
    format: str
    sha256: str
    size_bytes: int
    details: dict[str, Any] = field(default_factory=dict)
    step_seconds: dict[str, float] = field(default_factory=dict)
    from_cache: bool = False
    model: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LoadOptions:
    """How a session is loaded; the same settings for every runtime.

    priority: whether to ask the scheduler to prefer the worker to all other work.
    quantization: for runtimes that quantize a module in memory (`Quantization.transform`).
    closed_loop: whether another variant is timed as soon as a call returns, so that threads must not
    go on waiting actively; else they wait as they ship.
    new_tokens: of each call, which is then a whole generation (`optbench.generation`); null where a call
    is one forward pass.
    trust_remote_code: whether Python code beside the weights may be run.
    """

    threads: int
    wait_policy: WaitPolicy
    graph_level: str
    model_class: str
    closed_loop: bool = True
    priority: Priority = Priority.raised
    quantization: Quantization | None = None
    new_tokens: int | None = None
    trust_remote_code: bool = False


class Session(Protocol):
    """A loaded model, ready to be called. Lives inside one worker process.

    The first feed that is bound has the shape that will be timed.
    """

    def bind(self, feed: Feed) -> Any:
        """`feed` in the runtime's own form, made once, outside the timed calls."""

    def forward(self, bound: Any) -> Any:
        """One forward pass over bound inputs; returns the runtime's own outputs."""

    def outputs(self, raw: Any) -> dict[str, NDArray[np.generic]]:
        """What `forward` returned, copied into arrays by output name."""

    def synchronize(self) -> None:
        """Wait until the device has finished; does nothing where `forward` already waits."""

    def settings(self) -> dict[str, Any]:
        """What the runtime says it runs with; `threads` is read back, never assumed."""

    def weights_bytes(self) -> int | None:
        """Bytes of the weights as loaded; null where the artifact's files are the weights."""


@runtime_checkable
class Generating(Protocol):
    """A session whose calls have two phases: until the first token, and from there to the last."""

    def take_first_tokens(self) -> list[int]:
        """Nanoseconds from the start of a call to its first token, of each call since last asked."""


class Pipeline(Protocol):
    """What a task does around the model, from raw rows to answers. Lives in a worker process."""

    def encode(self, rows: Sequence[Any]) -> tuple[Feed, Any]:
        """Model inputs of raw rows [batch, ...], padded to the longest, and what `decode` must know."""

    def decode(self, outputs: Mapping[str, NDArray[np.generic]], encoded: Any) -> list[Any]:
        """The answer to each row, as `Examples.predictions` gives it."""


@dataclass
class Model(Component, ABC):
    """Where the checkpoint comes from.

    path: where it is.
    trust_remote_code: run Python code that comes with the checkpoint; without it one that needs such
    code is refused.
    """

    path: str = MISSING
    trust_remote_code: bool = False

    @abstractmethod
    def resolve(self) -> Path:
        """The local directory of the checkpoint. Raises DataError that says what to do."""


@dataclass
class DataKeys(Component):
    """Columns that hold the model's input.

    primary: the text, the question, the words or the image. secondary: the second sentence of a pair, or
    the context of a question. null: guessed where there is no doubt.
    """

    primary: str | None = None
    secondary: str | None = None


@dataclass
class Dataset(Component, ABC):
    """Where labelled rows come from, and which columns hold what.

    path: where the rows are.
    eval_split: the rows that are evaluated. calibration_split: those that static int8 finds its scales
    with; null takes rows that are not evaluated.
    streaming: read the rows once and keep only the sample that is drawn, for data beyond the memory.
    ref_keys: columns that hold the right answer; empty: guessed where there is no doubt.
    """

    path: str = MISSING
    eval_split: str = "test"
    calibration_split: str | None = None
    streaming: bool = False
    data_keys: DataKeys = field(default_factory=DataKeys)
    ref_keys: list[str] = field(default_factory=list)

    @abstractmethod
    def load(self, split: str) -> Any:
        """The rows of a split as a `datasets.Dataset`. Raises DataError."""

    def rows_known(self, split: str) -> int | None:
        """How many rows a split has, where that can be told without loading it; else null.

        Raises DataError where it is known that there is nothing to load.
        """
        return None

    def sample(self, split: str, count: int, seed: int) -> tuple[Any, int]:
        """`count` seeded rows of a split, in its order, read as a stream; and how many it held.

        All of them if they are fewer. Raises DataError, ConfigError where it cannot be read so.
        """
        raise ConfigError(f"dataset.streaming must be false for dataset={component_name(self)}")


@dataclass
class Task(Component, ABC):
    """What the model is asked to do: its preprocessing, postprocessing and metrics."""

    model_class: ClassVar[str]
    """Name of the transformers Auto class."""

    export_task: ClassVar[str]
    """Task name of the ONNX exporter."""

    has_length: ClassVar[bool] = True
    """Whether input_length means anything: the inputs are sequences of tokens."""

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


@dataclass(frozen=True)
class ModuleTraits:
    """How a runtime holds the PyTorch module that a quantization may change in memory.

    device: as PyTorch names it. arithmetic: floating-point type it computes in. compiled: whether
    calls run a graph that was traced from the module.
    """

    device: str
    arithmetic: str
    compiled: bool


@dataclass
class Backend(Component, ABC):
    """A runtime that loads an artifact and runs it.

    compiles: whether a session's first call compiles, so that a second one must tell for how long.
    """

    artifact_formats: ClassVar[tuple[str, ...]]
    """Formats that `load` reads; a checkpoint is turned into the first of them."""

    imports: ClassVar[tuple[str, ...]]
    """Modules that `load` needs; a worker imports them first, and the time is reported apart."""

    can_generate: ClassVar[bool] = False
    """Whether `load` heeds `LoadOptions.new_tokens`."""
    compiles: ClassVar[bool] = False

    has_integer_operators: ClassVar[bool] = False
    """Whether it runs ONNX Runtime's operators in integers, such as QGemm."""

    def module_traits(self) -> ModuleTraits | None:
        """What `Quantization.transform` would meet; null where `load` does not call it."""
        return None

    def cautions(self, session: Session) -> list[str]:
        """What went otherwise than asked in a session so far, one sentence each."""
        return []

    def compiled_before(self, session: Session) -> bool:
        """Whether the first call found what it would have compiled in a cache."""
        return False

    def may_fork(self) -> bool:
        """Whether workers may be forked from a process that has imported the runtime."""
        return True

    @abstractmethod
    def supports(self, spec: ModelSpec, graph: Graph) -> str | None:
        """None, or why this backend cannot run such a model at such a graph level."""

    def cautions_about(self, quantization: Quantization) -> list[str]:
        """What is known to go wrong with such a quantization in this runtime, one sentence each."""
        return []

    @abstractmethod
    def environment(self, threads: int, wait_policy: WaitPolicy) -> dict[str, str]:
        """Environment variables that must stand before the runtime is imported. May raise Unsupported."""

    @abstractmethod
    def load(self, artifact: Artifact, options: LoadOptions) -> Session:
        """The artifact, loaded. Raises DataError where its files cannot be read."""

    def kernels(self, artifact: Artifact, options: LoadOptions, feed: Feed) -> KernelReport | None:
        """What really runs in integer kernels, as the runtime itself tells; null where it does not."""
        return None


@dataclass
class Graph(Component):
    """How far the graph is rewritten: by the runtime when it loads, or in a file of its own before."""

    level: str = MISSING

    @property
    def session_level(self) -> str:
        """The level that the runtime itself is asked for; 'default' says nothing to it."""
        return self.level

    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """None, or why such a model cannot be rewritten so for this backend."""
        return None

    def recipe(self) -> dict[str, Any] | None:
        """Everything that changes the rewritten file; null where no file is written."""
        return None

    def apply(self, source: Path, target: Path) -> dict[str, Any]:
        """Write the rewritten model.onnx of directory `source` to `target`; returns what was done."""
        raise ValueError(f"graph={self.level} has nothing to apply to {source}")


@dataclass
class Quantization(Component, ABC):
    """How weights or activations are made smaller: in files, or in memory when a module is loaded.

    source_format, target_format: formats that `apply` reads and writes; without a target the artifact
    stays as it is and `transform` changes the loaded module.
    """

    source_format: ClassVar[str | None] = None
    target_format: ClassVar[str | None] = None

    answers_depend_on_batch: ClassVar[bool] = False
    """Whether activation scales are those of a whole batch, so that rows change each other's answers."""

    @abstractmethod
    def supports(self, spec: ModelSpec, backend: Backend) -> str | None:
        """None, or why such a model cannot be quantized so for this backend."""

    @abstractmethod
    def recipe(self) -> dict[str, Any] | None:
        """Everything that changes the outcome; null where nothing is quantized."""

    def calibration_rows(self) -> int:
        """How many rows `apply` wants to see; 0 where it needs none."""
        return 0

    def cautions(self) -> list[str]:
        """What is known to go wrong with this recipe on this machine, one sentence each."""
        return []

    def excluding(self, nodes: Sequence[str]) -> Quantization | None:
        """The same recipe with these nodes of the graph left in floating point; null if it cannot."""
        return None

    def apply(self, source: Path, target: Path, calibration: Sequence[Feed]) -> dict[str, Any]:
        """Write the quantized model of directory `source` to `target`; returns what was done.

        calibration: encoded rows, unpadded, without a batch axis; empty where none were asked for.
        """
        raise ValueError(f"quant={component_name(self)} has nothing to apply to {source}")

    def transform(self, module: Any) -> Any:
        """The loaded PyTorch module, quantized in memory; as it is unless overridden."""
        return module


def wrong_format(quantization: Quantization, what: str, backend: Backend, use: str) -> str | None:
    """None if `backend` loads `what` a quantization makes, else the reason, and what to `use`."""
    if quantization.target_format in backend.artifact_formats:
        return None
    return (
        f"quant={component_name(quantization)} makes {what}, and backend={component_name(backend)} loads "
        f"{' or '.join(backend.artifact_formats)}; use {use} or quant=none"
    )


def not_in_memory(quantization: Quantization, backend: Backend) -> str | None:
    """None if `backend` lets a quantization change the module that it has loaded, else the reason."""
    if backend.module_traits() is not None:
        return None
    return (
        f"quant={component_name(quantization)} changes a PyTorch module in memory, and "
        f"backend={component_name(backend)} loads none; use backend=pytorch or quant=none"
    )
