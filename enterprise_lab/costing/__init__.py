"""Prices applied to time."""

from enterprise_lab.costing.on_demand import on_demand
from enterprise_lab.costing.options import (
    MEMORY_SHARE,
    Option,
    Options,
    training_options,
    whole_devices,
)

__all__ = ["MEMORY_SHARE", "Option", "Options", "on_demand", "training_options", "whole_devices"]
