"""Predict, run, measure and explain what an AI workload needs."""

__version__ = "0.1.0"
