"""Caffe's schema and its messages: ``from caffe.proto import caffe_pb2``."""
