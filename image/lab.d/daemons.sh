# The lab's two daemons, as the appliance runs them. Sourced by image/lab.

control=$state/control

# is_process PID_FILE WORD: whether that process lives and is what we started: a pid may be a stranger's after a reboot.
is_process() { [ -f "$1" ] && tr '\0' ' ' <"/proc/$(cat "$1")/cmdline" 2>/dev/null | grep -qF "$2"; }
running() { is_process "$state/$1.pid" "$bin/$1"; }

# wait_for WHAT SECONDS COMMAND...: until the command succeeds.
wait_for() {
  local what=$1 until=$((SECONDS + $2)); shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || { tail -n 20 "$state"/*.log >&2; die "$what did not come about within the time"; }
    sleep 0.05
  done
}

# Below the ports that the kernel gives to clients: no connection takes it while the daemon is started anew.
free_port() {
  python3 -c '
import random, socket
low = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
while True:
    port = random.randrange(10000, low)
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break'
}

start_daemons() {
  local preferred=8443
  if ! running sluiced; then
    # nsenter, not "ip netns exec": that would mount another /sys, without the pinned XDP programs.
    setsid nsenter --net="/run/netns/$ns_panel" "$bin/sluiced" --control "$control" --workers "$workers" --dedup-memory 64 >>"$state/sluiced.log" 2>&1 </dev/null &
    echo $! > "$state/sluiced.pid"
  fi
  if ! running sluice-mgmt; then
    if [ ! -f "$state/port" ]; then
      [ "$lab" = sluice ] && ! ss -Hltn "sport = :$preferred" | grep -q . || preferred=$(free_port)
      echo "$preferred" > "$state/port"
    fi
    setsid "$bin/sluice-mgmt" --control "$control" --state "$state/mgmt" --port "$(cat "$state/port")" >>"$state/sluice-mgmt.log" 2>&1 </dev/null &
    echo $! > "$state/sluice-mgmt.pid"
  fi
  wait_for "the management daemon's certificate" 20 test -s "$state/mgmt/tls-certificate.pem"
  cp "$state/mgmt/tls-certificate.pem" "$state/tls-certificate.pem"
  wait_for "the API" 20 api GET /
}

# api METHOD PATH [BODY]: the answer's body; fails with it on an error.
api() {
  local token=""
  [ -f "$state/token" ] && token=$(cat "$state/token")
  curl -sS --fail-with-body --max-time 30 --cacert "$state/tls-certificate.pem" -H "Authorization: Bearer $token" -X "$1" \
    "https://127.0.0.1:$(cat "$state/port")$2" ${3:+--data-binary "$3"}
}

log_in() {
  api GET /api/v1/revisions >/dev/null 2>&1 && return
  rm -f "$state/token"
  # By the local socket, so that the first-login secret remains whoever plays with the lab to use.
  (umask 077; curl -sS --fail-with-body --max-time 30 --unix-socket "$state/mgmt/api.sock" http://sluice/api/v1/login -d '{}' | jq -er .token > "$state/token.new")
  mv "$state/token.new" "$state/token"
}

# Only where nothing was ever configured: an operator's work is left alone.
sample_configuration() {
  local i ports="" members=""
  local revisions
  revisions=$(api GET /api/v1/revisions)
  [ "$revisions" = "[]" ] || return 0
  for i in $(seq 1 "$network"); do ports="$ports{\"name\": \"in$i\", \"role\": \"NETWORK\", \"device\": \"$(mac_of 1 "$i")\"},"; done
  for i in $(seq 1 "$tool"); do ports="$ports{\"name\": \"tool$i\", \"role\": \"TOOL\", \"device\": \"$(mac_of 2 "$i")\"},"; done
  local maps='{"name": "web-to-tool1", "sources": {"ports": ["in1"]},
      "rules": [{"match": {"ip": {"protocol": ["tcp"]}, "l4": {"port": ["80", "443"]}}, "action": "PASS"}], "destinations": [{"port": "tool1"}]}'
  [ "$tool" -ge 2 ] && maps="$maps,"'{"name": "dns-to-tool2", "sources": {"ports": ["in1"]},
      "rules": [{"match": {"l4": {"port": ["53"]}}, "action": "PASS"}], "destinations": [{"port": "tool2"}]}'
  local groups=""
  if [ "$tool" -ge 4 ]; then
    groups='{"name": "recorders", "members": [{"port": "tool3"}, {"port": "tool4"}]}'
    maps="$maps,"'{"name": "everything", "sources": {"ports": ["in1"]}, "default_action": "PASS", "destinations": [{"tool_group": "recorders"}]}'
  fi
  local pairs=""
  [ "$network" -ge 3 ] && pairs='{"name": "tapped-link", "a": "in2", "b": "in3"}'
  api PUT "/api/v1/config?comment=sample" "{\"ports\": [${ports%,}], \"tap_pairs\": [$pairs], \"tool_groups\": [$groups], \"maps\": [$maps]}" >/dev/null
}

# ended PID: it has closed its sockets. Its first thread may be a zombie while another still holds them, and the link to its program,
# by which `running` knows it, is gone before (proc_pid_stat(5): state, and 17 fields on the number of threads).
ended() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  read -r -a fields <<<"${stat##*) }"
  [[ ${fields[0]} == [ZX] && ${fields[17]} -le 1 ]]
}

kill_daemon() {
  local pid
  running "$1" || die "$1 does not run"
  pid=$(cat "$state/$1.pid")
  kill -9 "$pid"
  until ended "$pid"; do sleep 0.01; done
}

stop_daemons() {
  local daemon pid
  for daemon in sluice-mgmt sluiced; do
    running "$daemon" || continue
    pid=$(cat "$state/$daemon.pid")
    kill "$pid"
    local until=$((SECONDS + 5))
    until ended "$pid" || [ "$SECONDS" -ge "$until" ]; do sleep 0.05; done
    if ! ended "$pid"; then
      kill -9 "$pid"
      until ended "$pid"; do sleep 0.01; done
    fi
  done
  rm -rf "/sys/fs/bpf/sluice/$(stat -Lc %i "/run/netns/$ns_panel" 2>/dev/null || echo none)-"* 2>/dev/null || true
}
