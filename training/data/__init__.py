"""The training data: its files and labels, the archives made from it, and what stands out in it."""
