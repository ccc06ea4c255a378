"""A training pipeline: the fields of a training run, in a file."""

from typing import Literal

from uqrestore.pipeline.parts import Pipeline
from uqrestore.training.config import TrainConfig


class TrainPipeline(Pipeline, TrainConfig):
    """Train a prior; see ``training.config.TrainConfig`` for what its keys mean."""

    kind: Literal["train"]

    @property
    def config(self) -> TrainConfig:
        """The run, without what the pipeline says about itself."""
        said = self.model_dump(include=set(TrainConfig.model_fields))
        return TrainConfig.model_validate(said)
