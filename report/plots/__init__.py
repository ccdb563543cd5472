"""The page's plots: arrays in, inline SVG out."""
