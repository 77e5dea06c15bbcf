"""A stand-in for the worker that takes a second and can misbehave: ``python slow_worker.py MANNER SCRATCH``."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from BrainSSLAnomalyLib.jobs.worker import CANCEL, RESULTS


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main():
    manner, scratch = sys.argv[1], Path(sys.argv[2])
    if (
        manner == "deaf with a child"
    ):  # as a launcher: the child goes on when only the launcher is ended
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (scratch / "child").write_text(str(child.pid))
    for step in range(40):
        say(message="progress", stage="Working", fraction=step / 40)
        if manner == "polite" and (scratch / CANCEL).exists():
            say(message="failed", kind="cancelled", sentence="Cancelled: nothing was written.")
            sys.exit(130)
        if step == 10:
            if manner == "silent":
                time.sleep(60)
            if manner == "babbling":
                while True:
                    os.write(
                        1,
                        b'\xff\x00{"message": 7}\n[]\nnull\n{"message": "progress", "fraction": "nan"}\n'
                        + b"x" * 5000,
                    )
                    time.sleep(0.01)
            if manner == "flooding":
                while True:
                    os.write(1, b"\xfe" * (1 << 20))
            if manner == "quitting":
                sys.exit(3)
            if manner == "leaving early":
                sys.exit(0)
            if manner == "lying":
                say(message="done")
                sys.exit(0)
            if manner == "out of memory":
                raise MemoryError
        time.sleep(0.03)
    (scratch / RESULTS).mkdir()
    say(message="done")
    if manner == "never leaving":
        time.sleep(60)


main()
