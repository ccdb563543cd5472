"""Caffe's other commands, a file each; they take, write and log the same as real Caffe's."""
