// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Steering by SPI.
 *
 * The way of a packet through steer_xdp:
 *   1. Ethernet, VLAN tags, IPv4 or IPv6 with its extension headers;
 *   2. ESP, AH, or ESP in UDP port 4500: else it is not ours, PASS;
 *   3. the SPI's bucket names an owner (a worker; later also a gateway of a cluster);
 *   4. the owner's AF_XDP socket on this queue takes the frame: else PASS, and the stack delivers it to the
 *      owner's UDP or raw socket, where steer_reuseport makes the same choice again.
 *
 * Whatever is in doubt goes to the stack. Nothing is dropped here but NAT keepalives.
 */
#include "parse.h"
#include "steer.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEER_BUCKETS);
	__type(key, __u32);
	__type(value, __u32);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, STEER_OWNERS * STEER_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 2 * STEER_OWNERS);
	__type(key, __u32);
	__type(value, __u64);
} workers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

static __always_inline int count(__u32 reason, int action)
{
	__u64 *counter = bpf_map_lookup_elem(&reasons, &reason);

	if (counter)
		(*counter)++;
	return action;
}

/* The owner of a bucket, or -1. */
static __always_inline int owner_of(__u32 spi)
{
	__u32 bucket = spi >> STEER_BUCKET_SHIFT;
	__u32 *owner = bpf_map_lookup_elem(&buckets, &bucket);

	if (!owner || *owner == STEER_NOBODY || *owner > STEER_OWNERS)
		return -1;
	return *owner - 1;
}

static __always_inline int deliver(struct xdp_md *ctx, __u32 spi)
{
	int owner = owner_of(spi);
	__u32 slot;

	if (owner < 0)
		return count(STEER_NO_OWNER, XDP_PASS);
	if (ctx->rx_queue_index >= STEER_QUEUES)
		return count(STEER_NO_SOCKET, XDP_PASS);
	slot = owner * STEER_QUEUES + ctx->rx_queue_index;
	if (!bpf_map_lookup_elem(&sockets, &slot))
		return count(STEER_NO_SOCKET, XDP_PASS);
	return count(STEER_REDIRECTED, bpf_redirect_map(&sockets, slot, XDP_PASS));
}

static __always_inline int steer_udp(struct xdp_md *ctx, struct cursor *c)
{
	struct udphdr *udp = c->at;
	__u8 *first;
	__u32 spi;

	if ((void *)(udp + 1) > c->end)
		return count(STEER_DOUBT, XDP_PASS);
	if (udp->dest != bpf_htons(NAT_T_PORT))
		return count(STEER_NOT_IPSEC, XDP_PASS);
	c->at = udp + 1;
	first = c->at;
	if (udp->len == bpf_htons(sizeof(*udp) + 1) && (void *)(first + 1) <= c->end && *first == 0xff)
		return count(STEER_KEEPALIVE, XDP_DROP);
	if (c->at + sizeof(spi) > c->end)
		return count(STEER_DOUBT, XDP_PASS);
	spi = parse_spi(c, IPPROTO_ESP);
	if (!spi)
		return count(STEER_IKE, XDP_PASS);
	return deliver(ctx, spi);
}

SEC("xdp")
int steer_xdp(struct xdp_md *ctx)
{
	struct cursor c = { .at = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end };
	int fragment = 0;
	int protocol;
	__u32 spi;

	switch (parse_ethernet(&c)) {
	case ETH_P_IP:
		protocol = parse_ipv4(&c, &fragment);
		break;
	case ETH_P_IPV6:
		protocol = parse_ipv6(&c, &fragment);
		break;
	case -1:
		return count(STEER_DOUBT, XDP_PASS);
	default:
		return count(STEER_NOT_IPSEC, XDP_PASS);
	}
	if (protocol < 0)
		return count(STEER_DOUBT, XDP_PASS);
	if (protocol != IPPROTO_UDP && protocol != IPPROTO_ESP && protocol != IPPROTO_AH)
		return count(STEER_NOT_IPSEC, XDP_PASS);
	if (fragment)
		return count(STEER_FRAGMENT, XDP_PASS);
	if (protocol == IPPROTO_UDP)
		return steer_udp(ctx, &c);
	spi = parse_spi(&c, protocol);
	if (!spi)
		return count(STEER_DOUBT, XDP_PASS);
	return deliver(ctx, spi);
}

/*
 * The same choice among the workers' UDP sockets on port 4500: owner n's is n, or STEER_OWNERS + n over IPv6. IKE,
 * keepalives and what has no owner go to owner 0, whose worker passes them on to the control plane.
 */
SEC("sk_reuseport")
int steer_reuseport(struct sk_reuseport_md *ctx)
{
	__u32 first = ctx->eth_protocol == bpf_htons(ETH_P_IPV6) ? STEER_OWNERS : 0;
	__be32 word = 0;
	__u32 slot = first;
	int owner;

	if (!bpf_skb_load_bytes(ctx, sizeof(struct udphdr), &word, sizeof(word)) && word) {
		owner = owner_of(bpf_ntohl(word));
		if (owner >= 0)
			slot = first + owner;
	}
	if (bpf_sk_select_reuseport(ctx, &workers, &slot, 0)) {
		slot = first;
		bpf_sk_select_reuseport(ctx, &workers, &slot, 0);
	}
	return SK_PASS;
}

static __always_inline __u32 mix(__u32 hash, __u32 word)
{
	return (hash ^ word) * 0x9e3779b1;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/*
 * Plain packets, on their way to a TUN's queues: a flow has one for good, so that no packet overtakes another. (The
 * kernel's own choice moves a flow when its answers come in by another queue.) The kernel takes this modulo queues.
 */
SEC("socket")
int steer_tun(struct __sk_buff *skb)
{
	struct ipv6hdr ip6;
	struct iphdr ip;
	__u32 hash = 0;
	__u32 ports = 0;
	int at = 0;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 0;
	if (ip.version == 4) {
		hash = mix(mix(hash, ip.saddr), ip.daddr);
		/* Of a datagram in fragments only the first would show its ports. */
		if (has_ports(ip.protocol) && !(ip.frag_off & bpf_htons(0x3fff)))
			at = ip.ihl * 4;
	} else if (!bpf_skb_load_bytes(skb, 0, &ip6, sizeof(ip6))) {
#pragma unroll
		for (int i = 0; i < 4; i++)
			hash = mix(mix(hash, ip6.saddr.s6_addr32[i]), ip6.daddr.s6_addr32[i]);
		if (has_ports(ip6.nexthdr))
			at = sizeof(ip6);
	}
	if (at && !bpf_skb_load_bytes(skb, at, &ports, sizeof(ports)))
		hash = mix(hash, ports);
	/* A product's upper bits depend on all of the factor, its lowest on little. */
	return mix(hash, hash >> 15) >> 16;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
