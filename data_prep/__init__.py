"""From Tiny ImageNet to what Caffe trains on: find or download the set, list and split it, write LMDBs and
the mean.

The steps, each a module that runs with ``python -m``: ``data_prep.dataset`` (find, download, verify),
``data_prep.sample`` (an offline stand-in in the official layout), ``data_prep.build_lmdb`` (LMDBs, mean,
labels).
"""
