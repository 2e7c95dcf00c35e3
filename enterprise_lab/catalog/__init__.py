"""Facts with sources and dates: accelerators, EC2 instances, prices, models, published speeds.

Files are read on first use. A figure that was recalled and not read in a source is named in the
row's `unverified` and marked wherever it is shown.
"""

from __future__ import annotations

from enterprise_lab.catalog.architectures import Model, model, models
from enterprise_lab.catalog.ec2 import (
    Instance,
    Price,
    Retired,
    instance,
    instances,
    price,
    prices,
    retired,
)
from enterprise_lab.catalog.hardware import Accelerator, accelerator, accelerators
from enterprise_lab.catalog.memory import MemoryFigure, memory_figures
from enterprise_lab.catalog.names import find
from enterprise_lab.catalog.rows import CatalogError, Listing, Row
from enterprise_lab.catalog.speeds import (
    InferenceSpeed,
    TrainingRun,
    TrainingSpeed,
    inference_speeds,
    training_runs,
    training_speeds,
)
from enterprise_lab.catalog.spot import SpotPrice, spot_price, spot_prices
from enterprise_lab.catalog.statements import Statement, pretraining_statements

__all__ = [
    "Accelerator",
    "CatalogError",
    "InferenceSpeed",
    "Instance",
    "Listing",
    "MemoryFigure",
    "Model",
    "Price",
    "Retired",
    "Row",
    "SpotPrice",
    "Statement",
    "TrainingRun",
    "TrainingSpeed",
    "accelerator",
    "accelerators",
    "entry",
    "inference_speeds",
    "instance",
    "instances",
    "memory_figures",
    "model",
    "models",
    "pretraining_statements",
    "price",
    "prices",
    "retired",
    "spot_price",
    "spot_prices",
    "training_runs",
    "training_speeds",
]


def entry(name: str) -> Accelerator | Instance | Model | Retired:
    """Look up an accelerator, instance, model or retired offering by its name.

    Raises UnknownNameError or AmbiguousNameError, both listing near names.
    """
    rows: list[Accelerator | Instance | Model | Retired] = [
        *accelerators(), *instances(include_retired=True), *models(), *retired()
    ]  # fmt: skip
    by_name = {row.name: row for row in rows}
    return by_name[find("catalogue entry", name, by_name)]
