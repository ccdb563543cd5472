"""The page's sections, a file for each: what is read becomes what its template of the same name shows.

`build(experiment)` returns the template's values, or raises Missing with the line that stands there instead.
"""
