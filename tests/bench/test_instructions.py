"""No stage of the packet path grows by a tenth unnoticed."""
import json
import unittest

import instructions


class Instructions(unittest.TestCase):
    def test_no_stage_needs_a_tenth_more_instructions_a_packet_than_before(self):
        file = json.loads(instructions.KNOWN.read_text())
        if file["compiler"] != instructions.compiler():
            self.skipTest(f"counted with {file['compiler']}, this is {instructions.compiler()}")
        counted = {stage: instructions.instructions(stage) for stage in instructions.STAGES}
        print(json.dumps(counted), flush=True)
        self.assertEqual(instructions.regressions(file["instructions"], counted), [])

    def test_a_regression_is_noticed_and_named(self):
        self.assertEqual(instructions.regressions({"parse": 100.0}, {"parse": 110.0}), [])
        self.assertEqual(instructions.regressions({"parse": 100.0}, {"parse": 110.1}), ["parse: 110.1 instructions a packet, 100.0 before (+10.1%)"])
        self.assertEqual(len(instructions.regressions({}, {"new": 1.0})), 1, "a stage that nobody has counted yet")


if __name__ == "__main__":
    unittest.main()
