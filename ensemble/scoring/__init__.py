"""Class scores of trained models. These modules run unchanged on real pycaffe (Python 3.9, NumPy 1.19)."""
