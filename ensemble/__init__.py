"""The report's ensemble (sections 4 and 5): class scores of every model, combined, and the judge's file.

Three steps, each a command: ``python -m ensemble.scoring.scores NAME``, ``python -m ensemble.combine NAME ...``
and ``python -m ensemble.submission``. They use Caffe through pycaffe alone. They run unchanged on our engine and on
BVLC Caffe 1.0. This package therefore uses nothing newer than Python 3.9 and NumPy 1.19.
"""
