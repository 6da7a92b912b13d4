"""Images from files to batches on the device, and the ground truth of a test set."""
