"""The page's colours, light and dark: the plots and the style sheet take them from here.

The series are Okabe and Ito's colours, distinguishable with every kind of colour vision. They are darkened or
lightened to a contrast with the page of 3 to 1, text of 4.5 to 1 (WCAG 2.1).
"""

LIGHT = {
    "paper": "#fdfdfc",
    "panel": "#f4f4f1",
    "ink": "#1b1e23",
    "muted": "#5a616b",
    "line": "#dcdcd6",
    "link": "#0b5cad",
    "blue": "#0072b2",
    "orange": "#b84c00",
    "green": "#00845f",
    "purple": "#a8518a",
    "brown": "#8f6a00",
    "sky": "#5a9fc9",
}
DARK = {
    "paper": "#14161a",
    "panel": "#1d2026",
    "ink": "#e7e8ea",
    "muted": "#a2a9b3",
    "line": "#363b44",
    "link": "#7cbcf5",
    "blue": "#56b0e8",
    "orange": "#f0883e",
    "green": "#3fbf95",
    "purple": "#d68fbd",
    "brown": "#d3ab3a",
    "sky": "#8ecdf0",
}
#: The colours of a plot's lines, in order.
SERIES = ("blue", "orange", "green", "purple", "brown", "sky")
