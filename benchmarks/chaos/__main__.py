"""The chaos matrix: ``python -m benchmarks.chaos [--only TEXT] [--dry]``.

Writes its table into docs/reliability.md. Exit status: 0 if every row is as it should
be, else 1.
"""

import argparse
import sys

import uvloop

from benchmarks.chaos.matrix import run_matrix
from benchmarks.chaos.page import table, with_table
from benchmarks.host import host_facts
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reliability.md"


def main() -> int:
    """Run the matrix, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos")
    add = parser.add_argument
    add("--only", default="", help="rows with this in their function's name; no page")
    add("--dry", action="store_true", help="leave docs as they are")
    options = parser.parse_args()
    host = host_facts()
    found = uvloop.run(run_matrix(lambda name: options.only in name, say=_say))
    print(table(found.rows))
    for problem in found.problems:
        print(f"PROBLEM {problem}")
    if not (options.dry or options.only):
        page = with_table(PAGE.read_text(), found.rows, found.problems, host)
        PAGE.write_text(page)
    return 0 if found.is_good else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
