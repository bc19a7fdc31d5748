"""Benchmarks: they print ratios and counts, measured side by side in one run."""
