"""Reads images from files into batches on the device, and the ground truth of a test set."""
