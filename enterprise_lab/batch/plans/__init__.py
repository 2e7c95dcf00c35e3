"""Plan files: read, checked, expanded into runs; what these will take."""
