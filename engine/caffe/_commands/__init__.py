"""Caffe's other commands, a file each: what they take, write and log is what real Caffe's do."""
