"""The parser, the packet builder and tshark about the same packets: three ways to know, none of which knows another's code."""
import copy
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import typing
import unittest

import tshark_facts

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = TOP / "build/release/bin/parse-dump"
# tshark cannot know which label is a pseudowire; the cases keep this one for them.
PSEUDOWIRE_LABEL = 777


@dataclasses.dataclass
class Rule:
    """Where tshark goes on, stops or guesses otherwise than the parser's contract says, and what is compared instead."""
    name: str
    reason: str
    where: str  # "cases" or "captures": where it must be needed
    applies: typing.Callable  # of a Dissection
    headers: typing.Callable  # of a Dissection: the headers that count
    changes: typing.Callable = lambda facts: None  # what those headers then say
    unknown: tuple = ()  # fields of the outer set that tshark does not tell
    flag: str = ""  # that the dump must show


def up_to(names, count):
    """Those headers that end with the `count`th of these names."""
    return {"applies": lambda d: d.position(names, count + 1) is not None, "headers": lambda d: d.headers[:d.position(names, count) + 1]}


def ipv6_parts(dissection, *names):
    return next(([p for p in h.parts if p.name in names] for h in dissection.headers if h.name == "ipv6"), [])


def eight_parts(dissection):
    """The headers up to IPv6, and of that only the first eight extension headers."""
    *before, header = dissection.headers[:dissection.position(("ipv6",), 1) + 1]
    header = copy.copy(header)
    header.parts = ipv6_parts(dissection, *tshark_facts.NEXT)[:8]
    return [*before, header]


RULES = (
    Rule("ninth tag", "the parser follows eight tags", "cases", **up_to(tuple(tshark_facts.TAGS), 8), flag="too_deep"),
    Rule("seventeenth label", "the parser follows sixteen labels", "cases", **up_to(("mpls",), 16), flag="too_deep"),
    Rule("ninth extension header", "the parser follows eight, and does not say that the ninth's number is the protocol", "cases",
         lambda d: len(ipv6_parts(d, *tshark_facts.NEXT)) > 8, eight_parts, lambda facts: facts["outer"].update(protocol=None), flag="too_deep"),
    Rule("mobility", "RFC 6275 has it carry nothing, and tshark stops there; the parser's list of extension headers is IANA's", "cases",
         lambda d: ipv6_parts(d, "mipv6"), lambda d: d.headers, unknown=("l4", "l4_offset", "ports", "payload_offset")),
    Rule("HIP", "tshark takes it for an upper layer; the parser's list of extension headers is IANA's", "cases",
         lambda d: d.position(("hip",), 1), lambda d: d.headers, unknown=("protocol", "l4", "l4_offset", "ports", "payload_offset")),
    Rule("VXLAN from port 4789", "tshark takes either port for VXLAN's; RFC 7348 section 5 says the destination", "cases",
         lambda d: d.position(("vxlan",), 1) and d.headers[d.position(("vxlan",), 1) - 1].number("udp.dstport") != 4789,
         lambda d: d.headers[:d.position(("vxlan",), 1)]),
    Rule("part of a header", "tshark shows the fields of a header that ends behind the packet's last byte; the parser shows whole headers", "captures",
         lambda d: d.position(("_ws.short",), 1), lambda d: d.headers[:d.position(("_ws.short",), 1) - 1], flag="truncated"),
)


def flags_of(said):
    return sorted({*said["outer"]["flags"], *said["tunnel_flags"], *(said["inner"] or {"flags": []})["flags"]})


class Comparison:
    """Compares what parse-dump said of a capture with what tshark says: every field, unless a rule names it."""

    def __init__(self, lines, dissections, who="parse-dump"):
        self.packets, self.fields, self.differences, self.used, self.who = len(lines), 0, [], set(), who
        if len(lines) != len(dissections):
            self.differences.append(f"{len(lines)} packets, tshark sees {len(dissections)}")
        for said, dissection in zip(lines, dissections):
            self.packet(said, dissection)

    def packet(self, said, dissection):
        name = f"packet {said['n']}" + (f" ({said['name']})" if said["name"] else "")
        facts, unknown = dissection.facts, ()
        flags = ["truncated"] if dissection.bytes_missing() else []
        for rule in RULES:
            if rule.applies(dissection):
                self.used.add(rule.name)
                facts, unknown = tshark_facts.Reader(rule.headers(dissection)).facts, rule.unknown
                rule.changes(facts)
                flags = [rule.flag] if rule.flag else flags
        self.equal(name, "", said, facts)
        self.equal(name, "outer.", said["outer"], facts["outer"], unknown)
        if (said["inner"] is None) != (facts["inner"] is None):
            self.note(name, "inner", *("none" if side["inner"] is None else "present" for side in (said, facts)))
        elif facts["inner"] is not None:
            self.equal(name, "inner.", said["inner"], facts["inner"])
        self.fields += 1
        if flags_of(said) != flags:
            self.note(name, "flags", flags_of(said), flags)

    def equal(self, name, prefix, said, facts, unknown=()):
        for field, value in facts.items():
            if field in ("outer", "inner") or field in unknown:
                continue
            self.fields += 1
            if said[field] != value:
                self.note(name, prefix + field, said[field], value)

    def note(self, name, field, said, value):
        self.differences.append(f"{name}: {field}: {self.who} says {said}, tshark says {value}")


def lines_of(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"parse-dump {' '.join(map(str, arguments))} failed: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def captures():
    folder = pathlib.Path(os.environ.get("SLUICE_TESTDATA", "/nowhere")) / "captures"
    return sorted(folder.glob("*.pcap*")) if folder.is_dir() else []


class Oracle(unittest.TestCase):
    longMessage = False

    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/cases.pcap"
            cls.record = lines_of("--cases", file)
            cls.parsed = lines_of(file)
            cls.dissections = tshark_facts.dissect(file, [f"mpls.label=={PSEUDOWIRE_LABEL},pwethcw"])
        for said, recorded in zip(cls.parsed, cls.record):
            said["name"] = recorded["name"]

    def agree(self, what, comparison):
        print(f"{what}: {comparison.packets} packets, {comparison.fields} fields compared, rules: {', '.join(sorted(comparison.used)) or 'none'}")
        self.assertEqual(comparison.differences, [], f"{what}: {len(comparison.differences)} differences:\n" + "\n".join(comparison.differences[:40]))

    def all_rules_used(self, where, used):
        unused = [rule.name for rule in RULES if rule.where == where and rule.name not in used]
        self.assertEqual(unused, [], f"rules that no packet of the {where} needs: {unused}")

    def test_the_builder_records_of_each_case_what_tshark_sees(self):
        comparison = Comparison(self.record, self.dissections, "the builder")
        self.agree("the builder's cases", comparison)
        self.all_rules_used("cases", comparison.used)

    def test_the_builder_leaves_no_wrong_checksum_and_no_malformed_header(self):
        for recorded, dissection in zip(self.record, self.dissections):
            self.assertEqual(dissection.wrong_checksums(), [], recorded["name"])
            self.assertFalse(dissection.bytes_missing() or dissection.malformed(), f"{recorded['name']}: tshark complains: {dissection.names}")

    def test_the_parser_finds_in_each_case_what_tshark_sees(self):
        comparison = Comparison(self.parsed, self.dissections)
        self.agree("the parser's cases", comparison)
        self.all_rules_used("cases", comparison.used)

    def test_the_parser_finds_in_each_case_what_the_builder_recorded(self):
        pairs = zip(self.parsed, self.record, strict=True)
        different = [f"{recorded['name']}:\nparser  {json.dumps(said)}\nbuilder {json.dumps(recorded)}" for said, recorded in pairs if said != recorded]
        self.assertEqual(different, [], f"{len(different)} differences:\n" + "\n".join(different[:20]))

    @unittest.skipUnless(captures(), "SLUICE_TESTDATA names no captures")
    def test_the_parser_finds_in_each_capture_what_tshark_sees(self):
        used = set()
        for capture in captures():
            with self.subTest(capture=capture.name):
                comparison = Comparison(lines_of(capture), tshark_facts.dissect(capture))
                used |= comparison.used
                self.agree(capture.name, comparison)
        self.all_rules_used("captures", used)

    def test_a_falsified_port_is_named_with_its_packet_and_both_values(self):
        falsified = json.loads(json.dumps(self.record))
        number = next(i for i, said in enumerate(falsified) if said["inner"] and said["inner"]["ports"] == [3333, 4444])
        falsified[number]["inner"]["ports"][1] = 4445
        comparison = Comparison(falsified, self.dissections)
        self.assertEqual(comparison.differences, [
            f"packet {number + 1} ({falsified[number]['name']}): inner.ports: parse-dump says [3333, 4445], tshark says [3333, 4444]"])

    def test_a_packet_or_a_layer_that_is_missing_is_noticed(self):
        self.assertEqual(Comparison(self.record[:-1], self.dissections).differences, [f"{len(self.record) - 1} packets, tshark sees {len(self.record)}"])
        falsified = json.loads(json.dumps(self.record))
        number = next(i for i, said in enumerate(falsified) if said["inner"])
        falsified[number]["inner"] = None
        self.assertEqual(Comparison(falsified, self.dissections).differences,
                         [f"packet {number + 1} ({falsified[number]['name']}): inner: parse-dump says none, tshark says present"])


if __name__ == "__main__":
    unittest.main()
