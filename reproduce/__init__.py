"""The whole report in one command (`make reproduce`): its steps, their state, and the remaining time.

It works in a folder of its own, reproduction/, or rehearsal-0.1/ with LENGTH=0.1. The folder is laid out like the
repository: solvers/, models/, data/, runs/. The user's solvers/ and runs/ are not touched.
"""
