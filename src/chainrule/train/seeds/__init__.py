"""Nets of many seeds, trained side by side: `SeedTrainer`, `SeedHistory`."""
