"""``python -m benchmarks campaign``: what adbench does when it is killed, when the disk fails and when inputs are bad."""
