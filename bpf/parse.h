/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One inline function a protocol layer. Each moves the cursor past its header, or says that it cannot. */
#ifndef FASTESP_PARSE_H
#define FASTESP_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PARSE_VLAN_DEPTH 2
#define PARSE_EXTENSION_DEPTH 4
#define NAT_T_PORT 4500

struct cursor {
	void *at;
	void *end;
};

struct vlan {
	__be16 tag;
	__be16 protocol;
};

struct ipv6_extension {
	__u8 next;
	__u8 length; /* in 8 bytes, less the first 8 */
};

struct ipv6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

/* Ethernet and up to two VLAN tags. Returns the EtherType in host order, or -1. */
static __always_inline int parse_ethernet(struct cursor *c)
{
	struct ethhdr *eth = c->at;
	__be16 protocol;

	if ((void *)(eth + 1) > c->end)
		return -1;
	protocol = eth->h_proto;
	c->at = eth + 1;
#pragma unroll
	for (int depth = 0; depth < PARSE_VLAN_DEPTH; depth++) {
		struct vlan *vlan = c->at;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > c->end)
			return -1;
		protocol = vlan->protocol;
		c->at = vlan + 1;
	}
	return bpf_ntohs(protocol);
}

/* IPv4 with options. Returns the protocol, -1 where it cannot be read, and sets *fragment. */
static __always_inline int parse_ipv4(struct cursor *c, int *fragment)
{
	struct iphdr *ip = c->at;
	__u32 length;

	if ((void *)(ip + 1) > c->end || ip->version != 4 || ip->ihl < 5)
		return -1;
	length = ip->ihl * 4;
	if (c->at + length > c->end)
		return -1;
	/* More-fragments or an offset: only the reassembled packet tells what it is. */
	*fragment = (ip->frag_off & bpf_htons(0x3fff)) != 0;
	c->at += length;
	return ip->protocol;
}

/* IPv6 and a bounded number of extension headers. Returns the upper protocol, or -1. */
static __always_inline int parse_ipv6(struct cursor *c, int *fragment)
{
	struct ipv6hdr *ip = c->at;
	__u8 next;

	if ((void *)(ip + 1) > c->end || ip->version != 6)
		return -1;
	next = ip->nexthdr;
	c->at = ip + 1;
#pragma unroll
	for (int depth = 0; depth < PARSE_EXTENSION_DEPTH; depth++) {
		struct ipv6_extension *extension = c->at;
		struct ipv6_fragment *part = c->at;

		if (next == IPPROTO_FRAGMENT) {
			if ((void *)(part + 1) > c->end)
				return -1;
			*fragment = (part->offset & bpf_htons(0xfff9)) != 0;
			next = part->next;
			c->at = part + 1;
			continue;
		}
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS && next != IPPROTO_ROUTING)
			return next;
		if ((void *)(extension + 1) > c->end)
			return -1;
		next = extension->next;
		c->at += 8 + extension->length * 8;
		if (c->at > c->end)
			return -1;
	}
	return -1;
}

/* The SPI in host order: first word of ESP (RFC 4303 section 2), second of AH (RFC 4302 section 2). 0: truncated. */
static __always_inline __u32 parse_spi(const struct cursor *c, int protocol)
{
	__be32 *word = c->at;

	if (protocol == IPPROTO_AH)
		word++;
	if ((void *)(word + 1) > c->end)
		return 0;
	return bpf_ntohl(*word);
}

#endif
