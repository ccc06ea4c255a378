"""Pipelines: what to do with a scan, as data in one YAML file.

Importing this room loads no torch; ``load_pipeline`` does, to check names against registries.
"""

from uqrestore.pipeline.check import check_names, load_pipeline
from uqrestore.pipeline.find import describe, find_pipeline, list_pipelines
from uqrestore.pipeline.kinds import KINDS, BenchmarkPipeline, RestorePipeline, TrainPipeline
from uqrestore.pipeline.parts import MaskPart, MethodPart, OperatorPart, Pipeline, PriorPart
from uqrestore.pipeline.reading import PipelineError, change, read_pipeline

__all__ = [
    "KINDS",
    "BenchmarkPipeline",
    "MaskPart",
    "MethodPart",
    "OperatorPart",
    "Pipeline",
    "PipelineError",
    "PriorPart",
    "RestorePipeline",
    "TrainPipeline",
    "change",
    "check_names",
    "describe",
    "find_pipeline",
    "list_pipelines",
    "load_pipeline",
    "read_pipeline",
]
