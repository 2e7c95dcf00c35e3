"""One small CNN and one recipe, trained by several frameworks on whatever device there is."""

from enterprise_lab.training.recipe import PRECISIONS, Precision, Recipe
from enterprise_lab.training.run import Epoch, LabelledImages, Run, train
from enterprise_lab.training.small_cnn import SmallCNN, Weights
from enterprise_lab.training.sweeping import Skipped, Sweep, step_seconds, sweep
from enterprise_lab.training.trainers import FRAMEWORKS, Framework, Kind, Trainer, trainer

__all__ = [
    "FRAMEWORKS",
    "PRECISIONS",
    "Epoch",
    "Framework",
    "Kind",
    "LabelledImages",
    "Precision",
    "Recipe",
    "Run",
    "Skipped",
    "SmallCNN",
    "Sweep",
    "Trainer",
    "Weights",
    "step_seconds",
    "sweep",
    "train",
    "trainer",
]
