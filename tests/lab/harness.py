"""A lab of a test's own: its namespaces and state are named by the process id, and it is taken down however the test ends."""
import atexit
import collections
import json
import os
import pathlib
import re
import signal
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from judge import Description  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
TIER = os.environ.get("SLUICE_TIER", "default")


def wait_until(what, condition, seconds=30):
    """Waits for a condition, never for a time; the seconds are a guard against hanging."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come about within {seconds} s")
        time.sleep(0.02)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Lab:
    def __init__(self, network=3, tool=4, queues=1, workers=1):
        self.judge = None
        self.name = f"slt{os.getpid()}"
        self.state = tempfile.mkdtemp(prefix="sluice-lab-")
        self.environment = {**os.environ, "SLUICE_LAB": self.name, "SLUICE_LAB_STATE": self.state + "/lab",
                            "SLUICE_LAB_QUIET": "1", "SLUICE_LAB_PREBUILT": "1"}
        atexit.register(self.down)
        self.run("up", "--network", str(network), "--tool", str(tool), "--queues", str(queues), "--workers", str(workers))
        exports = dict(line.removeprefix("export ").split("=", 1) for line in self.run("env").splitlines())
        self.url, self.token, self.cacert = (exports[k] for k in ("SLUICE_URL", "SLUICE_TOKEN", "SLUICE_CACERT"))
        self.context = ssl.create_default_context(cafile=self.cacert)
        # Every answer of every test is one that the API's own description promises.
        self.judge = Description(self.get("/api/v1/openapi.json"))

    def run(self, *arguments):
        done = subprocess.run([TOP / "image/lab", *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise AssertionError(f"image/lab {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def down(self):
        subprocess.run([TOP / "image/lab", "down"], env=self.environment, capture_output=True, check=False)
        subprocess.run(["rm", "-rf", self.state], check=False)
        atexit.unregister(self.down)

    def ns(self, room):
        return f"{self.name}-{room}"

    def in_ns(self, room, *command, **kwargs):
        return subprocess.run(["ip", "netns", "exec", self.ns(room), *command], check=True, timeout=120, **kwargs)

    def api(self, method, path, body=None, token=None, headers=None):
        request = urllib.request.Request(self.url + path, method=method)
        token = self.token if token is None else token
        if token:
            request.add_header("Authorization", "Bearer " + token)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if body is not None:
            request.data = (body if isinstance(body, str) else json.dumps(body)).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=60) as reply:
                answer = Answer(reply.status, reply.headers, reply.read().decode())
        except urllib.error.HTTPError as error:
            answer = Answer(error.code, error.headers, error.read().decode())
        if self.judge:
            self.judge.check(method, path, answer)
        return answer

    def local(self, method, path, body=None):
        """By the Unix socket, as root: what the answer holds."""
        command = ["curl", "-sS", "--fail-with-body", "--unix-socket", f"{self.state}/lab/mgmt/api.sock", "-X", method, f"http://sluice{path}"]
        done = subprocess.run(command + (["-d", json.dumps(body)] if body is not None else []), capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)

    def get(self, path):
        answer = self.api("GET", path)
        assert answer.status == 200, answer.body
        return answer.json()

    def put(self, path, body):
        answer = self.api("PUT", path, body)
        assert answer.status in (200, 201), answer.body
        return answer.json()

    def configure(self, maps, tool_groups=(), tap_pairs=()):
        """Replaces everything but the ports."""
        config = self.get("/api/v1/config")
        self.put("/api/v1/config", {"ports": config["ports"], "maps": list(maps), "tool_groups": list(tool_groups), "tap_pairs": list(tap_pairs)})

    def ledger(self):
        return self.get("/api/v1/ledger")

    def port(self, ledger, name):
        return next(p for p in ledger["ports"] if p["name"] == name)

    def settled(self):
        """The ledger once nothing is in flight and two looks agree; checked to balance, with the census of every frame."""
        last = None

        def quiet():
            nonlocal last
            ledger = self.ledger()
            same = ledger["quiescent"] and last is not None and ledger["totals"] == last["totals"]
            last = ledger
            return ledger if same else None

        ledger = wait_until("a quiescent ledger", quiet)
        assert ledger["unaccounted"] == 0, json.dumps(ledger["totals"])
        for worker in self.get("/api/v1/status")["data_plane"]["workers"]:
            assert worker["census"]["lost"] == 0 and worker["census"]["held"] == 0, worker
        return ledger


class Recording:
    """tcpdump at the far end of a cable; refuses to be evidence if it lost packets itself."""

    def __init__(self, lab, room, device, direction="in"):
        self.file = os.path.join(lab.state, f"{room}-{device}-{time.monotonic_ns()}.pcap")
        self.log = open(self.file + ".log", "w+")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", lab.ns(room), "tcpdump", "-n", "-U", "--immediate-mode", "-i", device, "-Q", direction, "-B", "65536", "-s", "0",
             "--time-stamp-precision=nano", "-w", self.file], stdout=subprocess.DEVNULL, stderr=self.log)
        wait_until(f"recording on {device}", lambda: "listening on" in open(self.file + ".log").read())

    def caught_up(self):
        """Whether tcpdump has written all that the kernel took for it: it tells when asked by a signal."""
        told = os.path.getsize(self.file + ".log")
        self.process.send_signal(signal.SIGUSR1)
        text = wait_until("tcpdump's figures", lambda: (lambda t: t if "captured" in t and "by filter" in t else None)(self.since(told)))
        figures = [int(n) for n in re.findall(r"(\d+) packets? (?:captured|received by filter)", text)]
        return figures[0] == figures[1]

    def since(self, offset):
        with open(self.file + ".log") as log:
            log.seek(offset)
            return log.read()

    def stop(self, sends_too=False):
        """The packets. sends_too: the device sends as well, which tcpdump counts and does not write: it can't be asked for the end then."""
        if not sends_too:
            wait_until("the recording's end", self.caught_up)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        assert "\n0 packets dropped by kernel" in self.since(0), "the recording itself lost packets:\n" + self.since(0)
        return read_capture(self.file)


def read_capture(path):
    """The packets of a pcap file as (nanoseconds, bytes); a record still being written is left out."""
    data = pathlib.Path(path).read_bytes()
    packets, at = [], 24
    if len(data) < at:
        return packets
    order = "<" if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xd4\xc3\xb2\xa1") else ">"
    scale = 1 if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1000
    while at + 16 <= len(data):
        seconds, fraction, length, _ = struct.unpack_from(order + "IIII", data, at)
        if at + 16 + length > len(data):
            break
        packets.append((seconds * 10**9 + fraction * scale, data[at + 16:at + 16 + length]))
        at += 16 + length
    return packets


def tshark(path, display_filter=None, fields=(), options=()):
    """Rows of fields of the frames that a display filter selects; no reassembly, so that each frame speaks for itself."""
    command = ["tshark", "-n", "-r", path, "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE"]
    for option in options:
        command += ["-o", option]
    if display_filter:
        command += ["-Y", display_filter]
    command += ["-T", "fields", "-E", "occurrence=f", "-e", "frame.number"]
    for field in fields:
        command += ["-e", field]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    return [line.split("\t") for line in out.splitlines()]


FLOW_FIELDS = ("eth.src", "eth.dst", "eth.type", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "ip.proto", "ipv6.nxt",
               "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport")


def flow_directions(path):
    """The frames of a capture, grouped by flow direction as tshark sees it, each group in order."""
    frames = [bytes_ for _, bytes_ in read_capture(path)]
    flows = collections.defaultdict(list)
    for number, *key in tshark(path, fields=FLOW_FIELDS):
        flows[tuple(key)].append(frames[int(number) - 1])
    return flows


def selected(path, display_filter):
    """The frames that a tshark display filter selects."""
    frames = [bytes_ for _, bytes_ in read_capture(path)]
    return [frames[int(row[0]) - 1] for row in tshark(path, display_filter)]


def write_capture(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for nanoseconds, data in packets:
            file.write(struct.pack("<IIII", nanoseconds // 10**9, nanoseconds % 10**9, len(data), len(data)) + data)


def numbered_frame(number, flow=0, size=64):
    """A UDP frame that carries its number; the checksum of its IP header is right."""
    header = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, size - 14, 0, 0, 64, 17, 0, bytes([10, 1, flow >> 8, flow & 255]), bytes([10, 2, 0, 1])))
    total = sum(struct.unpack(">10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", header, 10, ~total & 0xFFFF)
    udp = struct.pack(">HHHH", 1024 + flow, 9000, size - 34, 0)
    frame = bytes.fromhex("020000000002020000000001") + b"\x08\x00" + bytes(header) + udp + struct.pack(">Q", number)
    return frame + bytes(size - len(frame))


def number_of(frame):
    return struct.unpack_from(">Q", frame, 42)[0]


def start_generator(lab, port, packets, pps):
    """Sends these packets into a port, paced, in order; finish() says how many the kernel took."""
    file = os.path.join(lab.state, f"generated-{time.monotonic_ns()}.pcap")
    write_capture(file, list(enumerate(packets)))
    room, device = lab.run("peer", port).split()
    return subprocess.Popen(["ip", "netns", "exec", room, sys.executable, TOP / "tests/lab/generator.py", device, file, str(pps)],
                            stdout=subprocess.PIPE, text=True)


def finish(generator, early=False):
    """What was sent. early: a test that is done with its changes needs no more traffic."""
    if early:
        generator.send_signal(signal.SIGTERM)
    out, _ = generator.communicate(timeout=600)
    return json.loads(out)


def numbered(count, size=64):
    """Numbered frames of fifty flows."""
    return [numbered_frame(i, flow=i % 50, size=size) for i in range(count)]


def losses(port):
    """What the ledger says a port lost before a worker had it, by name."""
    received = port["received"]
    return received["xdp_misses"] + received["xdp_misses_before"] + received["lost_in_kernel"] + received.get("wire_losses", 0)
