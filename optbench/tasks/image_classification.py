"""Image classification, with the checkpoint's own image processor (Pillow alone, no torchvision)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.components import Dataset, Examples, ModelSpec, Task, register
from optbench.errors import DataError
from optbench.quality.row_metric import RowMetric
from optbench.rows.columns import (
    REFERENCE_NAMES,
    class_indices,
    labels_in,
    require,
    row_in_file,
    without_labels,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optbench.components import Feed
    from optbench.quality.rows import Statistics

IMAGE_NAMES = ("image", "img", "pixels", "pixel_values", "picture")
TOP = 5
TOP5 = RowMetric("top5", True, "share of rows with the right class among the first 5", is_binary=True)


@register("task", "image-classification")
@dataclass
class ImageClassification(Task):
    """One label for each image: image files, bytes, or arrays of pixels [height, width(, channels)].

    label_map: dataset label to model label, where their names differ.
    """

    label_map: dict[Any, Any] | None = None

    labels_show_in = "rows"
    model_class: ClassVar[str] = "AutoModelForImageClassification"
    export_task: ClassVar[str] = "image-classification"
    has_length: ClassVar[bool] = False
    pipeline_imports: ClassVar[tuple[str, ...]] = ("transformers.models.auto.image_processing_auto",)

    def supports(self, spec: ModelSpec) -> str | None:
        """A model with an image processor."""
        if (spec.directory / "preprocessor_config.json").is_file():
            return None
        return f"task=image-classification needs a preprocessor_config.json, and {spec.directory} has none"

    def examples(self, spec: ModelSpec, dataset: Dataset, rows: Any) -> ImageExamples:
        """The rows, decoded and labels aligned."""
        columns, notes = image_columns(dataset, rows)
        return ImageExamples(self, spec, rows, columns, notes)

    def random_feed(self, spec: ModelSpec, shape: tuple[int, int], seed: int) -> Feed:
        """Seeded noise through the image processor: float32 [batch, channels, height, width]."""
        import numpy as np

        processor = load_processor(spec.directory, spec.trust_remote_code)
        size = (shape[0], *frame(processor))
        noise = np.random.default_rng(seed).integers(0, 256, size=size, dtype=np.uint8)
        return processed(processor, list(noise))

    def padding(self, spec: ModelSpec) -> dict[str, int]:
        """All images have one size."""
        return {}

    def refuses_pipeline(self) -> None:
        """Nothing stands against it."""

    def pipeline(self, spec: ModelSpec) -> ImagePipeline:
        """Resizes and normalizes pixels and takes the largest logit."""
        return ImagePipeline(load_processor(spec.directory, spec.trust_remote_code))


class ImagePipeline:
    """Pixels in, class indices out: `Pipeline` of image classification. Image files are decoded before."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def encode(self, rows: Sequence[NDArray[np.generic]]) -> tuple[Feed, None]:
        """Images [height, width, channels] as float32 [batch, channels, height, width]."""
        return processed(self._processor, rows), None

    def decode(self, outputs: Mapping[str, NDArray[np.generic]], encoded: None) -> list[Any]:
        """Index of the largest logit."""
        return [int(row.argmax()) for row in outputs["logits"]]


class ImageExamples(Examples):
    """Images with class indices as references."""

    kind = "classification"

    def __init__(
        self, task: ImageClassification, spec: ModelSpec, rows: Any, columns: dict[str, str], notes: list[str]
    ) -> None:
        super().__init__()
        self.columns = columns
        self.notes = notes
        self._spec = spec
        self._processor = load_processor(spec.directory, spec.trust_remote_code)
        self._images, self.failed = decoded(rows, columns["image"], channels(self._processor))
        kept = [number for number in range(len(rows)) if number not in self.failed]
        self._numbers = kept
        self._references: list[int] | None = None
        if "reference" in columns:
            column = columns["reference"]
            given = {str(name): str(label) for name, label in (task.label_map or {}).items()}
            values = labels_in(rows.select(kept), column)
            self._references, assumed = class_indices(values, rows.features[column], spec, given)
            self.notes += assumed
            self.metrics = {"top5": TOP5} if len(spec.labels) > TOP else {}

    def encoded(self) -> list[Feed]:
        """Pixels of each image: float32 [channels, height, width]."""
        pixels = (processed(self._processor, [image])["pixel_values"][0] for image in self._images)
        return [{"pixel_values": array} for array in pixels]

    def cut(self, shape: tuple[int, int], seed: int) -> Feed:
        """`shape[0]` seeded images: float32 [batch, channels, height, width]."""
        import numpy as np

        chosen = np.random.default_rng(seed).integers(len(self._images), size=shape[0])
        return processed(self._processor, [self._images[index] for index in chosen])

    def raw(self) -> list[Any]:
        """Pixels of each image as they were read."""
        return self._images

    def references(self) -> list[Any] | None:
        """The right classes, or null."""
        return self._references

    def predictions(self, outputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Index of the largest logit."""
        return [int(row["logits"].argmax()) for row in outputs]

    def default_metrics(self) -> list[str]:
        """Accuracy and F1."""
        return ["accuracy", "f1_macro"]

    def statistics(self, outputs: Sequence[Mapping[str, Any]]) -> Statistics:
        """Whether the right class is among the first five."""
        import numpy as np

        if self._references is None or not self.metrics:
            return {}
        hits = [
            (reference in np.argsort(-row["logits"].reshape(-1), kind="stable")[:TOP], 1)
            for reference, row in zip(self._references, outputs, strict=True)
        ]
        return {"top5": np.array(hits, dtype=np.float64)}

    def logits(self, outputs: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
        """One position a row: float64 [1, classes]."""
        return [row["logits"].reshape(1, -1).astype("float64") for row in outputs]

    def groups(self) -> dict[str, list[str]]:
        """By the right class."""
        if self._references is None:
            return {}
        return {"class": [self._spec.labels[index] for index in self._references]}

    def texts(self) -> list[str]:
        """The number of each image among the rows as they were drawn, and its size."""
        pairs = zip(self._numbers, self._images, strict=True)
        return [f"image {number}, {image.shape[1]} x {image.shape[0]}" for number, image in pairs]


def load_processor(directory: Path, trust_remote_code: bool = False) -> Any:
    """The checkpoint's image processor, the one that needs Pillow only. Raises DataError."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(
            directory, use_fast=False, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # processors raise many kinds for broken files
        raise DataError(f"{directory} holds no image processor that can be loaded: {error}") from error


def channels(processor: Any) -> int:
    """1 for models of grey images, else 3."""
    return len(getattr(processor, "image_mean", None) or (0, 0, 0))


def frame(processor: Any) -> tuple[int, int, int]:
    """Height, width and channels of an image that the processor need not resize."""
    size = getattr(processor, "crop_size", None) or processor.size
    edge = size.get("shortest_edge", 224)
    return int(size.get("height", edge)), int(size.get("width", edge)), channels(processor)


def processed(processor: Any, images: Sequence[NDArray[np.generic]]) -> Feed:
    """Images [height, width, channels] as the model takes them: float32 [batch, channels, height, width]."""
    import numpy as np

    pixels = processor(list(images), return_tensors="np", input_data_format="channels_last")
    return {"pixel_values": np.asarray(pixels["pixel_values"], dtype=np.float32)}


def image_columns(dataset: Dataset, rows: Any) -> tuple[dict[str, str], list[str]]:
    """Columns of images and of labels, and notes on what was guessed. Raises DataError."""
    kinds = {name: type(feature).__name__ for name, feature in rows.features.items()}
    notes: list[str] = []
    given = dataset.data_keys.primary
    if given is None:
        found = [name for name, kind in kinds.items() if kind == "Image" or name.lower() in IMAGE_NAMES]
        if len(found) != 1:
            raise DataError(
                "dataset.data_keys.primary must name the column of images; the columns are "
                f"{', '.join(f'{name} ({kind})' for name, kind in kinds.items())}"
            )
        given = found[0]
        notes.append(f"dataset.data_keys.primary was guessed: {given}")
    columns = {"image": require(given, "data_keys.primary", kinds)}
    if dataset.ref_keys:
        columns["reference"] = require(dataset.ref_keys[0], "ref_keys", kinds)
        return columns, notes
    known = [name for name in kinds if name.lower() in REFERENCE_NAMES]
    if len(known) == 1:
        columns["reference"] = known[0]
        notes.append(f"dataset.ref_keys was guessed: {known[0]}")
    else:
        notes.append(without_labels(kinds, columns.values()))
    return columns, notes


def decoded(rows: Any, column: str, channels: int) -> tuple[list[Any], dict[int, str]]:
    """Images [height, width, channels], and why others could not be read; DataError if none could."""
    import datasets

    if isinstance(rows.features[column], datasets.Image):
        rows = rows.cast_column(column, datasets.Image(decode=False))
    images, failed = [], {}
    for number, value in enumerate(rows[column][:]):
        try:
            images.append(pixels_of(value, channels))
        except Exception as error:  # Pillow raises many kinds, SyntaxError for a broken PNG among them
            failed[number] = f"dataset.data_keys.primary={column}, row {row_in_file(rows, number)}: {error}"
    if not images:
        raise DataError(f"no row can be used; {failed[0]}")
    return images, failed


def pixels_of(value: Any, channels: int) -> NDArray[np.uint8]:
    """Pixels [height, width, channels] of an image given as bytes, path or pixels.

    Raises OSError, ValueError, TypeError.
    """
    import numpy as np
    from PIL import Image

    if isinstance(value, Mapping) and value.get("bytes") is not None:
        image = Image.open(io.BytesIO(value["bytes"]))
    elif isinstance(value, Mapping) and value.get("path"):
        image = Image.open(value["path"])
    elif isinstance(value, str):
        image = Image.open(value)
    else:
        pixels = np.asarray(value)
        if pixels.dtype.kind not in "biuf" or pixels.ndim not in (2, 3):
            raise ValueError("an image, its bytes or its pixels are required, found something else")
        if np.any(pixels != np.rint(pixels)) or pixels.max() > 255 or pixels.min() < 0:
            raise ValueError("pixels must be whole numbers from 0 to 255")
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        image = Image.fromarray(pixels.astype(np.uint8))
    converted = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return converted[..., None] if channels == 1 else converted
