"""What proves the speed claims: ratios measured side by side in one run. ``python -m benchmarks --help``."""
