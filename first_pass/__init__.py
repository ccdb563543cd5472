"""The report's first pass (sections 4 and 5): both architectures at several learning rates, for a few epochs each.

    python -m first_pass.explore --epochs 3 [--models alexnet1 nin1] [--rates 0.01 0.003 0.001]   (make explore EPOCHS=3)

It works in runs/explore, which is laid out like the repository. Every try has its own files in solvers/, models/ and
runs/ there. A finished try is not trained again. A stopped try resumes from its newest snapshot, and a larger EPOCHS
continues from the end of a smaller one. Several GPUs, or JOBS on the CPU, train several tries at once.
"""
