"""Layer arithmetic that several layers share, or that a CPU does faster in another way."""
