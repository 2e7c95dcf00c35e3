"""Clocks, devices and records: what was really there, and what it really took."""
