"""Find what is unusual in a brain MRI without ever having been shown a lesion. Research use, not for diagnosis.

Importing this package imports neither torch nor slicer; every room is imported where it is needed.
"""

__version__ = "0.1.0"
