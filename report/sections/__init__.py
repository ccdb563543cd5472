"""The page's sections, a file for each, which make the values for the template of the same name.

`build(experiment)` returns the template's values, or raises Missing with the line to show instead.
"""
