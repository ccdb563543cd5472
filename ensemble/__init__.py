"""The report's ensemble (sections 4 and 5): class scores of every model, combined, and the judge's file.

Three steps, each a command: ``python -m ensemble.scoring.scores NAME``, ``python -m ensemble.combine NAME ...``
and ``python -m ensemble.submission``. They speak to Caffe through pycaffe alone and run unchanged on our
engine and on BVLC Caffe 1.0, which means Python 3.9, NumPy 1.19 and nothing newer in this package.
"""
