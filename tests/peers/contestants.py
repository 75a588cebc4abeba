"""Who forwards from in1 to tool1 (and tool2): Sluice and its peers, each on cables of the lab's own making, taken down however it ends."""
import atexit
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/lab"))
from harness import Lab, wait_until  # noqa: E402

GENERATOR = str(TOP / "build/release/bin/xsk-generator")
GENERATOR_CPU, CONTESTANT_CPU = 0, 1
NICE = -20  # of contestants and generator alike: what else the machine does should disturb neither

Count = collections.namedtuple("Count", "received drops")


class Missing(Exception):
    """This peer cannot take part; says why, and which package would help."""


def run(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
    return done.stdout


def need(program, package):
    if not shutil.which(program):
        raise Missing(f"{program} is not installed: package {package}, or sudo image/install-packages bench")


def threads(pid):
    return [int(t) for t in os.listdir(f"/proc/{pid}/task")]


def schedule_ns(pid):
    """Of all threads together, by the scheduler's own count: how long they ran, and how long they were ready but had no processor."""
    ran = waited = 0
    for thread in threads(pid):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as stat:
            figures = stat.read().split()
        ran += int(figures[0])
        waited += int(figures[1])
    return ran, waited


def softirq_threads():
    """The kernel's own threads that take over what came too thick for an interrupt."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if pathlib.Path(f"/proc/{name}/comm").read_text().startswith("ksoftirqd/"):
                    found.append(int(name))
            except OSError:
                continue
    return found


def prefer(pid):
    """The process before others. Sessions share processors evenly, whatever the niceness of what is in them, unless told otherwise."""
    for thread in threads(pid):
        os.setpriority(os.PRIO_PROCESS, thread, NICE)
    session = pathlib.Path(f"/proc/{pid}/autogroup")
    if session.exists():
        session.write_text(str(NICE))


class Contestant:
    """One forwarder with `copies` outputs. Rooms: the panel, where it works; the wire, where the generator is; the tools."""

    name = ""
    polls = False  # takes its whole processor whether packets come or not

    def __init__(self, copies):
        self.copies = copies
        self.outputs = [f"tool{i}" for i in range(1, copies + 1)]
        self.pids = []
        self.rooms = ""
        self.softirqs = softirq_threads()

    def __enter__(self):
        try:
            self.up()
            # A link of the lab's two servers would speak by itself now and then.
            for room in ("a", "b"):
                run("ip", "-n", self.ns(room), "link", "set", "eth0", "down")
            self.settle_down()
            wait_until(f"{self.name} forwarding", self.forwards)
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    def ns(self, room):
        return f"{self.rooms}-{room}"

    def settle_down(self):
        for pid in self.pids:
            prefer(pid)
            if not self.polls:  # those that poll place their threads themselves
                for thread in threads(pid):
                    os.sched_setaffinity(thread, {CONTESTANT_CPU})

    def generate(self, pps, seconds):
        """What the generator says of itself."""
        command = ["ip", "netns", "exec", self.ns("wire"), GENERATOR, "in1", str(pps), str(seconds), "60", str(GENERATOR_CPU)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            prefer(process.pid)
            out = process.communicate(timeout=seconds + 60)[0]
        assert process.returncode == 0, "the generator failed"
        return json.loads(out)

    def count(self):
        """What the far ends have received, and what devices on the way say they have dropped."""
        received = self.statistics("tools", [(d, "rx_packets") for d in self.outputs])
        panel = [("in1", "rx_dropped")] + [(d, "tx_dropped") for d in self.outputs]
        drops = self.statistics("panel", panel) + self.statistics("tools", [(d, "rx_dropped") for d in self.outputs])
        names = [f"{d} {what}" for d, what in panel] + [f"far end of {d} rx_dropped" for d in self.outputs]
        return Count(received, dict(zip(names, drops)))

    def statistics(self, room, wanted):
        files = [f"/sys/class/net/{device}/statistics/{what}" for device, what in wanted]
        return [int(n) for n in run("ip", "netns", "exec", self.ns(room), "cat", *files).split()]

    def forwards(self):
        before = self.count().received
        self.generate(2000, 0.05)
        return all(b > a for a, b in zip(before, self.count().received))

    def cpu_ns(self):
        return sum(schedule_ns(pid)[0] for pid in self.pids + self.softirqs)

    def waited_ns(self):
        return sum(schedule_ns(pid)[1] for pid in self.pids)

    def remarks(self):
        """What it says itself about what it lost."""
        return ""


class Sluice(Contestant):
    name = "Sluice"

    def up(self):
        self.lab = Lab(network=1, tool=self.copies)
        self.rooms = self.lab.name
        self.lab.configure([{"name": "everything", "sources": {"ports": ["in1"]}, "default_action": "PASS",
                             "destinations": [{"port": p} for p in self.outputs]}])
        self.pids = [int(pathlib.Path(self.lab.state, "lab/sluiced.pid").read_text())]

    def remarks(self):
        ports = self.lab.settled()["ports"]
        lost = [f"{p['name']} lost_in_kernel {p['received']['lost_in_kernel']}" for p in ports if p["received"]["lost_in_kernel"]]
        lost += [f"{p['name']} {drop}" for p in ports for drop in p["received"]["dropped"] + p["copies"]["dropped"]]
        return "its ledger balances and says: " + (", ".join(lost) or "nothing dropped")

    def down(self):
        if hasattr(self, "lab"):
            self.lab.down()


class Peer(Contestant):
    """On cables that image/lab.d makes, as it makes Sluice's; the panel's devices are up, silent and promiscuous."""

    serial = 0

    def up(self):
        Peer.serial += 1
        self.check()
        self.rooms = f"slp{os.getpid()}x{Peer.serial}"
        self.state = tempfile.mkdtemp(prefix="sluice-peer-")
        self.processes = []
        atexit.register(self.down)
        self.network("make_network")
        for device in ["in1", *self.outputs]:
            self.network(f"mute $ns_panel {device}; in_ns $ns_panel ip link set {device} promisc on up")
        self.start()

    def network(self, what):
        script = f"set -euo pipefail; lab=$1 network=1 tool=$2 queues=1; . image/lab.d/network.sh; {what}"
        run("bash", "-c", script, "-", self.rooms, str(self.copies), cwd=TOP)

    def panel(self, *command):
        return run("ip", "netns", "exec", self.ns("panel"), *command)

    def spawn(self, *command, **kwargs):
        """A process in the panel's room; /sys stays the machine's, as for sluiced."""
        log = open(os.path.join(self.state, f"{os.path.basename(command[0])}.log"), "w")
        there = ["nsenter", f"--net=/run/netns/{self.ns('panel')}", "taskset", "-c", kwargs.pop("cpus", str(CONTESTANT_CPU))]
        process = subprocess.Popen([*there, *command], stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **kwargs)
        self.processes.append(process)
        return process

    def down(self):
        if not self.rooms:
            return
        atexit.unregister(self.down)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.network("remove_network")
        shutil.rmtree(self.state, ignore_errors=True)
        self.rooms = ""

    def check(self):
        pass


class Drop(Peer):
    """No contestant: what the generator alone can do, into an end that drops in XDP."""

    name = "the generator alone"

    def start(self):
        self.panel(GENERATOR, "--drop", "in1")
        self.outputs = ["in1"]

    def count(self):
        return Count(self.statistics("panel", [("in1", "rx_packets")]), {})


class TcMirred(Peer):
    name = "tc mirred"

    def check(self):
        need("tc", "iproute2")

    def start(self):
        self.panel("tc", "qdisc", "add", "dev", "in1", "clsact")
        actions = []
        for device in self.outputs[:-1]:
            actions += ["action", "mirred", "egress", "mirror", "dev", device]
        self.panel("tc", "filter", "add", "dev", "in1", "ingress", "protocol", "all", "prio", "1", "u32", "match", "u32", "0", "0",
                   *actions, "action", "mirred", "egress", "redirect", "dev", self.outputs[-1])


class NftDup(Peer):
    name = "nft dup/fwd"

    def check(self):
        need("nft", "nftables")

    def start(self):
        rules = [f'dup to "{device}"' for device in self.outputs[:-1]] + [f'fwd to "{self.outputs[-1]}"']
        file = os.path.join(self.state, "rules")
        with open(file, "w") as out:
            out.write("table netdev peer {\n chain in {\n type filter hook ingress device \"in1\" priority 0;\n" + "\n".join(rules) + "\n}\n}\n")
        self.panel("nft", "-f", file)


class Testpmd(Peer):
    name = "DPDK testpmd"
    polls = True

    def check(self):
        need("dpdk-testpmd", "dpdk-dev")
        if self.copies > 1:
            raise Missing("testpmd has no mode that replicates; a bonding port in broadcast mode would be the nearest, but it does not start on "
                          "net_af_xdp, which cannot set a MAC address")

    def start(self):
        devices = []
        for i, device in enumerate(["in1", *self.outputs]):
            devices += ["--vdev", f"net_af_xdp{i},iface={device}"]
        self.process = self.spawn("dpdk-testpmd", "--no-huge", "--no-pci", "-m", "512", "--lcores", f"0@{GENERATOR_CPU},1@{CONTESTANT_CPU}",
                                  f"--file-prefix={self.rooms}", *devices, "--", "--forward-mode=io", "--auto-start", "--nb-cores=1",
                                  "--total-num-mbufs=32768", "--rxd=2048", "--txd=2048", stdin=subprocess.PIPE,
                                  cpus=f"{GENERATOR_CPU},{CONTESTANT_CPU}")
        self.pids = [self.process.pid]

    def remarks(self):
        return "takes a whole processor, polling"


class OpenVSwitch(Peer):
    name = "Open vSwitch"
    polls = True

    def check(self):
        need("ovs-vswitchd", "openvswitch-switch")
        need("ovsdb-server", "openvswitch-switch")

    def start(self):
        database, socket, control = (os.path.join(self.state, f) for f in ("conf.db", "db.sock", "ctl"))
        environment = {**os.environ, **{f"OVS_{what}DIR": self.state for what in ("RUN", "LOG", "DB", "SYSCONF")}}
        run("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema", env=environment)
        self.spawn("ovsdb-server", database, f"--remote=punix:{socket}", f"--unixctl={self.state}/dbctl", env=environment)
        wait_until("ovsdb-server", lambda: os.path.exists(socket))
        vsctl = ["ovs-vsctl", f"--db=unix:{socket}", "--timeout=20"]
        run(*vsctl, "--no-wait", "init")
        run(*vsctl, "--no-wait", "set", "Open_vSwitch", ".", f"other_config:pmd-cpu-mask={1 << CONTESTANT_CPU:x}")
        vswitchd = self.spawn("ovs-vswitchd", f"unix:{socket}", f"--unixctl={control}", env=environment)
        self.pids = [vswitchd.pid]
        run(*vsctl, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail-mode=secure", env=environment)
        for device in ["in1", *self.outputs]:
            run(*vsctl, "add-port", "br0", device, "--", "set", "interface", device, "type=afxdp", env=environment)
        flow = "in_port=in1,actions=" + ",".join(f"output:{device}" for device in self.outputs)
        run("ovs-ofctl", "add-flow", f"{self.state}/br0.mgmt", flow, env=environment)

    def remarks(self):
        return "netdev datapath, afxdp ports; takes a whole processor, polling"


ALL = (Sluice, TcMirred, NftDup, Testpmd, OpenVSwitch)
