"""Side by side with real Caffe: what both compute, and how long each takes, in one run."""
