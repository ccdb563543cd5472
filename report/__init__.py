"""The report's page: one HTML file that shows the results trained here beside those of the report of 2015.

    python -m report                  (make report)        runs/report.html, from the contents of runs/ and results/
    python -m report.save_results     (make results)       our numbers into results/measured.json, to be committed
    python -m report.table README.md  (make report-table)  README's table of the report's numbers beside ours

The report's own numbers are in paper.toml. A number that was not measured is marked so; nothing is filled in.
"""


class Missing(Exception):
    """A part of the page has nothing to show yet. The message is one line and names the command that makes it."""
