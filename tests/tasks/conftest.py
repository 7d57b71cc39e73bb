"""Tiny seeded models of each task, run by plain transformers."""

import json

import pytest

HIDDEN = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "initializer_range": 0.5,
}


def save(directory, architecture, config):
    """A checkpoint of a transformers class with seeded random weights."""
    import torch
    import transformers

    (directory / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}))
    torch.manual_seed(0)
    read = transformers.AutoConfig.from_pretrained(directory)
    model = getattr(transformers, architecture)(read).eval()
    model.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def build_bert(tmp_path_factory, write_tokenizer):
    """Make a tiny BERT of an architecture, with labels and a tokenizer over a few words."""

    def build(architecture, labels=("A", "B")):
        directory = tmp_path_factory.mktemp("models") / architecture
        directory.mkdir()
        size = write_tokenizer(directory)
        names = {str(index): label for index, label in enumerate(labels)}
        config = {**HIDDEN, "vocab_size": size, "id2label": names}
        config["label2id"] = {label: index for index, label in enumerate(labels)}
        return save(directory, architecture, config)

    return build


@pytest.fixture(scope="session")
def build_vit(tmp_path_factory):
    """Make a tiny ViT with a Pillow image processor."""

    def build(labels, channels=3):
        directory = tmp_path_factory.mktemp("models") / f"vit{channels}"
        directory.mkdir()
        names = {str(index): label for index, label in enumerate(labels)}
        config = {
            "model_type": "vit",
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "image_size": 8,
            "patch_size": 4,
            "num_channels": channels,
            "initializer_range": 0.5,
            "id2label": names,
            "label2id": {label: index for index, label in enumerate(labels)},
        }
        processor = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": {"height": 8, "width": 8},
            "do_rescale": True,
            "do_normalize": True,
            "image_mean": [0.5] * channels,
            "image_std": [0.5] * channels,
        }
        (directory / "preprocessor_config.json").write_text(json.dumps(processor))
        return save(directory, "ViTForImageClassification", config)

    return build


@pytest.fixture(scope="session")
def run_rows():
    """Run encoded rows one by one through a plain transformers model, and keep what the task keeps."""

    def run(task, directory, encoded):
        import torch
        import transformers

        model = getattr(transformers, task.model_class).from_pretrained(directory).eval()
        kept = []
        with torch.inference_mode():
            for row in encoded:
                feed = {name: torch.tensor(array[None]) for name, array in row.items() if name[0] != "_"}
                whole = {
                    name: value[0].numpy() for name, value in model(**feed).items() if torch.is_tensor(value)
                }
                kept.append(task.kept(row, whole))
        return kept

    return run
