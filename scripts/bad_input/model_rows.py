"""Model directories: missing, incomplete, damaged, hostile, or made for something else."""

from __future__ import annotations

from bad_input.files import edited, folder, model, rows, text, truncated, without
from bad_input.row import Make, Row, row

BASE = (
    "-q baseline=fake backend=fake quant=none measure=quick measure.start=spawn model=pretrained "
    "dataset=labelled dataset.path=rows.jsonl"
)
OWN = f"{BASE} model.path=model"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 268\n"


def broken(*words: str, files: tuple[Make, ...], more: str = "") -> Row:
    """A row about a model directory that was whole until `files` changed it."""
    return row(f"{OWN} {more}".strip(), *words, files=(model, rows, *files))


def config_with(**changes: object) -> Make:
    """Changes in config.json."""
    return edited("model/config.json", **changes)


PLACES = [
    row(f"{BASE} model.path=./none", "model.path=./none must be a directory", "nothing there", files=(rows,)),
    row(f"{BASE} model.path=/no/such/model", "model.path=/no/such/model", "nothing there", files=(rows,)),
    row(
        f"{BASE} model.path=rows.jsonl", "model.path=rows.jsonl must be a directory", "a file", files=(rows,)
    ),
    row(
        f"{BASE} model.path=model.onnx",
        "model.path=model.onnx",
        "a file",
        "artifact=",
        files=(rows, text("model.onnx", "x")),
    ),
    row(
        f"{BASE} model.path=no-such/model",
        "model.path=no-such/model",
        "hub name",
        "HF_HUB_OFFLINE",
        "local path",
        files=(rows,),
    ),
    row(f"{BASE} model.path=nosuchmodel", "model.path=nosuchmodel", "hub name", "spelling", files=(rows,)),
    row(f"{BASE} model.path=a=b", "model.path=a=b", "quotes", files=(rows,)),
    row(f"{BASE} model.path='my model'", "model.path=my model", "hub name", files=(rows,)),
    row(
        f"{BASE} model.path=no-such/model",
        "model.path=no-such/model",
        "127.0.0.1 cannot be reached",
        files=(rows,),
        environment={"HF_HUB_OFFLINE": "", "HF_ENDPOINT": "http://127.0.0.1:9"},
    ),
    row(
        f"{BASE} model.path=no-such/model",
        "HF_ENDPOINT",
        "hub.local",
        files=(rows,),
        environment={"HF_HUB_OFFLINE": "", "HF_ENDPOINT": "hub.local"},
    ),
    row(
        f"{BASE} model.path=no-such/model",
        "HF_ENDPOINT",
        "http://127.0.0.1:port",
        files=(rows,),
        environment={"HF_HUB_OFFLINE": "", "HF_ENDPOINT": "http://127.0.0.1:port"},
    ),
    row(f"{BASE} model=minilm-sentiment", "minilm-sentiment", "python -m optbench.demo.build", files=(rows,)),
    row(f"{BASE} model.path=model", "holds no weights", "an empty directory", files=(folder("model"), rows)),
    row(
        f"{BASE} model.path=above",
        "above",
        "holds no weights",
        "safetensors",
        files=(rows, text("above/model/config.json", "{}")),
    ),
]

DAMAGE = [
    broken("holds no weights", "*.safetensors", files=(without("model/model.safetensors"),)),
    broken("is not a model", "config.json", files=(without("model/config.json"),)),
    broken("config.json", "cannot be read as JSON", files=(text("model/config.json", "{"),)),
    broken("config.json", "cannot be read as JSON", files=(text("model/config.json", ""),)),
    broken("config.json", "cannot be read", files=(text("model/config.json", b"\xff\xfe{}"),)),
    broken("config.json", "cannot be read", files=(text("model/config.json", "[" * 100_000),)),
    broken("config.json", "must hold a JSON object", "list", files=(text("model/config.json", "[]"),)),
    broken("config.json", "model_type", files=(config_with(model_type=None),)),
    broken("config.json", "model_type", files=(config_with(model_type=5),)),
    broken("config.json", "id2label", files=(config_with(id2label=["NEGATIVE", "POSITIVE"]),)),
    broken("config.json", "id2label", files=(config_with(id2label={"a": "NEGATIVE", "b": "POSITIVE"}),)),
    broken("config.json", "num_labels", files=(config_with(id2label=None, num_labels="two"),)),
    broken("config.json", "vocab_size", files=(config_with(vocab_size="many"),)),
    broken("config.json", "pad_token_id", files=(config_with(model_type="roberta", pad_token_id="x"),)),
    broken("tokenizer_config.json", "cannot be read", files=(text("model/tokenizer_config.json", "{"),)),
    broken(
        "tokenizer_config.json",
        "auto_map",
        "model.trust_remote_code=true",
        files=(edited("model/tokenizer_config.json", auto_map={"AutoTokenizer": ["t.T", None]}),),
    ),
    broken(
        "config.json",
        "auto_map",
        "model.trust_remote_code=true",
        files=(
            config_with(auto_map={"AutoModel": "evil.Model"}),
            text("model/evil.py", "open('owned', 'w')"),
        ),
    ),
    broken(
        "no tokenizer",
        "save_pretrained",
        files=(without("model/tokenizer.json"), without("model/tokenizer_config.json")),
    ),
    broken(
        "no tokenizer that can be loaded: tokenizer_config.json do not make one",
        "save_pretrained",
        files=(
            without("model/tokenizer.json"),
            edited("model/tokenizer_config.json", tokenizer_class="AlbertTokenizer"),
        ),
    ),
    broken("no tokenizer", files=(text("model/tokenizer.json", "{}"),)),
    broken("no tokenizer", files=(truncated("model/tokenizer.json", 100),)),
    broken("model.safetensors", "is cut off", files=(truncated("model/model.safetensors", 40),)),
    broken("model.safetensors", "is cut off", files=(truncated("model/model.safetensors", 4),)),
    broken("model.safetensors", "empty", files=(truncated("model/model.safetensors", 0),)),
    broken("model.safetensors", "Git LFS", "git lfs pull", files=(text("model/model.safetensors", LFS),)),
    broken("model.safetensors", files=(text("model/model.safetensors", b"\xff" * 64),)),
    broken("model.safetensors", files=(text("model/model.safetensors", "<html>not found</html>" * 9),)),
    broken(
        "model.safetensors",
        "a directory",
        files=(without("model/model.safetensors"), folder("model/model.safetensors")),
    ),
    broken(
        "pytorch_model.bin",
        "Git LFS",
        files=(without("model/model.safetensors"), text("model/pytorch_model.bin", LFS)),
    ),
]

MISFITS = [
    broken("task.is_regression=true", files=(config_with(id2label={"0": "SCORE"}),)),
    broken(
        "task.is_regression=true needs a model with one output", "2", files=(), more="task.is_regression=true"
    ),
    broken("input_length must not exceed 32", "got 33", "input_length=32", files=(), more="input_length=33"),
    broken("no vocabulary", files=(config_with(vocab_size=None),)),
    broken("graph", files=(), more="graph=all"),
    broken("quant=dynamic", "backend=fake", "use", files=(), more="quant=dynamic"),
    broken(
        "quant=dynamic makes ONNX files",
        "backend=pytorch",
        "use backend=onnxruntime",
        files=(),
        more="quant=dynamic backend=pytorch",
    ),
    broken(
        "quant=torchao",
        "backend=onnxruntime",
        "use backend=pytorch",
        files=(),
        more="quant=torchao backend=onnxruntime",
    ),
    broken(
        "quant=nncf makes OpenVINO models",
        "use backend=openvino",
        files=(),
        more="quant=nncf backend=onnxruntime",
    ),
    broken(
        "quantization.format=QOperator",
        "backend=openvino",
        "QDQ",
        files=(),
        more="quant=static quantization.format=QOperator backend=openvino",
    ),
    broken(
        "graph=o2", "backend=pytorch", "use backend=onnxruntime", files=(), more="backend=pytorch graph=o2"
    ),
    broken(
        "graph=all has no meaning for eager PyTorch",
        "graph=default",
        files=(),
        more="backend=pytorch graph=all",
    ),
    broken(
        "backend.optimization_level=1 means graph=basic",
        "graph=all",
        files=(),
        more="backend=onnxruntime backend.optimization_level=1 graph=all",
    ),
    broken(
        "cannot generate tokens",
        "backend=openvino",
        files=(),
        more="task=text-generation task.new_tokens=4 input_length=8 backend=openvino",
    ),
]

ROWS: list[Row] = [*PLACES, *DAMAGE, *MISFITS]
