"""The report's first pass (sections 4 and 5): both architectures at several learning rates, for a few epochs each.

    python -m first_pass.explore --epochs 3 [--models alexnet1 nin1] [--rates 0.01 0.003 0.001]      (make explore EPOCHS=3)

It works in runs/explore, which is laid out like the repository: solvers/, models/ and runs/ there, one of each for
every try. What is finished is not trained again, what was stopped goes on from its newest snapshot, and more EPOCHS
go on from where fewer ended. Several are trained at once where there are several GPUs, or JOBS on the CPU.
"""
