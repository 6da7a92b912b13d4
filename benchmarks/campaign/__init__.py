"""``python -m benchmarks campaign``: runs that are killed, disks that fail, and bad inputs."""
