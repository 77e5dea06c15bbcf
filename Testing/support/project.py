"""Where the project and the real scans are."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BRAINSSL_DATA", PROJECT.parent / "shared" / "data"))
