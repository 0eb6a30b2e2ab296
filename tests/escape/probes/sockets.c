/* sockets.c: group X, sockets and the network. */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Nothing reached: no listener, no route, no such file, no such family. */
static void judge_reach(struct finding *f, long rv)
{
	static const int nobody[] = {ECONNREFUSED,
				     ENETUNREACH,
				     EHOSTUNREACH,
				     ENOENT,
				     EADDRNOTAVAIL,
				     ENETDOWN,
				     0};

	for (unsigned i = 0; rv < 0 && nobody[i]; i++)
		if (errno == nobody[i]) {
			found(f, BLOCKED, "%s", strerrorname_np(errno));
			return;
		}
	judge_socket(f, rv);
}

static void make_socket(struct finding *f, const struct probe *p)
{
	judge_socket(f, socket((int)p->args[0], (int)p->args[1], (int)p->args[2]));
}

static void reach_abstract(struct finding *f, const struct probe *p)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const char *name = env_or(p->path, "?");
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t k = strlen(name);

	if (k > sizeof(a.sun_path) - 1)
		return;
	/* nr 1: the first byte is NUL, and the length matters */
	memcpy(a.sun_path + p->nr, name, k);
	judge_reach(f,
		    s < 0 ? -1
			  : connect(s, (struct sockaddr *)&a,
				    (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
						(size_t)p->nr + k + (p->nr ? 0 : 1))));
}

/* "address" or the environment's; the port is the host's listener, or nr. */
static bool address_of(const struct probe *p, struct sockaddr_in *a)
{
	const char *host = p->path[0] == 'P' ? env_or(p->path, "") : p->path;
	long port = p->nr ? p->nr : (long)strtoll(env_or("PROBE_TCP", "0"), NULL, 10);

	*a = (struct sockaddr_in){.sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port)};
	return inet_pton(AF_INET, host, &a->sin_addr) == 1;
}

/* What became of a connection under way; that it is still under way after half a second
 * means that there is a way out. */
static long settle(int s, long r)
{
	struct pollfd p = {.fd = s, .events = POLLOUT};
	socklen_t n = sizeof(int);
	int e = 0;

	if (r >= 0 || errno != EINPROGRESS)
		return r;
	if (poll(&p, 1, 500) > 0 && !getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &n) && e) {
		errno = e;
		return -1;
	}
	return 0;
}

static void reach_tcp(struct finding *f, const struct probe *p)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in a;
	long r = -1;

	if (!address_of(p, &a)) {
		found(f, UNKNOWN, "no address");
		return;
	}
	if (s >= 0)
		r = settle(s, connect(s, (struct sockaddr *)&a, sizeof(a)));
	judge_reach(f, r);
}

static void reach_tcp6(struct finding *f, const struct probe *p)
{
	int s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in6 a = {.sin6_family = AF_INET6,
				 .sin6_port = htons((uint16_t)strtoll(
					 env_or("PROBE_TCP", "0"), NULL, 10))};

	inet_pton(AF_INET6, p->path, &a.sin6_addr);
	judge_reach(f, s < 0 ? -1
			     : settle(s, connect(s, (struct sockaddr *)&a, sizeof(a))));
}

/* MSG_FASTOPEN connects in sendto(), past rules that only look at connect(). */
static void reach_fast_open(struct finding *f, const struct probe *p)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in a;
	long r = -1;

	if (!address_of(p, &a)) {
		found(f, UNKNOWN, "no address");
		return;
	}
	if (s >= 0)
		r = settle(s, sendto(s, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a,
				     sizeof(a)));
	judge_reach(f, r);
}

/* A second line with something other than lo on it; the first nr lines are headings. */
static void sees_interfaces(struct finding *f, const struct probe *p)
{
	char buf[16384], *save = NULL;
	long heading = p->nr;

	if (read_whole(p->path, buf, sizeof(buf)) < 0) {
		judge_path(f, -1);
		return;
	}
	found(f, BLOCKED, "only lo");
	for (char *l = strtok_r(buf, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (heading-- <= 0 && !strstr(l, "lo:") && !strstr(l, " lo")) {
			found(f, OPEN, "%.30s", l + strspn(l, " "));
			return;
		}
}

static void sees_lines(struct finding *f, const struct probe *p)
{
	char buf[4096];
	const char *rest;

	if (read_whole(p->path, buf, sizeof(buf)) < 0) {
		judge_path(f, -1);
		return;
	}
	rest = strchr(buf, '\n');
	if (rest && rest[1])
		found(f, OPEN, "%.60s", rest + 1 + strspn(rest + 1, " "));
	else
		found(f, BLOCKED, "none");
}

static void force_option(struct finding *f, const struct probe *p)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), value = 1 << 20;

	judge_call(f, s < 0 ? -1
			    : setsockopt(s, SOL_SOCKET, (int)p->nr, &value,
					 sizeof(value)));
}

static void send_out_of_band(struct finding *f, const struct probe *p)
{
	int s[2];

	(void)p;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
		judge_socket(f, -1);
	else
		judge_socket(f, send(s[0], "x", 1, MSG_OOB));
}

#define FAMILY(tag, ...)                                                               \
	{                                                                              \
		.id = "X-04." tag, .run = make_socket, .args = { __VA_ARGS__ }         \
	}
#define NETLINK(tag, proto)                                                            \
	{                                                                              \
		.id = "X-03.netlink_" tag, .run = make_socket, .args = {               \
			AF_NETLINK,                                                    \
			SOCK_RAW,                                                      \
			proto                                                          \
		}                                                                      \
	}
#define INET(id_, ...)                                                                 \
	{                                                                              \
		.id = id_, .run = make_socket, .args = { __VA_ARGS__ }                 \
	}

const struct probe probes_sockets[] = {
	{.id = "X-01.abstract_host_socket",
	 .run = reach_abstract,
	 .path = "PROBE_ABSTRACT",
	 .nr = 1},
	{.id = "X-01.host_socket_file",
	 .run = reach_abstract,
	 .path = "PROBE_UNIX",
	 .nr = 0},
	INET("X-02.vsock", 40, SOCK_STREAM, 0),
	INET("X-02.vsock_datagram", 40, SOCK_DGRAM, 0),
	NETLINK("route", 0),
	NETLINK("sock_diag", 4),
	NETLINK("xfrm", 6),
	NETLINK("selinux", 7),
	NETLINK("audit", 9),
	NETLINK("connector", 11),
	NETLINK("netfilter", 12),
	NETLINK("uevent", 15),
	NETLINK("generic", 16),
	NETLINK("crypto", 21),
	FAMILY("alg", 38, SOCK_SEQPACKET, 0),
	FAMILY("key", 15, SOCK_RAW, 2),
	FAMILY("packet", 17, SOCK_RAW, 0),
	FAMILY("packet_dgram", 17, SOCK_DGRAM, 0),
	FAMILY("rds", 21, SOCK_SEQPACKET, 0),
	FAMILY("rxrpc", 33, SOCK_DGRAM, 2),
	FAMILY("tipc", 30, SOCK_STREAM, 0),
	FAMILY("can", 29, SOCK_RAW, 1),
	FAMILY("bluetooth", 31, SOCK_RAW, 1),
	FAMILY("xdp", 44, SOCK_RAW, 0),
	FAMILY("qipcrtr", 42, SOCK_DGRAM, 0),
	FAMILY("smc", 43, SOCK_STREAM, 0),
	FAMILY("kcm", 41, SOCK_DGRAM, 0),
	FAMILY("ax25", 3, SOCK_SEQPACKET, 0),
	FAMILY("x25", 9, SOCK_SEQPACKET, 0),
	FAMILY("ipx", 4, SOCK_DGRAM, 0),
	FAMILY("appletalk", 5, SOCK_DGRAM, 0),
	FAMILY("llc", 26, SOCK_STREAM, 0),
	FAMILY("pppox", 24, SOCK_STREAM, 0),
	FAMILY("phonet", 35, SOCK_DGRAM, 0),
	FAMILY("nfc", 39, SOCK_SEQPACKET, 0),
	FAMILY("mctp", 45, SOCK_DGRAM, 0),
	FAMILY("raw_icmp", AF_INET, SOCK_RAW, IPPROTO_ICMP),
	FAMILY("ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
	FAMILY("sctp", AF_INET, SOCK_STREAM, IPPROTO_SCTP),
	FAMILY("dccp", AF_INET, 6, 33),
	FAMILY("udplite", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE),
	FAMILY("raw6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6),
	INET("X-05.mptcp", AF_INET, SOCK_STREAM, 262),
	INET("X-05.mptcp6", AF_INET6, SOCK_STREAM, 262),
	INET("X-05.smc_protocol", AF_INET, SOCK_STREAM, 256),
	{.id = "X-06.host_listener", .run = reach_tcp, .path = "127.0.0.1"},
	{.id = "X-06.host_listener6", .run = reach_tcp6, .path = "::ffff:127.0.0.1"},
	{.id = "X-06.fast_open", .run = reach_fast_open, .path = "127.0.0.1"},
	{.id = "X-06.host_address", .run = reach_tcp, .path = "PROBE_HOST_ADDR"},
	{.id = "X-06.metadata_service",
	 .run = reach_tcp,
	 .path = "169.254.169.254",
	 .nr = 80},
	{.id = "X-06.interfaces",
	 .run = sees_interfaces,
	 .path = "/proc/net/dev",
	 .nr = 2},
	{.id = "X-06.routes", .run = sees_lines, .path = "/proc/net/route"},
	{.id = "X-06.host_unix_sockets", .run = sees_lines, .path = "/proc/net/unix"},
	{.id = "X-06.host_tcp_sockets", .run = sees_lines, .path = "/proc/net/tcp"},
	{.id = "X-08.force_receive_buffer", .run = force_option, .nr = SO_RCVBUFFORCE},
	{.id = "X-08.force_send_buffer", .run = force_option, .nr = SO_SNDBUFFORCE},
	{.id = "X-08.socket_mark", .run = force_option, .nr = SO_MARK},
	{.id = "X-08.out_of_band_unix", .run = send_out_of_band},
	INET("X-10.udp", AF_INET, SOCK_DGRAM, 0),
	INET("X-10.udp6", AF_INET6, SOCK_DGRAM, 0),
	INET("X-10.udp_explicit", AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	{.id = NULL},
};
