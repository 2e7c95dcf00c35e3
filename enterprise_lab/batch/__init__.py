"""Batches: a plan of notebooks and parameters, run in child processes, compared in one report."""
