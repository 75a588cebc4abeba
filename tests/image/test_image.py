"""The image on a disk of its own: what an engineer sees who flashes it, plugs cables in and turns the power on."""
import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import time
import unittest

import machine
from machine import Agent, Machine

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LONG = os.environ.get("SLUICE_TIER") == "long"
COUNT = 20000 if LONG else 1000
DISK = 4 << 30
PORTS = ["in1", "in2", "tool1", "tool2"]
FIRST_SLOTS = {"in1": 3, "in2": 5, "tool1": 6, "tool2": 7, "spare": 8, "management": 9}
SECOND_SLOTS = {"tool2": 3, "management": 4, "tool1": 5, "in1": 9}  # another order, and in2 is gone
SS = "LD_LIBRARY_PATH=/run/agent /run/agent/ss "


def setUpModule():
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("mmdebstrap", "mmdebstrap")):
        if not shutil.which(program):
            raise unittest.SkipTest(f"{package} is not installed: image/install-packages image")


def tools():
    """What the agent has beside a shell: ss with its libraries, but for the C library, and the prober of sandboxes."""
    ss = shutil.which("ss", path="/usr/bin:/usr/sbin:/bin:/sbin")
    listed = subprocess.run(["ldd", ss], stdout=subprocess.PIPE, text=True, check=True).stdout
    libraries = [path for path in re.findall(r"=> (/\S+)", listed) if not pathlib.Path(path).name.startswith("libc.so")]
    return [(path, pathlib.Path(path).name) for path in (ss, *libraries)] + [(TOP / "build/release/bin/image-escape", "escape")]


def packet(number, port, length=60):
    """A UDP packet that carries its number: rules tell it by its port, the test by its number."""
    payload = struct.pack(">I", number) + bytes(max(0, length - 46))
    udp = struct.pack(">HHHH", 1024 + number % 60000, port, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, 17, 0, bytes([10, 0, number >> 8 & 255, number & 255]), bytes([10, 1, 0, 1]))
    total = sum(struct.unpack(">10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + ip[12:]
    return bytes.fromhex("020000000002" "020000000001" "0800") + ip + udp


def captured():
    """Packets of real captures, where they are."""
    folder = pathlib.Path(os.environ.get("SLUICE_TESTDATA", "/nonexistent")) / "captures"
    frames = []
    for path in sorted(folder.rglob("*.pcap"))[:12]:
        data = path.read_bytes()
        if data[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") or struct.unpack_from("<I", data, 20)[0] != 1:
            continue
        at = 24
        while at + 16 <= len(data):
            length = struct.unpack_from("<I", data, at + 8)[0]
            frames.append(data[at + 16:at + 16 + length])
            at += 16 + length
    return [frame for frame in frames if 60 <= len(frame) <= 1514]


def configuration():
    ports = [{"name": name, "role": "NETWORK" if name.startswith("in") else "TOOL", "device": machine.mac_of(name)} for name in PORTS]
    match = [{"match": {"l4": {"dst_port": ["53"]}}, "action": "PASS"}]
    return {"ports": ports, "maps": [
        {"name": "everything", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "tool1"}]},
        {"name": "dns", "sources": {"ports": ["in1", "in2"]}, "rules": match, "destinations": [{"port": "tool2"}]}]}


def wait_for(condition, what):
    until = time.monotonic() + machine.PATIENCE
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come about")
        time.sleep(0.1)
    return value


def states(api):
    return {port["name"]: port["state"] for port in api.get("/status").get("ports", [])}


def balanced(api):
    """The ledger at rest, and that nothing in it is unaccounted."""
    ledger = wait_for(lambda: (found := api.get("/ledger"))["quiescent"] and found, "a ledger at rest")
    if int(ledger["unaccounted"]) != 0:
        raise AssertionError(f"unaccounted: {json.dumps(ledger)}")
    return ledger


def seen_in_sandbox(agent, unit):
    """What escape.cpp could and could not do: {attempt: came through}."""
    lines = agent.run(f"journalctl -o cat -u {unit}").splitlines() if unit else agent.run("/run/agent/escape /var/lib/sluice/sluice.sqlite").splitlines()
    return {line.split()[1]: line.split()[2] == "allowed" for line in lines if line.startswith("escape ")}


def once_more_after_a_standstill(test):
    """Starts the first machine anew, and the test, if that one failed because the emulation runs no more (machine.Machine.stands_still). Of any other
    failure it shows what the machine says: the ledger tells where packets are."""
    @functools.wraps(test)
    def wrapped(self):
        try:
            test(self)
        except Exception:
            if LONG or not self.first.stands_still(self.api):
                with contextlib.suppress(Exception):  # it may be what has failed
                    print(json.dumps(self.api.get("/ledger")), self.agent.run("journalctl -o cat -u sluiced | tail -n 20", check=False), sep="\n", flush=True)
                raise
            print(f"image: the emulated machine stands still in {test.__name__}: it is started once more", flush=True)
            self.first.power_cut()
            self.first.start()
            type(self).api = self.ready(self.first, "boot after a standstill")
            wait_for(lambda: set(states(self.api).values()) == {"UP"}, "all ports up")
            test(self)
    return wrapped


class Flashed(unittest.TestCase):
    """Two disks, flashed from one image: the first one's whole life, and the second one beside."""

    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.addClassCleanup(cls.stack.close)
        cls.folder = cls.stack.enter_context(machine.workplace())
        for name in ("first", "second", "wrong", "flipped"):
            (cls.folder / name).mkdir()
        begin = time.monotonic()
        cls.image = machine.flash(cls.folder / "first/disk.img", DISK)
        for name in ("second", "wrong", "flipped"):
            subprocess.run(["cp", "--sparse=always", cls.image, cls.folder / name / "disk.img"], check=True)
            os.truncate(cls.folder / name / "disk.img", DISK)
        print(f"image: made and flashed in {time.monotonic() - begin:.0f} s", flush=True)
        dropin = "[Service]\nExecPaths=/run/agent\nExecStartPre=-/run/agent/escape {}\n[Unit]\nRequires=run-agent.mount\nAfter=run-agent.mount\n"
        cls.agent = Agent(cls.folder / "first", tools(), {
            "unit-dropin.sluiced.service~escape": dropin.format("/var/lib/sluice/sluice.sqlite"),
            "unit-dropin.sluice-mgmt.service~escape": dropin.format("/sys/fs/bpf/sluice/.")})
        cls.first = cls.on(Machine(cls.folder / "first", cls.folder / "first/disk.img", FIRST_SLOTS, cls.agent))
        # No DHCP server where the second one's management port is plugged in.
        cls.second = cls.on(Machine(cls.folder / "second", cls.folder / "second/disk.img", room=cls.room("notebook", "192.168.100.2/24")))
        cls.page = cls.first.page()
        cls.first.wait_for_system()
        # Another process than that of the serial line, which may be a second behind it.
        wait_for(lambda: cls.page["first"] in cls.agent.run("cat /dev/vcs1"), "the certificate's fingerprint on the screen")
        cls.screen = cls.agent.run("cat /dev/vcs1")
        block = machine.readme("openssl", "", **{"192.0.2.10:443": f"127.0.0.1:{cls.first.port}", "abcde-fghij-kmnpq-rstuv": cls.page["secret"]})
        cls.printed = machine.shell(block, cwd=cls.folder)
        cls.api = cls.ready(cls.first, "first boot")
        # They boot beside the tests that follow: on two processors more than two at once would wait for each other.
        wrong = cls.folder / "wrong/disk.img"
        machine.shell(machine.readme("mcopy", wrong, **{"192.0.2.10/24": "192.0.2.300/24"}), cwd=cls.folder)
        cls.wrong = cls.on(Machine(cls.folder / "wrong", wrong))
        answer = cls.api.ask("PUT", "/api/v1/config", configuration())
        if answer.status != 200:
            raise AssertionError(f"configuration: {answer.status} {answer.body}")
        wait_for(lambda: set(states(cls.api).values()) == {"UP"}, "all ports up")

    @classmethod
    def room(cls, *arguments):
        room = machine.Room(cls.folder, *arguments)
        cls.stack.callback(room.close)
        return room

    @classmethod
    def on(cls, appliance):
        cls.stack.callback(appliance.power_cut)
        return appliance.start()

    @classmethod
    def ready(cls, appliance, what):
        appliance.wait_for_system()
        api = appliance.api()
        print(f"image: {what}: logged in {time.monotonic() - appliance.started:.0f} s after power-on", flush=True)
        return api

    def test_1_it_boots_to_its_page_with_name_address_fingerprint_and_first_login_secret(self):
        self.assertEqual(self.page["name"], "sluice-00aa01")
        self.assertEqual(self.page["address"], "https://10.0.2.15/")
        self.assertRegex(self.page["secret"], r"^([a-z2-9]{5}-){3}[a-z2-9]{5}$")
        for word in (self.page["name"], self.page["address"], self.page["secret"], self.page["first"]):
            self.assertIn(word, self.screen)
        # It is changed since, and nobody reads it there any more.
        wait_for(lambda: "First login" not in self.agent.run("cat /dev/vcs1"), "a screen without the secret")

    def test_1_the_ledger_and_everything_else_is_closed_to_who_has_not_logged_in(self):
        stranger = machine.Api(self.first.door(), self.page["fingerprint"])
        for path in ("/config", "/status", "/ledger", "/devices"):
            self.assertEqual(stranger.ask("GET", "/api/v1" + path).status, 401)

    def test_1_the_management_port_is_the_first_on_board_one_and_can_be_no_port(self):
        devices = self.api.get("/devices")
        self.assertEqual([d["mac"] for d in devices if d["management"]], [machine.MANAGEMENT_MAC])
        self.assertEqual({d["mac"]: d["port"] for d in devices if d["port"]}, {machine.mac_of(port): port for port in PORTS})
        for device in (machine.MANAGEMENT_MAC, "0000:00:09.0"):
            answer = self.api.ask("PUT", "/api/v1/ports/stolen", {"role": "NETWORK", "device": device})
            self.assertEqual(answer.status, 409, answer.body)
            self.assertIn("management port", answer.body)

    def test_1_a_card_that_is_no_port_yet_is_told_apart_by_its_blinking_light(self):
        [card] = [d for d in self.api.get("/devices") if d["mac"] == machine.SPARE_MAC]
        self.assertEqual((card["driver"], card["port"], card["management"]), ("e1000e", "", False))
        before = self.first.lights()
        answer = self.api.ask("POST", f"/api/v1/devices/{machine.SPARE_MAC}:identify", {"seconds": 1})
        self.assertEqual(answer.status, 204, answer.body)
        wait_for(lambda: len(set(self.first.lights()[len(before):])) >= 2, "a light that is switched on, and back")

    def test_1_ports_have_zero_copy_as_status_and_the_kernel_say(self):
        for port in self.api.get("/status")["ports"]:
            self.assertEqual([q["mode"] for q in port["queues"]], ["ZERO_COPY"], port)
        # The kernel's own account of its AF_XDP sockets, read by another program.
        text = self.agent.run(SS + "--xdp -e -H")
        self.assertEqual(len(re.findall(r"^xdp|:q\d+", text, re.M)), len(PORTS), text)
        self.assertEqual(text.count("zc:1"), len(PORTS), text)

    def test_1_the_readmes_way_to_log_in_works(self):
        self.assertIn("ingerprint=" + self.page["fingerprint"], self.printed)
        self.assertEqual(len(json.loads(self.printed[self.printed.index("["):])), len(PORTS) + 2)
        # By the password that it sets: nobody logs in by the secret any more.
        self.assertEqual(self.api.ask("POST", "/api/v1/login", {"password": machine.PASSWORD}).status, 200)
        self.assertEqual(self.api.ask("POST", "/api/v1/login", {"password": self.page["secret"]}).status, 401)

    @once_more_after_a_standstill
    def test_2_captures_sent_into_a_network_port_come_out_of_the_tool_ports_as_the_maps_say(self):
        sent = [packet(i, 53 if i % 4 == 0 else 80) for i in range(COUNT)] + captured()
        tools = {name: self.first.cables[name] for name in ("tool1", "tool2")}
        before = {name: len(cable.frames) for name, cable in tools.items()}
        for frame in sent:
            self.first.cables["in1"].send(frame)
        tools["tool1"].wait_for(lambda frames: len(frames) >= before["tool1"] + len(sent), "all packets")
        self.assertEqual(tools["tool1"].frames[before["tool1"]:], sent)
        ours = [frame for frame in sent[:COUNT] if frame[36:38] == b"\0\x35"]
        tools["tool2"].wait_for(lambda frames: len(frames) >= before["tool2"] + len(ours), "all DNS")
        balanced(self.api)
        dns = [frame for frame in tools["tool2"].frames[before["tool2"]:] if frame in set(ours)]
        self.assertEqual(dns, ours)
        self.assertEqual([n for n in PORTS if n.startswith("in") and self.first.cables[n].frames], [], "a network port has sent")

    @once_more_after_a_standstill
    def test_3_the_first_packet_after_a_crash_of_the_data_plane(self):
        balanced(self.api)
        before = len(self.first.cables["tool1"].frames)
        crashes = int(self.agent.run("systemctl show -P NRestarts sluiced"))
        begin = time.monotonic()
        self.agent.run("systemctl kill -s KILL sluiced")
        number = 0
        while len(self.first.cables["tool1"].frames) == before:
            self.first.cables["in1"].send(packet(number, 80))
            number += 1
            self.assertLess(time.monotonic() - begin, machine.PATIENCE, "no packet after a crash")
            time.sleep(0.005)
        gap = self.first.cables["tool1"].times[before] - begin
        print(f"image: {gap * 1000:.0f} ms from kill -9 of the data plane to the first packet (emulated processor)", flush=True)
        wait_for(lambda: set(states(self.api).values()) == {"UP"}, "all ports up again")
        self.assertEqual(int(self.agent.run("systemctl show -P NRestarts sluiced")), crashes + 1)
        self.assertEqual({port["queues"][0]["mode"] for port in self.api.get("/status")["ports"]}, {"ZERO_COPY"})
        balanced(self.api)

    def test_3_then_the_data_plane_hangs(self):
        # It is killed a quarter of a minute later; tests 4 do not need it.
        type(self).hanging = self.agent.run("systemctl show -P MainPID sluiced")
        self.agent.run(f"kill -STOP {self.hanging}")

    @once_more_after_a_standstill
    def test_4_nothing_listens_but_https(self):
        found = self.agent.run(SS + "-Htuln").split("\n")
        local = sorted({line.split()[0] + " " + line.split()[4] for line in found if line})
        # DHCP's client hears its server's answers.
        allowed = [r"tcp (\*|\[::\]):443", r"udp 10\.0\.2\.15(%\S+)?:68", r"udp \[fe80:[^]]*\](%\S+)?:546"]
        self.assertEqual([line for line in local if not any(re.fullmatch(pattern, line) for pattern in allowed)], [], found)
        self.assertTrue(any(line.endswith(":443") for line in local), found)

    @once_more_after_a_standstill
    def test_4_the_systems_network_tools_leave_the_ports_alone(self):
        listed = self.agent.run("cd /sys/class/net; for n in *; do echo $n $(grep ADMIN_STATE= /run/systemd/netif/links/$(cat $n/ifindex)); done")
        states = dict(line.replace("ADMIN_STATE=", "").split() for line in listed.splitlines())
        device = self.agent.run(". /run/sluice-setup/management; echo $MANAGEMENT_DEVICE")
        self.assertEqual([name for name, state in states.items() if state != "unmanaged"], [device], listed)
        self.assertEqual(len(states), len(PORTS) + 3, listed)  # the management port, the spare card and loopback
        addressed = {line.split()[-1] for line in self.agent.run("cat /proc/net/if_inet6").splitlines()}
        self.assertEqual(addressed - {"lo"}, {device})

    def test_5_a_data_plane_that_hangs_is_killed_by_the_watchdog_and_started_anew(self):
        wait_for(lambda: self.agent.run("systemctl show -P MainPID sluiced", check=False) not in (self.hanging, "0", ""), "another process")
        wait_for(lambda: self.api.ask("GET", "/api/v1/status").status == 200 and set(states(self.api).values()) == {"UP"}, "all ports up again")
        self.assertIn("watchdog", self.agent.run("journalctl -u sluiced -o cat").lower())

    @once_more_after_a_standstill
    def test_5_each_attempt_to_step_outside_a_daemons_sandbox_fails(self):
        free = seen_in_sandbox(self.agent, None)
        self.assertGreater(len(free), 30)
        # Root outside can do it all but write to what is mounted read-only and run what no file holds: the probe is known to notice.
        self.assertEqual({name for name, allowed in free.items() if not allowed}, {"write-system", "write-etc", "write-boot", "run-from-memory"}, free)
        data_plane = seen_in_sandbox(self.agent, "sluiced")
        management = seen_in_sandbox(self.agent, "sluice-mgmt")
        self.assertEqual(set(data_plane), set(free))
        self.assertEqual(set(management), set(free))
        self.assertEqual({name for name, allowed in data_plane.items() if allowed}, {"netlink-socket", "xdp-socket", "see-nics", "bpf", "realtime"})
        self.assertEqual({name for name, allowed in management.items() if allowed}, set())

    @once_more_after_a_standstill
    def test_5_the_daemons_have_their_privileges_and_no_others(self):
        for unit, wanted in (("sluiced", {"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_IPC_LOCK", "CAP_SYS_NICE"}), ("sluice-mgmt", set())):
            pid = self.agent.run(f"systemctl show -P MainPID {unit}")
            status = dict(line.split(":\t", 1) for line in self.agent.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line)
            bits = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_BPF": 39, "CAP_IPC_LOCK": 14, "CAP_SYS_NICE": 23}
            mask = sum(1 << bits[name] for name in wanted)
            for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(status[kind], 16), mask, (unit, kind))
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), unit)
            self.assertNotIn("0", status["Uid"].split(), unit)

    @once_more_after_a_standstill
    def test_6_the_data_partition_has_grown_over_the_disk_and_the_root_is_read_only(self):
        size = int(self.agent.run("stat -f -c '%b*%S' /var | sed 's/^/echo $((/; s/$/))/' | sh"))
        _, room = machine.partition(self.first.disk, "sluice-data")
        self.assertGreater(room, 2 << 30)
        self.assertGreater(size, room * 0.85)
        self.assertIn("ro", self.agent.run("awk '$2 == \"/\" {print $4}' /proc/mounts").split(","))
        self.assertIn("Read-only", self.agent.run("touch /usr/escaped", check=False))
        self.assertIn("verity", self.agent.run("cat /sys/block/dm-0/dm/uuid").lower())
        self.assertEqual(self.agent.run("systemctl --failed --no-legend --plain"), "")

    def test_7_without_a_dhcp_server_the_appliance_answers_at_its_fallback_address(self):
        page = self.second.page()
        self.assertEqual((page["name"], page["address"]), ("sluice-00aa01", "https://192.168.100.1/"))
        self.assertIn("no DHCP server has answered", self.second.read_console())
        self.assertEqual(self.second.api().ask("GET", "/api/v1/config").status, 200)

    def test_7_two_disks_of_one_image_share_no_secret(self):
        page = self.second.page()
        api = self.second.api()
        for what in ("secret", "fingerprint"):
            self.assertNotEqual(page[what], self.page[what])
        self.assertEqual(api.ask("POST", "/api/v1/login", {"password": self.page["secret"]}).status, 401)
        with self.assertRaisesRegex(AssertionError, "fingerprint|certificate"):
            machine.Api(self.second.door(), self.page["fingerprint"], self.second.room)
        api.token = self.api.token
        self.assertEqual(api.ask("GET", "/api/v1/config").status, 401)

    @once_more_after_a_standstill
    def test_8_after_a_power_cut_and_with_other_slots_configuration_and_identity_are_kept_and_no_port_is_bound_by_guess(self):
        # Boots beside, for a test that follows.
        self.second.power_cut()
        machine.flip_a_byte(self.folder / "flipped/disk.img", "sluice-a", 40)  # in the superblock: the first block that is read
        type(self).flipped = self.on(Machine(self.folder / "flipped", self.folder / "flipped/disk.img"))
        config = self.api.get("/config")
        identity = self.agent.run("cat /etc/machine-id")
        self.first.power_cut()
        self.assertTrue(machine.needs_recovery(self.first.disk))
        # The management port by name, with a fixed address in a VLAN.
        block = machine.readme("mcopy", self.first.disk, **{"192.0.2.10/24": "192.0.2.10/24\\nvlan = 100\\nname = broker-rack7"})
        self.assertIn(f"mac = {machine.MANAGEMENT_MAC}", block)
        machine.shell(block, cwd=self.folder)
        folder = self.folder / "again"
        folder.mkdir()
        agent = Agent(folder)
        room = self.room("vlan", "192.0.2.1/24", 100)
        again = type(self).again = self.on(Machine(folder, self.first.disk, SECOND_SLOTS, agent, onboard=False, room=room))
        api = self.ready(again, "second boot")
        page = again.page()
        self.assertEqual((page["fingerprint"], page["secret"]), (self.page["fingerprint"], None))
        self.assertEqual((page["name"], page["address"]), ("broker-rack7", "https://192.0.2.10/"))
        self.assertEqual(agent.run("cat /etc/machine-id"), identity)
        self.assertEqual(api.get("/config"), config)
        wanted = {name: "UP" if name in SECOND_SLOTS else "MISSING" for name in PORTS}
        wait_for(lambda: states(api) == wanted, f"the ports {wanted}")
        devices = {port["name"]: port["device"] for port in api.get("/status")["ports"]}
        self.assertEqual(devices, {name: machine.mac_of(name) for name in PORTS})
        sent = [packet(i, 53) for i in range(50)]
        for frame in sent:
            again.cables["in1"].send(frame)
        for name in ("tool1", "tool2"):
            again.cables[name].wait_for(lambda frames: len(frames) >= len(sent), f"{len(sent)} packets")
            self.assertEqual(again.cables[name].frames, sent, name)
        balanced(api)

    def test_8_with_a_mistake_in_sluice_conf_the_page_names_it_and_no_port_becomes_the_management_port(self):
        page = self.wrong.wait_for_console(r"(?s)Name +\S+.*?sluice\.conf[^\r\n]*").group()
        self.assertRegex(page, r"sluice\.conf: address: .*line \d|sluice\.conf: line \d+: address")
        self.assertNotIn("https://", self.wrong.read_console())

    def test_9_the_power_button_puts_everything_away_in_order(self):
        self.assertEqual(self.again.press_power_button(), "guest-shutdown")
        self.again.power_cut()
        self.assertFalse(machine.needs_recovery(self.first.disk))

    def test_9_a_flipped_byte_in_the_root_slot_is_refused(self):
        wait_for(lambda: self.flipped.process.poll() is not None, "the end of a system that may not start")
        self.assertRegex(self.flipped.read_console(), r"device-mapper: verity: .* data block 0 is corrupted")
        self.assertNotIn("First login", self.flipped.read_console())

    def test_9_the_image_is_small(self):
        self.assertLess(self.image.stat().st_blocks * 512, 400 << 20)


if __name__ == "__main__":
    unittest.main()
