"""What tshark says of each packet of a capture, in the form of parse-dump: the outer layer set, the tunnel, the inner layer set, told apart by
the order of tshark's own dissection. Its guesses are off, and nothing is reassembled: each packet speaks for itself."""
import subprocess
import xml.etree.ElementTree

OPTIONS = ("ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE", "udp.try_heuristic_first:FALSE",
           "ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE", "sctp.checksum:TRUE")
# A tag's identifier, and what may name the type or the length behind it.
TAGS = {"vlan": ("vlan.id", "vlan.etype", "vlan.len"), "ieee8021ad": ("ieee8021ad.id", "ieee8021ah.etype", "ieee8021ah.len")}
# Where the protocol behind an extension header stands.
NEXT = {"ipv6.hopopts": "ipv6.hopopts.nxt", "ipv6.routing": "ipv6.routing.nxt", "ipv6.fraghdr": "ipv6.fraghdr.nxt", "ipv6.dstopts": "ipv6.dstopts.nxt",
        "shim6": "shim6.nxt", "ah": "ah.next_header", "mipv6": "mip6.proto", "hip": "hip.proto"}
TUNNEL_IDS = {"vxlan": "vxlan.vni", "geneve": "geneve.vni", "gtp": "gtp.teid"}
TUNNEL_NAMES = {"gtp": "gtpu", "pwethcw": "pseudowire"}
CHECKSUMS = {p + ".checksum.status" for p in ("ip", "tcp", "udp", "sctp", "icmp", "icmpv6", "gre")}
# Neither headers nor payload: tshark's way to show bytes that have no dissector.
NO_HEADERS = ("geninfo", "frame", "fake-field-wrapper")


def empty_set():
    return {"ethernet": False, "l2_offset": 0, "ethertype": 0, "tci": [], "mpls_offset": 0, "mpls_entries": [], "pppoe": None, "l3": "none", "l3_offset": 0,
            "src": "", "dst": "", "protocol": None, "fragment": "whole", "l4": "none", "l4_offset": 0, "ports": None, "icmp": None, "payload_offset": 0}


class Header:
    """One protocol of a dissection: where it stands and its fields, those of its sub-headers too."""

    def __init__(self, element):
        self.name = element.get("name")
        self.at = int(element.get("pos", 0))
        self.end = self.at + int(element.get("size", 0))
        self.fields = [f for f in element.iter("field")]
        self.parts = [Header(p) for p in element.findall(".//proto")]

    def field(self, name, attribute="show"):
        return next((f.get(attribute) for f in self.fields if f.get("name") == name), None)

    def number(self, name):
        """The field's value as a number, or None."""
        value = self.field(name, "value")
        return None if not value else int(value, 16)

    def unmasked(self, name):
        value = self.field(name, "unmaskedvalue") or self.field(name, "value")
        return None if not value else int(value, 16)


class Reader:
    """Builds the facts of one packet from its headers in order."""

    def __init__(self, headers):
        self.headers = headers
        self.facts = {"tunnel": "none", "tunnel_offset": 0, "tunnel_id": None, "outer": empty_set(), "inner": None}
        self.set = self.facts["outer"]
        self.carried = False  # a tunnel header was read, the inner packet is next
        for header in headers:
            if header.name in NO_HEADERS or header.name == "ppp" and self.carried:
                continue
            step = getattr(self, "read_" + ("tag" if header.name in TAGS else header.name), None)
            if step is None or step(header) is False:
                break

    def open(self):
        """A header that begins a layer set if a tunnel header came before."""
        if self.carried:
            self.carried = False
            self.set = self.facts["inner"] = empty_set()

    def tunnel(self, name, header, number=None):
        """False if it is a tunnel in a tunnel: payload."""
        if self.set is self.facts["inner"] or (self.carried and name != "erspan"):
            return False
        offset = self.facts["tunnel_offset"] if self.carried else header.at
        self.facts.update(tunnel=name, tunnel_id=number, tunnel_offset=offset)
        self.carried = True
        return True

    def upper(self, name, header, size, **more):
        self.set.update(l4=name, l4_offset=header.at, payload_offset=header.at + size, **more)

    def read_eth(self, header):
        if header.at != 0 and not self.carried:
            return False
        self.open()
        kind = header.number("eth.type")
        self.set.update(ethernet=True, l2_offset=header.at, ethertype=header.number("eth.len") if kind is None else kind, payload_offset=header.at + 14)

    def read_tag(self, header):
        identifier, *kinds = TAGS[header.name]
        self.set["tci"].append(header.unmasked(identifier))
        self.set["ethertype"] = next((header.number(k) for k in kinds if header.number(k) is not None), None)
        self.set["payload_offset"] = header.end

    def read_llc(self, header):
        kind = header.number("llc.type")
        if kind is None or header.number("llc.oui"):
            return False
        self.set.update(ethertype=kind, payload_offset=header.at + 8)

    def read_mpls(self, header):
        self.open()
        if not self.set["mpls_entries"]:
            self.set["mpls_offset"] = header.at
        self.set["mpls_entries"].append(header.unmasked("mpls.label"))
        self.set["payload_offset"] = header.at + 4

    def read_pwethcw(self, header):
        return self.tunnel("pseudowire", header)

    def read_pppoes(self, header):
        self.set["pppoe"] = header.number("pppoe.session_id")

    def read_ppp(self, header):
        self.set["payload_offset"] = header.end

    def read_arp(self, header):
        self.open()
        self.set.update(l3="arp", l3_offset=header.at, payload_offset=header.at + 28)

    def read_ip(self, header):
        if self.ip(header, "ipv4", "ip") is False:
            return False
        size = int(header.field("ip.hdr_len") or 0)
        more, offset = header.number("ip.flags.mf"), header.number("ip.frag_offset")
        self.set.update(protocol=header.number("ip.proto"), fragment="later" if offset else "first" if more else "whole",
                        payload_offset=header.at + size)

    def read_ipv6(self, header):
        if self.ip(header, "ipv6", "ipv6") is False:
            return False
        self.set.update(protocol=header.number("ipv6.nxt"), payload_offset=header.at + 40)
        for part in header.parts:
            if part.name in NEXT:
                self.extension(part)

    def ip(self, header, kind, prefix):
        if self.set["l3"] != "none" and not self.carried and self.tunnel("ip_in_ip", header) is False:
            return False
        self.open()
        self.set.update(l3=kind, l3_offset=header.at, src=header.field(prefix + ".src"), dst=header.field(prefix + ".dst"))
        return True

    def extension(self, header):
        self.set.update(protocol=header.number(NEXT[header.name]), payload_offset=header.end)
        if header.name == "ipv6.fraghdr":
            offset, more = header.number("ipv6.fraghdr.offset"), header.number("ipv6.fraghdr.more")
            self.set["fragment"] = "later" if offset else "first" if more else "whole"

    def read_ah(self, header):
        self.set.update(protocol=header.number("ah.next_header"), payload_offset=header.end)

    def read_tcp(self, header):
        self.upper("tcp", header, int(header.field("tcp.hdr_len") or 0), ports=[header.number("tcp.srcport"), header.number("tcp.dstport")])

    def read_udp(self, header):
        self.upper("udp", header, 8, ports=[header.number("udp.srcport"), header.number("udp.dstport")])

    def read_sctp(self, header):
        self.upper("sctp", header, 12, ports=[header.number("sctp.srcport"), header.number("sctp.dstport")])

    def read_icmp(self, header):
        self.upper("icmp", header, 4, icmp=[header.number("icmp.type"), header.number("icmp.code")])
        return False  # what it quotes is payload

    def read_icmpv6(self, header):
        self.upper("icmpv6", header, 4, icmp=[header.number("icmpv6.type"), header.number("icmpv6.code")])
        return False

    def read_gre(self, header):
        key = header.number("gre.key")
        return self.tunnel("gre", header, header.number("gre.key.call_id") if key is None else key)

    def read_erspan(self, header):
        return self.tunnel("erspan", header, header.number("erspan.spanid"))

    def read_identified(self, header):
        if header.name == "gtp" and 2152 not in (self.set["ports"] or []):
            return False  # GTP-C: no tunnel
        return self.tunnel(TUNNEL_NAMES.get(header.name, header.name), header, header.number(TUNNEL_IDS[header.name]))

    read_vxlan = read_geneve = read_gtp = read_identified

    def read_teredo(self, header):
        return self.tunnel("teredo", header)


class Dissection:
    """One packet as tshark sees it: its headers, and the facts of parse-dump that follow from them."""

    def __init__(self, element):
        self.headers = [Header(p) for p in element.findall("proto")]
        self.facts = Reader(self.headers).facts
        self.names = [h.name for h in self.headers if h.name not in NO_HEADERS]

    def position(self, names, count):
        """Index of the header that is the `count`th of these names; None if there are fewer."""
        found = [i for i, h in enumerate(self.headers) if h.name in names]
        return found[count - 1] if len(found) >= count else None

    def bytes_missing(self):
        """Whether the packet ends before a header does, or before an IP header says."""
        return any(h.name == "_ws.short" or h.field("ip.bogus_ip_length") is not None or h.field("ipv6.plen_exceeds_framing") is not None for h in self.headers)

    def malformed(self):
        return any(h.name == "_ws.malformed" for h in self.headers)

    def wrong_checksums(self):
        return [f.get("name") for h in self.headers for f in h.fields if f.get("name") in CHECKSUMS and f.get("show") == "0"]


def dissect(path, decode_as=()):
    """A Dissection per packet of a capture."""
    command = ["tshark", "-n", "-r", str(path), "-T", "pdml"]
    for option in OPTIONS:
        command += ["-o", option]
    for rule in decode_as:
        command += ["-d", rule]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out = []
    for _, element in xml.etree.ElementTree.iterparse(process.stdout):
        if element.tag == "packet":
            out.append(Dissection(element))
            element.clear()
    if process.wait(300) != 0:
        raise AssertionError(f"tshark ended with {process.returncode} on {path}")
    return out
