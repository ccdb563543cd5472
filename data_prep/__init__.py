"""Prepares Tiny ImageNet for Caffe: finds or downloads the set, lists and splits it, writes LMDBs and the mean.

Each step is a module that runs with ``python -m``. ``data_prep.dataset`` finds, downloads and verifies the set.
``data_prep.sample`` makes an offline stand-in in the official layout. ``data_prep.build_lmdb`` writes the LMDBs,
mean and labels.
"""
