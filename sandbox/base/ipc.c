/* ipc.c: records and descriptors over SOCK_SEQPACKET. */
#include "sandbox/base/ipc.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct header {
	uint32_t type, nfds;
	uint64_t id;
};

void ipc_start(struct ipc_msg *m, uint32_t type, uint64_t id)
{
	m->type = type;
	m->id = id;
	m->bad = m->received = false;
	m->n = m->at = 0;
	m->nfds = m->fd_at = 0;
}

static void put(struct ipc_msg *m, const void *p, size_t n)
{
	if (m->bad || n > sizeof(m->data) - m->n) {
		m->bad = true;
		return;
	}
	if (n)
		memcpy(m->data + m->n, p, n);
	m->n += (uint32_t)n;
}

void ipc_put_u32(struct ipc_msg *m, uint32_t v)
{
	put(m, &v, sizeof(v));
}

void ipc_put_u64(struct ipc_msg *m, uint64_t v)
{
	put(m, &v, sizeof(v));
}

void ipc_put_i64(struct ipc_msg *m, int64_t v)
{
	put(m, &v, sizeof(v));
}

void ipc_put_sv(struct ipc_msg *m, struct sv s)
{
	if (s.n > sizeof(m->data)) {
		m->bad = true;
		return;
	}
	ipc_put_u32(m, (uint32_t)s.n);
	put(m, s.p, s.n);
}

void ipc_put_fd(struct ipc_msg *m, int fd)
{
	if (fd < 0 || m->nfds == IPC_MAX_FDS)
		m->bad = true;
	else
		m->fds[m->nfds++] = fd;
}

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * IPC_MAX_FDS)];
};

static void attach_fds(struct msghdr *h, union control *c, const struct ipc_msg *m)
{
	struct cmsghdr *x;

	if (!m->nfds)
		return;
	memset(c, 0, sizeof(*c));
	h->msg_control = c->bytes;
	h->msg_controllen = CMSG_SPACE(sizeof(int) * m->nfds);
	x = CMSG_FIRSTHDR(h);
	x->cmsg_level = SOL_SOCKET;
	x->cmsg_type = SCM_RIGHTS;
	x->cmsg_len = CMSG_LEN(sizeof(int) * m->nfds);
	memcpy(CMSG_DATA(x), m->fds, sizeof(int) * m->nfds);
}

static int refuse(struct err *e, int sys, const char *cause)
{
	const bool first = e && !e->code;

	err_set(e, ERR_BUSY, "%s", cause);
	if (first)
		e->sys = sys;
	return -1;
}

static int refuse_fds(struct err *e)
{
	refuse(e, ETOOMANYREFS,
	       "programs of this user have too many descriptors on their way");
	return err_fix(e, "try again; should it stay so, close sessions");
}

int ipc_send(int sock, struct ipc_msg *m, struct err *e)
{
	struct header head = {m->type, m->nfds, m->id};
	struct iovec v[2] = {{&head, sizeof(head)}, {m->data, m->n}};
	struct msghdr h = {.msg_iov = v, .msg_iovlen = 2};
	union control c;
	ssize_t k;

	if (m->bad)
		return err_set(e, ERR_LIMIT, "a record of type %u is over its limit",
			       m->type);
	attach_fds(&h, &c, m);
	do
		k = sendmsg(sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (k < 0 && errno == EINTR);
	if (k >= 0)
		return 0;
	if (errno == EAGAIN)
		return refuse(e, EAGAIN, "a peer process does not read its records");
	if (errno == EPIPE || errno == ECONNRESET)
		return err_set(e, ERR_LOST, "a peer process has gone");
	if (errno == ETOOMANYREFS)
		return refuse_fds(e);
	return err_sys(e, "sendmsg");
}

static void keep_fds(struct msghdr *h, struct ipc_msg *m)
{
	for (struct cmsghdr *x = CMSG_FIRSTHDR(h); x; x = CMSG_NXTHDR(h, x)) {
		size_t n;

		if (x->cmsg_level != SOL_SOCKET || x->cmsg_type != SCM_RIGHTS)
			continue;
		n = (x->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(x) + i * sizeof(int), sizeof(int));
			if (m->nfds < IPC_MAX_FDS)
				m->fds[m->nfds++] = fd;
			else
				fd_close(&fd);
		}
	}
}

static int adopt_header(struct ipc_msg *m, const struct header *head, size_t bytes,
			struct err *e)
{
	if (bytes < sizeof(*head))
		return err_set(e, ERR_INTERNAL, "a record without its header");
	m->type = head->type;
	m->id = head->id;
	m->n = (uint32_t)(bytes - sizeof(*head));
	if (head->nfds != m->nfds)
		return err_set(e, ERR_INTERNAL, "a record of type %u lost descriptors",
			       m->type);
	return 1;
}

int ipc_recv(int sock, struct ipc_msg *m, struct err *e)
{
	struct header head;
	struct iovec v[2] = {{&head, sizeof(head)}, {m->data, sizeof(m->data)}};
	union control c;
	struct msghdr h = {.msg_iov = v,
			   .msg_iovlen = 2,
			   .msg_control = c.bytes,
			   .msg_controllen = sizeof(c.bytes)};
	ssize_t k;

	ipc_start(m, 0, 0);
	m->received = true;
	do
		k = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	while (k < 0 && errno == EINTR);
	if (k == 0 || (k < 0 && errno == ECONNRESET))
		return 0;
	if (k < 0)
		return err_sys(e, "recvmsg");
	keep_fds(&h, m);
	if (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		ipc_finish(m);
		return err_set(e, ERR_INTERNAL, "a record was cut");
	}
	if (adopt_header(m, &head, (size_t)k, e) < 0) {
		ipc_finish(m);
		return -1;
	}
	return 1;
}

int ipc_parse(struct sv bytes, struct ipc_msg *m, struct err *e)
{
	struct header head;

	ipc_start(m, 0, 0);
	m->received = true;
	if (bytes.n < sizeof(head) || bytes.n > sizeof(head) + sizeof(m->data))
		return err_set(e, ERR_INTERNAL, "a record of %zu bytes", bytes.n);
	memcpy(&head, bytes.p, sizeof(head));
	memcpy(m->data, bytes.p + sizeof(head), bytes.n - sizeof(head));
	return adopt_header(m, &head, bytes.n, e);
}

static void get(struct ipc_msg *m, void *p, size_t n)
{
	if (m->bad || n > m->n - m->at) {
		m->bad = true;
		memset(p, 0, n);
		return;
	}
	memcpy(p, m->data + m->at, n);
	m->at += (uint32_t)n;
}

uint32_t ipc_get_u32(struct ipc_msg *m)
{
	uint32_t v;

	get(m, &v, sizeof(v));
	return v;
}

uint64_t ipc_get_u64(struct ipc_msg *m)
{
	uint64_t v;

	get(m, &v, sizeof(v));
	return v;
}

int64_t ipc_get_i64(struct ipc_msg *m)
{
	int64_t v;

	get(m, &v, sizeof(v));
	return v;
}

struct sv ipc_get_sv(struct ipc_msg *m, size_t max_bytes)
{
	uint32_t n = ipc_get_u32(m);
	struct sv s = {m->data + m->at, n};

	if (m->bad || n > max_bytes || n > m->n - m->at) {
		m->bad = true;
		return (struct sv){"", 0};
	}
	m->at += n;
	return s;
}

void ipc_get_cstr(struct ipc_msg *m, char *dst, size_t size)
{
	dst[0] = '\0';
	if (sv_copy(ipc_get_sv(m, size - 1), dst, size))
		m->bad = true;
}

int ipc_take_fd(struct ipc_msg *m)
{
	if (m->bad || m->fd_at == m->nfds) {
		m->bad = true;
		return -1;
	}
	return fd_steal(&m->fds[m->fd_at++]);
}

bool ipc_end(const struct ipc_msg *m)
{
	return !m->bad && m->at == m->n && m->fd_at == m->nfds;
}

void ipc_finish(struct ipc_msg *m)
{
	if (!m->received)
		return;
	for (unsigned i = 0; i < m->nfds; i++)
		fd_close(&m->fds[i]);
	m->nfds = m->fd_at = 0;
}
