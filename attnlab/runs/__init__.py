"""A run from its configuration to its folder on disk, and sweeps of runs."""
