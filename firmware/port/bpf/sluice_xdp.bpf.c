// Runs for every frame that a port receives: to the worker's socket, or counted and dropped. Never to the host's stack.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

// Frames that found no socket, by queue: while no daemon runs, and all that a tool port receives.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} misses SEC(".maps");

SEC("xdp")
int sluice_rx(struct xdp_md* context) {
  __u32 queue = context->rx_queue_index;
  if (bpf_map_lookup_elem(&sockets, &queue)) return bpf_redirect_map(&sockets, queue, XDP_DROP);
  __u32 zero = 0;
  __u64* count = bpf_map_lookup_elem(&misses, &zero);
  if (count) ++*count;
  return XDP_DROP;
}

// On a port's way out: whatever the host's stack would send is dropped. AF_XDP does not come by here.
SEC("tc")
int sluice_silence(struct __sk_buff* packet) {
  (void)packet;
  return 2;  // TC_ACT_SHOT
}

char _license[] SEC("license") = "Dual BSD/GPL";
