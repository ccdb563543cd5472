"""The report's page: one HTML file that tells what was trained here, beside what the report of 2015 tells.

    python -m report                  (make report)       runs/report.html, from what runs/ and results/ hold
    python -m report.kept             (make results)      our numbers into results/measured.json, to be committed
    python -m report.table README.md  (make report-table) README's table of the report's numbers beside ours

The report's own numbers are in paper.toml. What was not measured is called so; nothing is filled in.
"""


class Missing(Exception):
    """A part of the page has nothing to show yet; the message is one line: what, and which command makes it."""
