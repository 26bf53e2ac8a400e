/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the steering program and user space agree on: sizes, map values, and why a packet went where it went. */
#ifndef FASTESP_STEER_H
#define FASTESP_STEER_H

/* An inbound SPI is 12 bits of bucket, then 20 random ones. A bucket has one owner. */
#define STEER_BUCKETS 4096
#define STEER_BUCKET_SHIFT 20

/* An owner has one AF_XDP socket a receive queue: slot = owner * STEER_QUEUES + queue. */
#define STEER_OWNERS 64
#define STEER_QUEUES 64

/* Map value of a bucket: owner + 1, so that the zeroes of a fresh array mean "nobody". */
#define STEER_NOBODY 0

enum steer_reason {
	STEER_REDIRECTED = 0, /* to its owner's AF_XDP socket */
	STEER_NOT_IPSEC,      /* passed: neither ESP nor AH nor UDP 4500 */
	STEER_IKE,            /* passed: non-ESP marker (RFC 3948 section 2.2) */
	STEER_KEEPALIVE,      /* dropped: NAT keepalive, one 0xff byte (RFC 3948 section 2.3) */
	STEER_FRAGMENT,       /* passed: the stack puts fragments together */
	STEER_NO_OWNER,       /* passed: nobody owns the bucket */
	STEER_NO_SOCKET,      /* passed: its owner has no socket on this queue */
	STEER_DOUBT,          /* passed: truncated or too deep for this parser */
	STEER_REASONS
};

#endif
