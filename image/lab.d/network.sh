# The lab's cables and rooms. Sourced by image/lab.
#
#   ns_panel   where sluiced runs: its ends of the ports' cables, in1 .. inN, tool1 .. toolN
#   ns_wire    the TAP: the link's two halves, and the far ends of in1 .. inN
#   ns_tools   the far ends of tool1 .. toolN
#   ns_a ns_b  the two servers

ns_panel=$lab-panel ns_wire=$lab-wire ns_tools=$lab-tools ns_a=$lab-a ns_b=$lab-b

in_ns() { local ns=$1; shift; ip netns exec "$ns" "$@"; }

# Offloads off at one end of a cable: else what crosses it are super-packets with checksums not yet made, and VLAN tags aside.
plain() { in_ns "$1" ethtool -K "$2" tx off tso off gso off gro off txvlan off rxvlan off >/dev/null 2>&1 || true; }

# Nobody at this end of the cable speaks by itself.
mute() { in_ns "$1" sysctl -qw "net.ipv6.conf.$2.disable_ipv6=1"; in_ns "$1" ip link set "$2" arp off; }

# cable NS_1 DEV_1 MAC_1 NS_2 DEV_2: a veth pair between two rooms.
cable() {
  in_ns "$4" ip link show "$5" >/dev/null 2>&1 && return
  ip link add "$2" netns "$1" numrxqueues "$queues" numtxqueues "$queues" address "$3" type veth peer name "$5" netns "$4" numrxqueues "$queues" numtxqueues "$queues"
  plain "$1" "$2"
  plain "$4" "$5"
}

mac_of() { printf '02:00:00:%02x:00:%02x' "$1" "$2"; }

make_network() {
  local ns i
  mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
  for ns in "$ns_panel" "$ns_wire" "$ns_tools" "$ns_a" "$ns_b"; do
    ip netns list | grep -qw "^$ns" || ip netns add "$ns"
    in_ns "$ns" ip link set lo up
  done
  for i in $(seq 1 "$network"); do
    cable "$ns_panel" "in$i" "$(mac_of 1 "$i")" "$ns_wire" "in$i"
    mute "$ns_wire" "in$i"
    in_ns "$ns_wire" ip link set "in$i" up
  done
  for i in $(seq 1 "$tool"); do
    cable "$ns_panel" "tool$i" "$(mac_of 2 "$i")" "$ns_tools" "tool$i"
    mute "$ns_tools" "tool$i"
    in_ns "$ns_tools" ip link set "tool$i" promisc on up
  done
  make_link
}

# The mirrored link: a's eth0 <-> wire's to-a, to-b <-> b's eth0. What the TAP takes in on one side it mirrors and passes to the other.
make_link() {
  cable "$ns_a" eth0 02:00:00:0a:00:01 "$ns_wire" to-a
  cable "$ns_b" eth0 02:00:00:0b:00:01 "$ns_wire" to-b
  mute "$ns_wire" to-a
  mute "$ns_wire" to-b
  in_ns "$ns_wire" ip link set to-a promisc on up
  in_ns "$ns_wire" ip link set to-b promisc on up
  mirror to-a to-b in1 in2
  mirror to-b to-a in1 in3
  address "$ns_a" 1
  address "$ns_b" 2
}

# The servers don't look for routers, which are not there, nor for owners of their own addresses.
address() {
  in_ns "$1" sysctl -qw net.ipv6.conf.eth0.router_solicitations=0 net.ipv6.conf.eth0.accept_dad=0
  in_ns "$1" ip addr replace "10.20.0.$2/24" dev eth0
  in_ns "$1" ip -6 addr replace "fd20::$2/64" dev eth0 nodad
  in_ns "$1" ip link set eth0 up
}

# mirror FROM TO SPAN TAP: everything that comes in on FROM goes to TO, and a copy to SPAN and to TAP where there are such ports.
mirror() {
  local actions="" port
  in_ns "$ns_wire" tc qdisc show dev "$1" | grep -q clsact && return
  for port in "$3" "$4"; do
    [ "${port#in}" -le "$network" ] && actions="$actions action mirred egress mirror dev $port"
  done
  in_ns "$ns_wire" tc qdisc add dev "$1" clsact
  # shellcheck disable=SC2086  # the words are the point
  in_ns "$ns_wire" tc filter add dev "$1" ingress protocol all prio 1 u32 match u32 0 0 $actions action mirred egress redirect dev "$2"
}

remove_network() {
  local ns
  for ns in "$ns_panel" "$ns_wire" "$ns_tools" "$ns_a" "$ns_b"; do
    ip netns list | grep -qw "^$ns" || continue
    ip netns pids "$ns" | xargs -r kill -9 2>/dev/null || true
    ip netns del "$ns"
  done
}
