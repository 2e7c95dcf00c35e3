"""How long a person waits for `import enterprise_lab` and `elab --help`: best of five.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import enterprise_lab": [sys.executable, "-c", "import enterprise_lab"],
    "elab --help": [sys.executable, "-c", "from enterprise_lab.cli import main; main()", "--help"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one run of the command."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


for name, command in COMMANDS.items():
    best_seconds = min(seconds(command) for _ in range(5))
    sys.stdout.write(f"{name:<22}{best_seconds:6.2f} s\n")
