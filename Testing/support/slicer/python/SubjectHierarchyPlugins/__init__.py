"""A stand-in for Slicer's package of this name: only its import makes the base class importable."""

import os
import sys

sys.path.append(os.path.dirname(os.path.realpath(__file__)))
