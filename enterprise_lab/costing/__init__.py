"""Prices applied to time."""

from enterprise_lab.costing.on_demand import on_demand
from enterprise_lab.costing.options import (
    Option,
    Options,
    training_options,
    whole_devices,
)
from enterprise_lab.costing.spot import spot

__all__ = ["Option", "Options", "on_demand", "spot", "training_options", "whole_devices"]
