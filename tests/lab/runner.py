#!/usr/bin/env python3
"""Runs the unittest modules of one folder and prints the counts as a last line of JSON, for tests/run."""
import json
import pathlib
import signal
import sys
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


class Result(unittest.TextTestResult):
    def __init__(self, *arguments, **kwargs):
        super().__init__(*arguments, **kwargs)
        self.passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that labs are taken down (atexit)
    folder = (TOP / sys.argv[1]).resolve()
    sys.path[:0] = [str(TOP), str(folder)]
    suite = unittest.defaultTestLoader.discover(str(folder), pattern="test_*.py", top_level_dir=str(folder))
    if len(sys.argv) > 2:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[2:])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
    print(json.dumps({
        "passed": result.passed,
        "failed": len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses),
        "skipped": [[str(test), reason] for test, reason in result.skipped],
    }))


if __name__ == "__main__":
    main()
