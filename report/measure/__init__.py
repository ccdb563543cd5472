"""How each number of the report is measured here, a file for each kind."""
