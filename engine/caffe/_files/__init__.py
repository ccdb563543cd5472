"""Caffe's files: prototxts and their old forms, BlobProtos and HDF5, with bounded reads and whole-file writes."""
