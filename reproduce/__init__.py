"""The whole report in one command (`make reproduce`): its steps, what of them is done, and how long the rest takes.

It works in a folder of its own, reproduction/ (rehearsal-0.1/ with LENGTH=0.1), laid out as the repository is:
solvers/, models/, data/, runs/. A person's solvers/ and runs/ stay as they are.
"""
