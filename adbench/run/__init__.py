"""Runs methods: jobs, training, checkpoints, evaluation, and galleries of a run's errors."""
