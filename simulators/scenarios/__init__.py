"""Ready-made scripts of faults (TOML); see simulators.scenario."""
