"""Tests of the API share one lab, and its description is at hand."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))
from harness import Lab  # noqa: E402


class Described(unittest.TestCase):
    """Tests of one lab, whose every answer is judged by its own description."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(network=2, tool=3)
        cls.addClassCleanup(cls.lab.down)
        cls.judge = cls.lab.judge
        cls.document = cls.judge.document
