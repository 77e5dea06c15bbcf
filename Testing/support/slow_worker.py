"""A worker that takes a second and can misbehave: ``python slow_worker.py MANNER SCRATCH``.

``polite`` obeys a request to stop, ``deaf`` does not; the other manners are below.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from BrainSSLAnomalyLib.jobs.messages import CANCEL, RESULTS

FOREVER_SECONDS = 3600
NONSENSE = b'\xff\x00{"message": 7}\n[]\nnull\n{"message": "progress", "fraction": "nan"}\n'


def send(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def misbehave(manner):
    if manner == "silent":
        time.sleep(FOREVER_SECONDS)
    while manner == "babbling":
        os.write(1, NONSENSE + b"x" * 5000)
        time.sleep(0.01)
    while manner == "flooding":
        os.write(1, b"\xfe" * (1 << 20))
    if manner == "quitting":
        sys.exit(3)
    if manner == "leaving early":
        sys.exit(0)
    if manner == "lying":
        send(message="done")
        sys.exit(0)
    if manner == "out of memory":
        raise MemoryError


def main():
    manner, scratch = sys.argv[1], Path(sys.argv[2])
    if manner == "deaf with a child":  # a launcher, whose child goes on when only it is ended
        code = f"import time; time.sleep({FOREVER_SECONDS})"
        child = subprocess.Popen([sys.executable, "-c", code])
        (scratch / "child").write_text(f"{child.pid}\n")
    for step in range(40):
        send(message="progress", stage="Working", fraction=step / 40)
        if manner == "polite" and (scratch / CANCEL).exists():
            send(message="failed", kind="cancelled", sentence="Cancelled: nothing was written.")
            sys.exit(130)
        if step == 10:
            misbehave(manner)
        time.sleep(0.03)
    if manner.startswith("deaf"):  # it ends only when it is ended
        time.sleep(FOREVER_SECONDS)
    (scratch / RESULTS).mkdir()
    send(message="done")
    if manner == "never leaving":
        time.sleep(FOREVER_SECONDS)


if __name__ == "__main__":
    main()
