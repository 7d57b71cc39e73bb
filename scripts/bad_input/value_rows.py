"""Values out of range, words that are none of an enumeration, settings that exclude each other."""

from __future__ import annotations

from bad_input.files import folder, model, rows
from bad_input.row import Row, row

SEARCH = "+experiment=tune hydra.sweeper.params.recipe=onnxruntime hydra.sweeper.params.graph=default"

AT_LEAST = [
    row(f"{key}={value}", f"{key} must ", f"got {value}")
    for key, value in (
        ("batch_size", "0"),
        ("batch_size", "-3"),
        ("input_length", "0"),
        ("seed", "-1"),
        ("run.timeout_seconds", "0"),
        ("threads", "0"),
        ("threads", "-2"),
        ("baseline.threads", "0"),
        ("measure.processes", "0"),
        ("measure.replicates", "0"),
        ("measure.warmup_calls", "0"),
        ("measure.warmup_seconds", "-1"),
        ("measure.budget_seconds", "-1"),
        ("measure.budget_seconds", "nan"),
        ("measure.budget_seconds", "inf"),
        ("measure.duration_seconds", "0"),
        ("measure.duration_seconds", "inf"),
        ("measure.replicate_seconds", "0"),
        ("measure.replicate_seconds", "inf"),
        ("measure.block_seconds", "0"),
        ("measure.block_seconds", "inf"),
        ("measure.timeout_seconds", "0"),
        ("measure.timeout_seconds", "inf"),
        ("measure.precision", "0"),
        ("measure.precision", "2"),
        ("measure.precision", "nan"),
        ("measure.server.bound_seconds", "0"),
        ("measure.server.bound_seconds", "nan"),
        ("measure.server.bound_seconds", "inf"),
        ("measure.server.budget_seconds", "-1"),
        ("measure.server.requests", "0"),
        ("quality.max_eval_samples", "0"),
        ("quality.batch_size", "0"),
        ("quality.comparisons", "0"),
        ("quality.skip_samples", "-1"),
        ("gates.min_speedup", "0"),
        ("gates.min_speedup", "nan"),
        ("gates.min_speedup", "inf"),
        ("gates.max_p95_seconds", "-0.1"),
        ("gates.max_size_bytes", "0"),
        ("gates.max_peak_rss_bytes", "-1"),
    )
]

BETWEEN = [
    row("measure.max_replicates=2", "measure.max_replicates must be >= replicates (5)", "got 2", "raise"),
    row("measure.server.percentile=0.3", "measure.server.percentile must lie between", "got 0.3", "0.95"),
    row("measure.server.percentile=95", "measure.server.percentile must lie between", "got 95", "0.95"),
    row("measure.server.rates=[]", "measure.server.rates must hold", "got []", "null"),
    row("measure.server.rates=[5,0]", "measure.server.rates must hold", "0.0", "null"),
    row("measure.server.rates=[nan]", "measure.server.rates must hold", "nan", "null"),
    row(
        "measure=server measure.server.requests=10",
        "measure.server.requests must be >=",
        "percentile of 0.95",
        "got 10",
    ),
    row("quality.margin=0", "quality.margin must lie between 0 and 1", "got 0", "0.01"),
    row("quality.margin=1", "quality.margin must lie between 0 and 1", "got 1"),
    row("quality.margin=nan", "quality.margin must lie between 0 and 1", "got nan"),
    row("quality.max_failed_share=1", "quality.max_failed_share must be a share", "got 1"),
    row("quality.metrics=[]", "quality.metrics must name at least one metric", "got []", "quality=none"),
    row("gates.max_accuracy_drop=1", "gates.max_accuracy_drop must be a share below 1", "got 1"),
    row("gates.max_accuracy_drop=50", "gates.max_accuracy_drop must be a share below 1", "got 50"),
    row(
        "quality=none gates.max_accuracy_drop=0.01",
        "gates.max_accuracy_drop=0.01 must go with an evaluation",
        "quality.enabled is false",
        "drop one",
    ),
    row("backend.opset=3", "backend.opset must lie between", "got 3"),
    row("backend.optimization_level=7", "backend.optimization_level must be one of", "99 (all)", "got 7"),
    row("backend.providers=[]", "backend.providers must name", "got []", "CPUExecutionProvider"),
    row(
        "backend.providers=[CPUExecutionProvider,CPUExecutionProvider]",
        "backend.providers must name",
        "each once",
    ),
    row("backend=fake quant=none backend.call_seconds=0", "backend.call_seconds must lie between", "got 0"),
    row("backend=fake quant=none backend.cv=-1", "backend.cv must lie between 0 and 2", "got -1"),
    row("backend=fake quant=none backend.first_token_share=2", "backend.first_token_share", "got 2"),
    row("backend=pytorch quant=none backend.device=gpu", "backend.device must be", "cuda", "got 'gpu'"),
    row("backend=openvino quant=none backend.device=cpu", "backend.device must be", "CPU", "got 'cpu'"),
    row(
        "backend=openvino quant=none backend.dynamic_quantization_group_size=-1",
        "backend.dynamic_quantization_group_size must be",
        "got -1",
    ),
    row("quant=static quantization.calibration.num_samples=0", "calibration.num_samples must be >= 1"),
    row("quant=static quantization.calibration.num_bins=8", "calibration.num_bins must be >= 512", "got 8"),
    row("quant=static quantization.calibration.memory_bytes=0", "calibration.memory_bytes must be >= 1"),
    row(
        "quant=static quantization.calibration.percentile=5",
        "calibration.percentile must lie between",
        "got 5",
        "99.99",
    ),
    row(
        "quant=static quantization.calibration.moving_average_constant=0",
        "calibration.moving_average_constant must lie between",
        "got 0",
    ),
    row("quant=weight_only quantization.bits=3", "quantization.bits must be one of", "got 3"),
    row("quant=weight_only quantization.block_size=7", "quantization.block_size must be one of", "got 7"),
    row(
        "quant=weight_only quantization.accuracy_level=9",
        "quantization.accuracy_level must be one of",
        "got 9",
    ),
    row(
        "backend=openvino quant=nncf quantization.num_samples=0", "quantization.num_samples must be", "got 0"
    ),
    row("backend=openvino quant=nncf_weights quantization.ratio=0", "quantization.ratio must lie", "got 0"),
    row(
        "backend=openvino quant=nncf_weights quantization.mode=int4_sym quantization.group_size=0",
        "quantization.group_size must be",
        "got 0",
    ),
    row(
        "backend=pytorch quant=torchao quantization.group_size=5",
        "quantization.group_size must be one of",
        "got 5",
    ),
    row("task=fill-mask task.masks_per_row=0", "task.masks_per_row must be >= 1", "got 0"),
    row("task=question-answering task.doc_stride=0", "task.doc_stride must be >= 1", "got 0"),
    row("task=question-answering task.max_length=4", "task.max_length must be >= 8", "got 4"),
    row("task=text-generation task.new_tokens=0", "task.new_tokens must be >= 1", "got 0"),
    row("task=text-generation task.window=1", "task.window must be >= 2", "got 1"),
    row("task=text-generation task.stride=0", "task.stride must be >= 1", "got 0"),
    row(
        f"{SEARCH} tune.budget_seconds=0 tune.finalists=0 tune.repairs=-1 tune.repair_rows=0",
        "4 problems",
        "tune.budget_seconds",
        "tune.finalists",
        "tune.repairs",
        "tune.repair_rows",
    ),
    row(f"{SEARCH} tune.screen_share=1", "tune.screen_share must lie between", "got 1"),
    row(
        "batch_size=0 measure.precision=3 quality.margin=0",
        "3 problems",
        "batch_size",
        "measure.precision",
        "quality.margin",
    ),
]

WORDS = [
    row("measure.inputs=real", "measure.inputs", "real", "random", "dataset"),
    row("measure.scenario=offline", "measure.scenario", "offline", "latency", "throughput", "server"),
    row("measure.start=fast", "measure.start", "fast", "fork", "spawn"),
    row("measure.wait_policy=busy", "measure.wait_policy", "busy", "runtime", "passive", "active"),
    row("measure.priority=high", "measure.priority", "high", "raised", "normal"),
    row("measure.server.arrivals=burst", "measure.server.arrivals", "burst", "poisson", "constant"),
    row("quantization.weight_type=int3", "quantization.weight_type", "int3", "int8"),
    row("quant=static quantization.format=IR", "quantization.format", "IR", "QDQ", "QOperator"),
    row("quant=static quantization.calibration.method=max", "calibration.method", "max", "minmax", "entropy"),
    row("backend=fake quant=none backend.shape=square", "backend.shape must be one of", "lognormal"),
    row("backend=pytorch quant=none backend.precision=int8", "backend.precision", "int8", "bfloat16"),
    row("backend=pytorch quant=none backend.attention=flash", "backend.attention", "flash", "sdpa"),
    row("backend=torch_compile quant=none backend.mode=fast", "backend.mode must be one of", "max-autotune"),
    row("threads=many", "threads must be a number or auto", "'many'"),
    row("graph.level=o9", "graph.level must be one of", "o9", "graph="),
]

CONFLICTS = [
    row("model=pretrained", "model.path must be set", "model.path=VALUE"),
    row("dataset=labelled", "dataset.path must be set", "dataset.path=VALUE"),
    row("model.path=", "model.path must be a directory or a hub name", "empty"),
    row(
        "model=pretrained model.path=model model.revision=main",
        "model.revision only applies to hub names",
        files=(model,),
    ),
    row(
        "dataset=labelled dataset.path=rows.jsonl dataset.revision=x",
        "dataset.revision only applies",
        files=(rows,),
    ),
    row(
        "dataset=labelled dataset.path=rows.jsonl dataset.name=x", "dataset.name only applies", files=(rows,)
    ),
    row("dataset.path=", "dataset.path must not be empty"),
    row("dataset.eval_split=", "dataset.eval_split must not be empty"),
    row("batch_sizes=[1,8]", "-m sweep=grid", "batch_sizes=[1,8]", "batch_size="),
    row("input_lengths=[16]", "-m sweep=grid", "input_length="),
    row("batch_sizes=[0]", "batch_sizes must be >= 1", "got 0"),
    row("sweep=grid", "sweep=grid", "multirun", "add -m"),
    row("resume=nowhere", "resume must be the directory of an earlier sweep", "nowhere"),
    row(
        "measure.processes=2",
        "measure.processes must be 1 for scenario=latency",
        "measure.scenario=throughput",
    ),
    row("measure=server measure.processes=2", "measure.processes must be 1 for scenario=server"),
    row("gates.min_requests_per_second=5", "gates.min_requests_per_second", "measure=server"),
    row(
        "quality.margin=0.02 gates.max_accuracy_drop=0.01",
        "quality.margin=0.02",
        "gates.max_accuracy_drop=0.01",
        "one of them",
    ),
    row("dataset.streaming=true", "quality.max_eval_samples must be set", "quality.max_eval_samples=5000"),
    row(
        "dataset.streaming=true quality.max_eval_samples=5 quality.skip_samples=5",
        "quality.skip_samples must be 0 with dataset.streaming=true",
    ),
    row("artifact=somewhere", "artifact=somewhere is measured as it is", "got dynamic", "add quant=none"),
    row("artifact=somewhere quant=none graph=o2", "artifact is measured as it is", "graph must not be o2"),
    row("baseline.artifact=somewhere baseline.quantization.x=1", "baseline.quantization.x"),
    row(
        "measure.scope=end_to_end input_length=64",
        "input_length must be left out with measure.scope=end_to_end",
        "got 64",
        "drop one of the two",
    ),
    row("task.is_regression=true '+task.label_map={a: b}'", "task.label_map must be empty"),
    row("quant=float16 quantization.type=bfloat16", "quantization.type must be float16", "backend=pytorch"),
    row(
        "quant=static quantization.activation_type=int8 quantization.weight_type=uint8",
        "quantization.weight_type must be int8",
    ),
    row(
        "quant=static quantization.activation_type=int16 quantization.format=QOperator",
        "quantization.format must be QDQ",
    ),
    row(
        "quant=static quantization.activation_type=int16 quantization.reduce_range=true",
        "quantization.reduce_range must be false",
    ),
    row(
        "quant=static quantization.weight_symmetric=false", "quantization.weight_symmetric must not be false"
    ),
    row(
        "quant=static quantization.calibration.moving_average=true quantization.calibration.method=entropy",
        "calibration.moving_average must be false",
    ),
    row(
        "quant=weight_only quantization.bits=8 quantization.embeddings=true",
        "quantization.embeddings must be false with bits=8",
        "bits=4",
    ),
    row(
        "backend=openvino quant=nncf_weights quantization.group_size=64",
        "quantization.group_size must be left out with mode=int8_asym",
        "int4_sym",
    ),
    row(
        "backend=pytorch quant=torch_dynamic quantization.dtype=float16 quantization.engine=qnnpack",
        "quantization.engine must be one of",
        "fbgemm",
        "got qnnpack",
    ),
    row(
        "backend=pytorch quant=none backend.autocast=true backend.precision=bfloat16",
        "backend.autocast must be false",
    ),
    row(f"{SEARCH} quality.margin=null", "quality.margin must be set for a search", "0.01"),
    row("hydra.run.dir=/dev/null/x", "hydra.run.dir", "/dev/null", "is not a directory", "choose another"),
    row(
        "hydra.run.dir=taken/x",
        "hydra.run.dir=taken/x",
        "taken is not a directory",
        "choose another",
        files=(folder("other"), rows, lambda place: (place / "taken").write_text("")),
    ),
    row("hydra.run.dir=/proc/optbench", "/proc/optbench"),
    row(
        "",
        "hydra.run.dir",
        "outputs is not a directory",
        files=(lambda place: (place / "outputs").write_text(""),),
    ),
]

ROWS: list[Row] = [*AT_LEAST, *BETWEEN, *WORDS, *CONFLICTS]
