"""Conformance: the same work through Caffe's public door with every engine, set side by side."""
