"""Side by side with real Caffe: the results of both, and the time that each takes, in one run."""
