"""What a newer kernel and drivers that this machine does not have make of our packets; see multibuffer.cpp for the cases."""
import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest

import run

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = TOP / "build/release/bin/guest-multibuffer"
COUNT = 40000 if os.environ.get("SLUICE_TIER") == "long" else 2000
NICS = [(port, port + "-far") for port in ("in", "out1", "out2")]


def setUpModule():
    if not shutil.which("qemu-system-x86_64"):
        raise unittest.SkipTest("QEMU is not installed: image/install-packages guest")


class MultiBuffer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.outcome = run.boot(BINARY, ["--count", str(COUNT), "veth", "virtio"], NICS, timeout=600 + COUNT // 20)
        rows = [json.loads(line) for line in cls.outcome.output.splitlines() if line.startswith("{")]
        cls.rows = {(row["driver"], row["mode"], row["case"]): row for row in rows}
        if len(cls.rows) != len(rows):
            raise AssertionError("two cases have the same name:\n" + cls.outcome.output)

    def row(self, driver, mode, case):
        self.assertIn((driver, mode, case), self.rows, self.outcome.output)
        return self.rows[driver, mode, case]

    def whole(self, driver, mode, case, sent=True):
        row = self.row(driver, mode, case)
        self.assertEqual((row["why"], row["sent"], row["whole"]), ("", COUNT, COUNT), row)
        self.assertEqual(row["completed"], row["posted"], row)
        self.assertEqual(row["posted"] > 0, sent, row)
        return row

    def test_a_header_and_a_shared_payload_go_out_as_one_packet_on_veth(self):
        self.assertEqual(self.whole("veth", "COPY", "header and shared payload")["posted"], 4 * COUNT)

    def test_a_header_and_a_shared_payload_go_out_as_one_packet_on_virtio_net_in_copy_mode(self):
        self.assertEqual(self.whole("virtio_net", "COPY", "header and shared payload")["posted"], 4 * COUNT)

    def test_virtio_net_in_zero_copy_mode_refuses_chains_when_bound_or_sends_them_whole(self):
        row = self.row("virtio_net", "ZERO_COPY", "header and shared payload")
        if row["refused"]:
            self.assertIn("Operation not supported", row["why"])
        else:
            self.whole("virtio_net", "ZERO_COPY", "header and shared payload")

    def test_chains_cost_zero_copy_where_the_mode_is_left_to_the_kernel(self):
        self.whole("virtio_net", "COPY", "header and shared payload, mode left to the kernel")

    def test_a_frame_received_by_zero_copy_goes_to_two_outputs_by_reference(self):
        self.assertEqual(self.whole("virtio_net", "ZERO_COPY", "forward")["fragments"], COUNT)

    def test_a_frame_received_by_copy_goes_to_two_outputs_by_reference(self):
        for driver in ("veth", "virtio_net"):
            self.whole(driver, "COPY", "forward")

    def test_packets_longer_than_a_chunk_are_received_as_chains(self):
        for driver in ("veth", "virtio_net"):
            self.assertGreater(self.whole(driver, "COPY", "long packets received", sent=False)["fragments"], 2 * COUNT)

    def test_received_chains_go_to_two_outputs_behind_private_headers(self):
        for driver in ("veth", "virtio_net"):
            self.whole(driver, "COPY", "long packets forwarded behind headers")

    def test_sockets_may_be_closed_while_chains_are_on_their_way(self):
        for driver in ("veth", "virtio_net"):
            row = self.row(driver, "COPY", "sockets closed under way")
            self.assertTrue(row["ok"], row)

    def test_the_judge_notices_a_wrong_byte(self):
        row = self.row("veth", "COPY", "a wrong byte is noticed")
        self.assertIn(f"packet {COUNT // 2 - 1} came", row["why"])

    def test_the_program_says_what_its_cases_say(self):
        self.assertEqual([row for row in self.rows.values() if not row["ok"]], [])
        self.assertEqual(self.outcome.code, 0, self.outcome.output)

    def test_the_kernel_has_nothing_to_complain_of(self):
        self.assertEqual(self.outcome.complaints(), [], self.outcome.log[-8000:])



class OurPorts(unittest.TestCase):
    """The firmware's own port classes, pipeline and XDP program (ports.cpp)."""

    @classmethod
    def setUpClass(cls):
        cls.outcome = run.boot(TOP / "build/release/bin/guest-ports", ["--count", str(COUNT), "veth", "virtio"], NICS, timeout=600 + COUNT // 20)
        rows = [json.loads(line) for line in cls.outcome.output.splitlines() if line.startswith("{")]
        cls.rows = {(row["driver"], row["case"]): row for row in rows}

    def check(self, driver, case, modes, least=COUNT):
        """modes: of in, out1 and out2: Z zero-copy, C copy, as XDP_OPTIONS tells."""
        self.assertIn((driver, case), self.rows, self.outcome.output)
        row = self.rows[driver, case]
        self.assertEqual((row["why"], row["mode"]), ("", modes), row)
        self.assertGreaterEqual(row["whole"], least, row)
        self.assertEqual(row["whole"], row["sent"], row)

    def test_a_device_with_zero_copy_gets_it_and_its_packets_go_to_two_outputs_by_reference(self):
        self.check("virtio_net", "forward", "ZZZ")
        self.check("veth", "forward", "CCC")

    def test_a_packet_for_a_tool_of_another_memory_class_is_copied_once(self):
        self.check("virtio_net", "across classes", "ZZC")

    def test_long_packets_are_received_and_sent_as_chains(self):
        self.check("veth", "long packets", "CCC")

    def test_a_header_of_ours_and_a_shared_payload_go_out_as_one_packet(self):
        self.check("veth", "header and shared payload", "CC")
        self.check("virtio_net", "header and shared payload", "CC")

    def test_frames_of_a_socket_that_closes_under_way_come_back_once_the_kernel_has_let_go(self):
        self.check("virtio_net", "closed under way", "Z", least=20)
        self.check("veth", "closed under way", "C", least=20)

    def test_what_is_proven_here_is_what_the_firmware_lists(self):
        listed = (TOP / "firmware/port/multi_buffer.cpp").read_text()
        for driver in ("veth", "virtio_net"):
            kernel = self.rows[driver, "header and shared payload"]["kernel"].split(".")
            self.assertIn(f'Proven{{"{driver}", false, {{{kernel[0]}, {kernel[1]}}}, {{{kernel[0]}, {kernel[1]}}}}}', listed)

    def test_the_kernel_has_nothing_to_complain_of(self):
        self.assertEqual(self.outcome.complaints(), [])


class Harness(unittest.TestCase):
    """The guest itself: a failure in it must not look like anything else."""

    def script(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as file:
            file.write("#!/bin/sh\n" + text)
        self.addCleanup(os.unlink, file.name)
        os.chmod(file.name, 0o755)
        return file.name

    def test_exit_code_output_arguments_and_kernel_warnings_come_back(self):
        program = self.script('echo "$2"; echo "WARNING: at nowhere" >/dev/kmsg; exit 7\n')
        outcome = run.boot(program, ["a", "two words; $HOME"])
        self.assertEqual((outcome.code, outcome.output), (7, "two words; $HOME\n"))
        self.assertEqual([line.split("] ")[-1] for line in outcome.complaints()], ["WARNING: at nowhere"])

    def test_a_panic_is_an_error_with_the_console_in_it(self):
        with self.assertRaisesRegex(run.GuestFailed, "sysrq triggered crash"):
            run.boot(self.script("echo c >/proc/sysrq-trigger; sleep 60\n"))

    def test_what_does_not_end_is_ended(self):
        begin = time.monotonic()
        with self.assertRaisesRegex(run.GuestFailed, "did not end within 3 s"):
            run.boot(self.script("sleep 1000\n"), timeout=3)
        self.assertLess(time.monotonic() - begin, 300)


if __name__ == "__main__":
    unittest.main()
