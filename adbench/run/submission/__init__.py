"""Maps of private test images for a data set's server: scored, written as one archive, and checked."""
