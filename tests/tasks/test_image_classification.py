"""Image classification against a plain loop; images in every usual form."""

import io

import datasets
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import top_k_accuracy_score

from optbench.checkpoint import read_spec
from optbench.components import DataKeys
from optbench.datasets.labelled import LabelledDataset
from optbench.errors import DataError
from optbench.tasks.image_classification import ImageClassification, pixels_of

LABELS = tuple("abcdefgh")
PIXELS = np.random.default_rng(0).integers(0, 256, size=(20, 10, 12, 3), dtype=np.uint8)
ANSWERS = [LABELS[number % 8] for number in range(20)]


@pytest.fixture(scope="module")
def model(build_vit):
    return build_vit(LABELS)


@pytest.fixture(scope="module")
def grey(build_vit):
    return build_vit(LABELS, channels=1)


def examples(model, rows, features=None, task=None, **keys):
    table = datasets.Dataset.from_dict(rows, features=features)
    return (task or ImageClassification()).examples(
        read_spec(model), LabelledDataset(path="x", **keys), table
    )


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def plain_loop(directory, images):
    """Logits with transformers alone."""
    import torch
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(directory, use_fast=False)
    model = transformers.AutoModelForImageClassification.from_pretrained(directory).eval()
    pictures = [Image.fromarray(image) for image in images]
    with torch.inference_mode():
        outputs = [model(**processor(picture, return_tensors="pt")) for picture in pictures]
    return np.stack([output.logits[0].numpy() for output in outputs])


def test_answers_and_metrics_equal_a_plain_loop(model, run_rows):
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(LABELS))}
    )
    labels = [LABELS.index(answer) for answer in ANSWERS]
    found = examples(model, {"image": [png(image) for image in PIXELS], "label": labels}, features)
    outputs = run_rows(ImageClassification(), model, found.encoded())
    logits = plain_loop(model, PIXELS)
    assert np.stack([row["logits"] for row in outputs]) == pytest.approx(logits, abs=1e-5)
    assert found.predictions(outputs) == logits.argmax(axis=1).tolist()
    assert found.references() == labels
    expected = top_k_accuracy_score(labels, logits, k=5, labels=range(8))
    assert found.metrics["top5"].of(found.statistics(outputs)["top5"]) == pytest.approx(expected)
    assert found.logits(outputs)[0].shape == (1, 8)
    assert found.groups() == {"class": ANSWERS}
    assert found.texts()[0] == "image 0, 12 x 10"


def test_grey_images_stay_grey(grey, run_rows):
    pixels = PIXELS[:3, :8, :8, 0]
    found = examples(grey, {"pixels": pixels.tolist(), "label": ANSWERS[:3]})
    encoded = found.encoded()
    assert encoded[0]["pixel_values"].shape == (1, 8, 8)
    expected = (pixels[0] / 255 - 0.5) / 0.5
    assert encoded[0]["pixel_values"][0] == pytest.approx(expected, abs=1e-6)
    assert found.notes[:2] == [
        "dataset.data_keys.primary was guessed: pixels",
        "dataset.ref_keys was guessed: label",
    ]


def test_images_that_cannot_be_read_are_left_out_and_named(model):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    broken = {"bytes": b"no image", "path": None}
    rows = {"image": [png(PIXELS[0]), broken, png(PIXELS[2])], "label": ANSWERS[:3]}
    found = examples(model, rows, features)
    assert list(found.failed) == [1]
    assert "cannot identify image file" in found.failed[1]
    assert found.references() == [0, 2]
    assert [text.partition(",")[0] for text in found.texts()] == ["image 0", "image 2"]


def test_damaged_cut_and_empty_images_are_counted_and_not_raised(model):
    whole = png(PIXELS[0])["bytes"]
    marker = whole.index(b"IDAT") + 8
    damaged = [
        whole[: len(whole) // 2],
        whole[:marker] + bytes(64) + whole[marker + 64 :],
        whole.replace(b"IDAT", b"\x00\xff\x00\x00"),
        b"",
    ]
    images = [*({"bytes": data, "path": None} for data in damaged), {"bytes": None, "path": "gone.png"}]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    rows = {"image": [*images, png(PIXELS[5])], "label": ANSWERS[:6]}
    found = examples(model, rows, features)
    assert list(found.failed) == [0, 1, 2, 3, 4]
    assert len(found.encoded()) == len(found.references()) == 1


def test_without_any_image_no_row_can_be_used(model):
    with pytest.raises(DataError, match="no row can be used"):
        examples(model, {"image": ["missing.png"], "label": ["a"]})


def test_inputs_have_the_processors_size_whatever_the_length(model):
    task, spec = ImageClassification(), read_spec(model)
    one, two = (task.random_feed(spec, (2, 99), seed)["pixel_values"] for seed in (0, 1))
    assert one.shape == (2, 3, 8, 8)
    assert one.dtype == np.float32
    assert not np.array_equal(one, two)
    assert np.array_equal(one, task.random_feed(spec, (2, 7), 0)["pixel_values"])
    assert examples(model, {"image": PIXELS[:3].tolist()}).cut((5, 1), 0)["pixel_values"].shape == (
        5,
        3,
        8,
        8,
    )


def test_a_model_without_an_image_processor_is_refused(bare_model):
    assert "preprocessor_config.json" in ImageClassification().supports(read_spec(bare_model))


@pytest.mark.parametrize("form", ["bytes", "path", "mapping", "array", "list"])
def test_pixels_come_from_every_usual_form(tmp_path, form):
    file = tmp_path / "image.png"
    Image.fromarray(PIXELS[0]).save(file)
    value = {
        "bytes": png(PIXELS[0]),
        "path": str(file),
        "mapping": {"bytes": None, "path": str(file)},
        "array": PIXELS[0],
        "list": PIXELS[0].tolist(),
    }[form]
    assert np.array_equal(pixels_of(value, 3), PIXELS[0])


@pytest.mark.parametrize(
    ("value", "said"),
    [([[0.5]], "whole numbers"), ([[256]], "whole numbers"), ([1, 2], "required"), ([["a"]], "required")],
)
def test_what_is_no_image_says_so(value, said):
    with pytest.raises(ValueError, match=said):
        pixels_of(value, 3)


@pytest.mark.parametrize(
    ("rows", "keys", "said"),
    [
        ({"a": [1], "b": [2]}, {}, "dataset.data_keys.primary must name the column of images"),
        ({"image": [[[1]]], "label": ["z"]}, {}, "labels do not match"),
        ({"image": [[[1]]]}, {"data_keys": DataKeys(primary="x")}, "x is no column"),
    ],
)
def test_rows_that_do_not_fit_are_named(model, rows, keys, said):
    with pytest.raises(DataError, match=said):
        examples(model, rows, **keys)
