/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the connector's own (escape corpus 55, 56, 70): every family and kind, with the raw system call. */
#include "sins.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { SMC = 43, MPTCP = 262, EVERYTHING = 0x0300 };
static int ends[2];

/* clang-format off */
static const struct sin sockets[] = {
    DO(55, "inet", socket, AF_INET, SOCK_STREAM),
    DO(55, "inet-udp", socket, AF_INET, SOCK_DGRAM),
    DO(55, "inet6", socket, AF_INET6, SOCK_STREAM),
    DO(55, "inet6-udp", socket, AF_INET6, SOCK_DGRAM),
    DO(55, "unix", socket, AF_UNIX, SOCK_STREAM),
    DO(55, "unix-datagram", socket, AF_UNIX, SOCK_DGRAM),
    DO(55, "netlink", socket, AF_NETLINK, SOCK_RAW),
    DO(55, "packet", socket, AF_PACKET, SOCK_DGRAM, EVERYTHING),
    DO(55, "vsock", socket, AF_VSOCK, SOCK_STREAM),
    DO(55, "alg", socket, AF_ALG, SOCK_SEQPACKET),
    DO(55, "xdp", socket, AF_XDP, SOCK_RAW),
    DO(55, "bluetooth", socket, AF_BLUETOOTH, SOCK_RAW, 1),
    DO(55, "key", socket, AF_KEY, SOCK_RAW, 2),
    DO(55, "can", socket, AF_CAN, SOCK_RAW, 1),
    DO(55, "tipc", socket, AF_TIPC, SOCK_SEQPACKET),
    DO(55, "smc", socket, SMC, SOCK_STREAM),
    DO(55, "high-bits", socket, (1L << 32) | AF_INET, SOCK_STREAM),
    DO(56, "raw-icmp", socket, AF_INET, SOCK_RAW, IPPROTO_ICMP),
    DO(56, "raw-tcp", socket, AF_INET, SOCK_RAW, IPPROTO_TCP),
    DO(56, "raw-ip", socket, AF_INET, SOCK_RAW, IPPROTO_RAW),
    DO(56, "raw-icmp6", socket, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6),
    DO(56, "ping", socket, AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
    DO(56, "ping6", socket, AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6),
    DO(56, "packet-raw", socket, AF_PACKET, SOCK_RAW, EVERYTHING),
    DO(56, "mptcp", socket, AF_INET, SOCK_STREAM, MPTCP),
    DO(56, "sctp", socket, AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP),
    DO(70, "unix-stream", socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC),
    DO(70, "unix-packets", socket, AF_UNIX, SOCK_SEQPACKET),
    DO(70, "pair-datagram", socketpair, AF_UNIX, SOCK_DGRAM, 0, P(ends)), /* an end could be connected to any name */
    DO(70, "pair-packets", socketpair, AF_UNIX, SOCK_SEQPACKET, 0, P(ends)),
    DO(70, "pair-tipc", socketpair, AF_TIPC, SOCK_STREAM, 0, P(ends)),
    {0}};
/* clang-format on */

const struct sin *const sin_tables[] = {sockets, NULL};
CSN_CONNECTOR("sins-sockets", "1.0.0", {"try", sins_try});
