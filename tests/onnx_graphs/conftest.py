"""A small encoder written node by node as exporters write one, rows for it, and exports of tiny models."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

VOCABULARY, WIDTH, HEADS, LAYERS, CLASSES = 40, 32, 2, 2, 3


class Writer:
    """Collects nodes and seeded weights; each method gives the name of what it computes."""

    def __init__(self, opset):
        self.random = np.random.default_rng(0)
        self.nodes, self.weights, self.opset = [], {}, opset

    def weight(self, name, *shape, scale=0.3):
        return self.constant(name, self.random.normal(scale=scale, size=shape).astype(np.float32))

    def constant(self, name, value):
        self.weights[name] = np.asarray(value)
        return name

    def __call__(self, operator, path, *inputs, **attributes):
        output = f"{path}_output"
        self.nodes.append(helper.make_node(operator, inputs, [output], path, **attributes))
        return output

    def linear(self, path, value, rows, columns):
        product = self("MatMul", f"{path}/MatMul", value, self.weight(f"{path}.weight", rows, columns))
        return self("Add", f"{path}/Add", self.weight(f"{path}.bias", columns), product)

    def normalize(self, path, value):
        scale = self.constant(f"{path}.weight", np.linspace(0.5, 1.5, WIDTH, dtype=np.float32))
        bias = self.weight(f"{path}.bias", WIDTH)
        if self.opset >= 17:
            return self("LayerNormalization", f"{path}/LayerNormalization", value, scale, bias, axis=-1)
        mean = self("ReduceMean", f"{path}/ReduceMean", value, axes=[-1])
        centred = self("Sub", f"{path}/Sub", value, mean)
        square = self("Pow", f"{path}/Pow", centred, self.constant("two", np.float32(2)))
        variance = self("ReduceMean", f"{path}/ReduceMean_1", square, axes=[-1])
        shifted = self("Add", f"{path}/Add", variance, self.constant("epsilon", np.float32(1e-5)))
        quotient = self("Div", f"{path}/Div", centred, self("Sqrt", f"{path}/Sqrt", shifted))
        return self("Add", f"{path}/Add_1", self("Mul", f"{path}/Mul", quotient, scale), bias)

    def gelu(self, path, value, tanh):
        half, one = self.constant("half", np.float32(0.5)), self.constant("one", np.float32(1))
        if not tanh:
            inner = self("Div", f"{path}/Div", value, self.constant("root", np.float32(2**0.5)))
            total = self("Add", f"{path}/Add", self("Erf", f"{path}/Erf", inner), one)
            product = self("Mul", f"{path}/Mul", value, total)
            return self("Mul", f"{path}/Mul_1", product, half)
        cube = self("Pow", f"{path}/Pow", value, self.constant("three", np.float32(3)))
        small = self("Mul", f"{path}/Mul_1", cube, self.constant("small", np.float32(0.044715)))
        scaled = self(
            "Mul",
            f"{path}/Mul_2",
            self("Add", f"{path}/Add", value, small),
            self.constant("slope", np.float32((2 / np.pi) ** 0.5)),
        )
        total = self("Add", f"{path}/Add_1", self("Tanh", f"{path}/Tanh", scaled), one)
        return self("Mul", f"{path}/Mul_3", self("Mul", f"{path}/Mul", value, half), total)

    def attend(self, path, value, mask):
        shape = self.constant("split", np.array([0, 0, HEADS, WIDTH // HEADS]))
        parts = {}
        for name, order in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3))):
            part = self.linear(f"{path}/{name}", value, WIDTH, WIDTH)
            part = self("Reshape", f"{path}/{name}/Reshape", part, shape)
            parts[name] = self("Transpose", f"{path}/{name}/Transpose", part, perm=order)
        scale = self.constant("scale", np.float32((WIDTH / HEADS) ** -0.5))
        scores = self("MatMul", f"{path}/MatMul", parts["query"], parts["key"])
        scores = self("Add", f"{path}/Add", self("Mul", f"{path}/Mul", scores, scale), mask)
        shares = self("Softmax", f"{path}/Softmax", scores, axis=-1)
        mixed = self("MatMul", f"{path}/MatMul_1", shares, parts["value"])
        mixed = self("Transpose", f"{path}/Transpose", mixed, perm=(0, 2, 1, 3))
        return self("Reshape", f"{path}/Reshape", mixed, self.constant("join", np.array([0, 0, WIDTH])))


def encoder(opset=18, tanh=False, infinite=False):
    """A post-norm encoder with `LAYERS` layers and a classifier, as a ModelProto.

    tanh: the approximation of gelu. infinite: the mask holds -inf, as in causal models.
    """
    write = Writer(opset)
    word = write("Gather", "/word/Gather", write.weight("word", VOCABULARY, WIDTH), "input_ids")
    kind = write("Gather", "/type/Gather", write.weight("type", 2, WIDTH), "token_type_ids")
    hidden = write.normalize("/norm", write("Add", "/Add", word, kind))
    seen = write("Cast", "/Cast", "attention_mask", to=TensorProto.FLOAT)
    axes = write.constant("axes", np.array([1, 2]))
    seen = write("Unsqueeze", "/Unsqueeze", seen, axes)
    hidden_by = np.float32(-np.inf if infinite else -10000)
    blind = write("Equal", "/Equal", seen, write.constant("none", np.float32(0)))
    if infinite:  # the last word sees itself only, as the first one would in a causal model
        blind = write("Not", "/Not", write("Cast", "/Cast_1", "token_type_ids", to=TensorProto.BOOL))
        blind = write("Unsqueeze", "/Unsqueeze_1", blind, axes)
    mask = write(
        "Where",
        "/Where",
        blind,
        write.constant("hidden", hidden_by),
        write.constant("zero", np.float32(0)),
    )
    for layer in range(LAYERS):
        path = f"/layer.{layer}"
        mixed = write.attend(f"{path}/attention", hidden, mask)
        mixed = write.linear(f"{path}/attention/output", mixed, WIDTH, WIDTH)
        hidden = write.normalize(f"{path}/norm", write("Add", f"{path}/Add", mixed, hidden))
        wide = write.gelu(
            f"{path}/gelu", write.linear(f"{path}/intermediate", hidden, WIDTH, 2 * WIDTH), tanh
        )
        narrow = write.linear(f"{path}/output", wide, 2 * WIDTH, WIDTH)
        hidden = write.normalize(f"{path}/norm_1", write("Add", f"{path}/Add_1", narrow, hidden))
    first = write("Gather", "/first/Gather", hidden, write.constant("first", np.int64(0)), axis=1)
    write.nodes.append(
        helper.make_node(
            "Gemm",
            [
                first,
                write.weight("classifier.weight", CLASSES, WIDTH),
                write.weight("classifier.bias", CLASSES),
            ],
            ["logits"],
            "/classifier/Gemm",
            transB=1,
        )
    )
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])]
    values = [numpy_helper.from_array(value, name) for name, value in write.weights.items()]
    graph = helper.make_graph(write.nodes, "encoder", inputs, outputs, values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def encoder_rows(lengths=(5, 9, 3, 12, 7, 9), seed=0):
    """Encoded rows of these lengths, without a batch axis."""
    random = np.random.default_rng(seed)
    return [
        {
            "input_ids": random.integers(0, VOCABULARY, length),
            "attention_mask": np.ones(length, np.int64),
            "token_type_ids": np.r_[np.zeros(length - 1, np.int64), 1],
        }
        for length in lengths
    ]


@pytest.fixture(scope="session")
def make_encoder():
    """`encoder`: makes the small encoder."""
    return encoder


@pytest.fixture(scope="session")
def make_rows():
    """`encoder_rows`: makes rows for it."""
    return encoder_rows


@pytest.fixture
def source(tmp_path):
    """A directory that holds the small encoder as model.onnx."""
    directory = tmp_path / "source"
    directory.mkdir()
    onnx.save(encoder(), directory / "model.onnx")
    return directory


@pytest.fixture
def target(tmp_path, monkeypatch):
    """An empty directory to write to; meanwhile the current one is private."""
    directory = tmp_path / "target"
    directory.mkdir()
    monkeypatch.chdir(tmp_path)
    return directory


@pytest.fixture(scope="session")
def answers():
    """Answers of directory/model.onnx to rows, one at a time, as one flat array."""

    def run(directory, rows, level="ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        session = onnxruntime.InferenceSession(
            str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        names = [item.name for item in session.get_inputs()]
        outputs = [session.run(None, {name: row[name][None] for name in names})[0] for row in rows]
        return np.concatenate([output.ravel() for output in outputs])

    return run


@pytest.fixture(scope="session")
def distance(answers):
    """Relative distance of the answers of two directories, and whether those of the second are finite."""

    def measure(one, other, rows, level="ORT_ENABLE_ALL"):
        expected, found = answers(one, rows), answers(other, rows, level)
        assert np.isfinite(found).all()
        return np.linalg.norm(found - expected) / np.linalg.norm(expected)

    return measure


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """Directories of tiny seeded models as optimum exports them, with their rows, by model type."""
    import torch
    import transformers.models as models
    from optimum.exporters.onnx import main_export

    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": 40,
    }
    vit = {**sizes, "image_size": 16, "patch_size": 4, "num_labels": CLASSES}
    distilbert = {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 64}
    gpt2 = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "bos_token_id": 0, "eos_token_id": 1}
    wanted = {
        "bert": (models.bert, "BertForSequenceClassification", "BertConfig", sizes),
        "roberta": (models.roberta, "RobertaForSequenceClassification", "RobertaConfig", sizes),
        "distilbert": (
            models.distilbert,
            "DistilBertForSequenceClassification",
            "DistilBertConfig",
            {**distilbert, "vocab_size": VOCABULARY},
        ),
        "vit": (models.vit, "ViTForImageClassification", "ViTConfig", vit),
        "gpt2": (models.gpt2, "GPT2LMHeadModel", "GPT2Config", {**gpt2, "vocab_size": VOCABULARY}),
    }
    tasks = {"vit": "image-classification", "gpt2": "text-generation"}
    found = {}
    for name, (module, model_class, config_class, settings) in wanted.items():
        torch.manual_seed(0)
        checkpoint, directory = (tmp_path_factory.mktemp(name) / part for part in ("checkpoint", "onnx"))
        config = getattr(module, config_class)(**settings)
        getattr(module, model_class)(config).save_pretrained(checkpoint)
        task = tasks.get(name, "text-classification")
        main_export(str(checkpoint), output=directory, task=task, do_validation=False, local_files_only=True)
        random = np.random.default_rng(0)
        rows = [
            {**row, "input_ids": row["input_ids"] % 30 + 5, "position_ids": np.arange(len(row["input_ids"]))}
            for row in encoder_rows()
        ]
        if name == "vit":
            rows = [{"pixel_values": random.normal(size=(3, 16, 16)).astype(np.float32)} for _ in rows]
        for row in rows:
            row.pop("token_type_ids", None) if name != "bert" else row.update(
                token_type_ids=np.zeros_like(row["input_ids"])
            )
        found[name] = (directory, rows)
    return found
