"""Real captures with many encapsulations through the offline twin, judged by tshark."""
import collections
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from harness import TOP, read_capture, selected, tshark

# A rule's match and the tshark filter that means the same: layers pinned to the outermost, fragments without reassembly.
RULES = {
    "tcp": ({"ip": {"protocol": ["tcp"]}}, "ip.proto#1 == 6 or (ipv6 and not ip and tcp)"),
    "web": ({"ip": {"protocol": ["tcp"]}, "l4": {"port": ["80", "443"]}}, "tcp.port#1 in {80, 443} and not icmp and not icmpv6 and (ip.proto#1 == 6 or (ipv6 and not ip))"),
    "v4": ({"ip": {"version": 4}}, "ip.dst#1"),
    "vlan": ({"vlan": {"id": ["0-4095"]}}, "vlan"),
    "pcp": ({"vlan": {"pcp": ["1-7"]}}, "vlan.priority#1 > 0"),
    "ttl": ({"ip": {"version": 4, "ttl": ["0-64"]}}, "ip.ttl#1 <= 64"),
    "notttl": ({"not": ["ip.ttl"], "ip": {"version": 4, "ttl": ["0-64"]}}, "ip.ttl#1 > 64"),
    "dscp": ({"ip": {"version": 4, "dscp": ["1-63"]}}, "ip.dsfield.dscp#1 > 0"),
    "length": ({"ip": {"version": 4, "length": ["0-100", "1000-65575"]}}, "ip.dst#1 and (ip.len#1 <= 100 or ip.len#1 >= 1000)"),
    "syn": ({"ip": {"version": 4}, "l4": {"tcp_flags": ["syn,!ack"]}}, "ip.proto#1 == 6 and tcp.flags.syn#1 == 1 and tcp.flags.ack#1 == 0"),
    "either": ({"ip": {"endpoint": {"port": ["53"]}}}, "udp.port#1 == 53 and not icmp and (ip.proto#1 == 17 or (ipv6 and not ip)) and not gtp"),
    "later": ({"ip": {"version": 4, "fragment": ["LATER"]}}, "ip.frag_offset#1 > 0"),
    "vni": ({"tunnel": {"vni": ["0-16777215"]}}, "vxlan or geneve"),
    "teid": ({"tunnel": {"kind": ["GTP_U"]}}, "gtp.message == 0xff"),
    "session": ({"tunnel": {"erspan_session": ["0-1023"]}}, "erspan.spanid"),
    "mpls": ({"mpls": {"label": ["16-1048575"]}}, "mpls.label#1 >= 16"),
    "mac": ({"ethernet": {"dst": ["01:00:00:00:00:00/01:00:00:00:00:00"]}}, "eth.dst.ig#1 == 1"),
    "regex": ({"ip": {"version": 4, "protocol": ["tcp"]}, "regex": "HTTP/1\\.[01]"}, 'ip.proto#1 == 6 and tcp.payload matches "(?-i)HTTP/1\\\\.[01]"'),
    "bytes": ({"bytes": [{"anchor": "L3", "value": "RQ=="}]}, "ip.dst#1 and ip.hdr_len#1 == 20"),
}


# Rules on what only first fragments show: they apply to all fragments of a datagram.
ASK_FIRST_FRAGMENTS = {"web", "syn", "either"}
DATAGRAM = ("ip.src", "ip.dst", "ip.proto", "ip.id", "ipv6.src", "ipv6.dst", "ipv6.fraghdr.ident")


def later_fragments(path, display_filter):
    """Those of the datagrams whose first fragment the filter selects."""
    frames = [data for _, data in read_capture(path)]
    firsts = {tuple(key) for _, *key in tshark(path, f"({display_filter}) and (ip.flags.mf#1 == 1 or ipv6.fraghdr.more#1 == 1)", DATAGRAM)}
    return [frames[int(number) - 1] for number, *key in tshark(path, "ip.frag_offset#1 > 0 or ipv6.fraghdr.offset#1 > 0", DATAGRAM) if tuple(key) in firsts]


def captures():
    folder = pathlib.Path(os.environ.get("SLUICE_TESTDATA", "/nowhere")) / "captures"
    return sorted(p for p in folder.glob("*.pcap*")) if folder.is_dir() else []


class Captures(unittest.TestCase):
    longMessage = False

    def replay(self, capture, folder):
        tools = list(RULES) + ["all"]
        maps = [{"name": name, "sources": {"ports": ["in1"]}, "rules": [{"match": match, "action": "PASS"}], "destinations": [{"port": name}]}
                for name, (match, _) in RULES.items()]
        maps.append({"name": "all", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"port": "all"}]})
        config = pathlib.Path(folder, "config.json")
        config.write_text(json.dumps({"ports": [{"name": "in1", "role": "NETWORK"}] + [{"name": t, "role": "TOOL"} for t in tools], "maps": maps}))
        subprocess.run([TOP / "build/release/bin/sluice-replay", "--config", config, "--in", f"in1={capture}", "--out", folder], check=True, timeout=60)

    @unittest.skipUnless(captures(), "SLUICE_TESTDATA names no captures")
    def test_captures_come_out_as_they_went_in_and_rules_select_what_tshark_selects(self):
        with tempfile.TemporaryDirectory() as folder:
            joined = f"{folder}/joined.pcap"
            subprocess.run(["mergecap", "-a", "-F", "nsecpcap", "-w", joined, *captures()], check=True, capture_output=True)
            self.replay(joined, folder)
            came, went = [[d for _, d in read_capture(path)] for path in (joined, f"{folder}/all.pcap")]
            self.assertEqual(collections.Counter(came), collections.Counter(went), "a packet changed or is missing")
            # Fragments whose first one comes later, or never, wait for it; all others keep their order.
            wait = set(selected(joined, "ip.frag_offset > 0 or ipv6.fraghdr.offset > 0"))
            self.assertTrue([d for d in came if d not in wait] == [d for d in went if d not in wait], "the order changed")
            for name, (_, display_filter) in RULES.items():
                expected = collections.Counter(selected(joined, display_filter))
                if name in ASK_FIRST_FRAGMENTS:
                    expected += collections.Counter(later_fragments(joined, display_filter))
                got = collections.Counter(d for _, d in read_capture(f"{folder}/{name}.pcap"))
                self.assertTrue(expected, f"no packet for {name}")
                self.assertEqual(got, expected, f"{name}: {sum(got.values())} packets, tshark selects {sum(expected.values())}; "
                                 f"{[(f[:64].hex()) for f in list((got - expected) + (expected - got))[:1]]}")


if __name__ == "__main__":
    unittest.main()
