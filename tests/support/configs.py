"""A run's config without Hydra, for tests that need one of no particular content."""

from optbench.backends.fake import Fake
from optbench.config import BaselineConfig, MeasureConfig, QualityConfig, RunConfig
from optbench.datasets.labelled import LabelledDataset
from optbench.graphs.session import SessionGraph
from optbench.models.pretrained import PretrainedModel
from optbench.quantizations.none import NoQuantization
from optbench.tasks.text_classification import TextClassification


def run_config(**changes):
    """Made-up runtimes on both sides, with these fields instead of its own."""
    parts = {
        "model": PretrainedModel(path="model"),
        "task": TextClassification(),
        "dataset": LabelledDataset(path="rows.csv"),
        "baseline": BaselineConfig(Fake(), NoQuantization(), SessionGraph()),
        "backend": Fake(),
        "quantization": NoQuantization(),
        "graph": SessionGraph(),
        "measure": MeasureConfig(),
        "quality": QualityConfig(),
    }
    return RunConfig(**{**parts, **changes})
