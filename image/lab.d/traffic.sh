# Real traffic from real programs between the lab's two servers. Sourced by image/lab.

start_traffic() {
  [ -n "${SLUICE_LAB_QUIET:-}" ] && return
  if ! is_process "$state/servers.pid" lab.d/servers; then
    setsid ip netns exec "$ns_b" "$top/image/lab.d/servers" "$state/servers" >>"$state/servers.log" 2>&1 </dev/null &
    echo $! > "$state/servers.pid"
  fi
  if ! is_process "$state/clients.pid" lab.d/clients; then
    setsid ip netns exec "$ns_a" "$top/image/lab.d/clients" >>"$state/clients.log" 2>&1 </dev/null &
    echo $! > "$state/clients.pid"
  fi
  # Something to see at once: until the tools have their first packets.
  wait_for "the first packet at a tool" 30 any_received
}

any_received() {
  local i sum=0
  for i in $(seq 1 "$tool"); do sum=$((sum + $(in_ns "$ns_tools" cat "/sys/class/net/tool$i/statistics/rx_packets"))); done
  [ "$sum" -gt 0 ]
}

stop_traffic() {
  local who
  for who in clients servers; do
    is_process "$state/$who.pid" "lab.d/$who" && kill -- "-$(cat "$state/$who.pid")" 2>/dev/null || true
    rm -f "$state/$who.pid"
  done
}
