"""Trains and resumes Caffe, keeps the run folder and its journal, and shows how a training goes."""
