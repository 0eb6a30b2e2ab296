/* ipc.h: fixed records between roles over SOCK_SEQPACKET, with descriptors by SCM_RIGHTS.
 *
 * A record is {u32 type, u64 id, fields...}, little-endian as the machine, at most IPC_MAX_BYTES
 * and IPC_MAX_FDS. Both sides know the fields of a type; nothing describes itself. Reading past
 * the end, a string over its maximum or a missing fd makes the record bad for good and yields
 * zero / empty / -1. A reader ends with ipc_end(): it is true only when every byte and every fd was
 * consumed; anything else is fatal for the connection. After OpenSMTPD's mproc.c (m_end).
 *
 * Life cycle: ipc_start + put... + ipc_send, or ipc_recv + get... + ipc_end; then ipc_finish,
 * which closes the received fds nobody took. Descriptors given to ipc_put_fd stay the caller's. */
#ifndef BASE_IPC_H
#define BASE_IPC_H

#include "sandbox/base/err.h"
#include "sandbox/base/sv.h"

#define IPC_MAX_BYTES 12288	/* a run's request with a credential of 8 KiB fits */
#define IPC_MAX_FDS 12

struct ipc_msg {
	uint32_t type;
	uint64_t id;
	bool bad;
	bool received;		/* fds below are ours to close */
	uint32_t n, at;		/* bytes in data, read offset */
	unsigned nfds, fd_at;
	int fds[IPC_MAX_FDS];
	char data[IPC_MAX_BYTES];
};

void ipc_start(struct ipc_msg *m, uint32_t type, uint64_t id);
void ipc_put_u32(struct ipc_msg *m, uint32_t v);
void ipc_put_u64(struct ipc_msg *m, uint64_t v);
void ipc_put_i64(struct ipc_msg *m, int64_t v);
void ipc_put_sv(struct ipc_msg *m, struct sv s);	/* u32 length, bytes */
void ipc_put_fd(struct ipc_msg *m, int fd);		/* borrowed until sent */
/* Sends without blocking. -1: the record was bad, the peer is gone (ERR_LOST) or does not read
 * (ERR_BUSY). The kernel counts descriptors on their way by user: programs that run under this process' uid
 * can keep it from sending any (ERR_BUSY with sys ETOOMANYREFS), and no event tells when that is over. */
int ipc_send(int sock, struct ipc_msg *m, struct err *e);

/* 1 a record, 0 the peer is gone, -1 error; -1 with e->sys EAGAIN when a non-blocking socket has
 * nothing. Received fds are CLOEXEC. */
int ipc_recv(int sock, struct ipc_msg *m, struct err *e);
/* The same from bytes already at hand (fuzzing and tests): no fds. */
int ipc_parse(struct sv bytes, struct ipc_msg *m, struct err *e);
uint32_t ipc_get_u32(struct ipc_msg *m);
uint64_t ipc_get_u64(struct ipc_msg *m);
int64_t ipc_get_i64(struct ipc_msg *m);
struct sv ipc_get_sv(struct ipc_msg *m, size_t max_bytes);	/* borrowed from m */
/* Copies a string without NUL bytes into dst; longer ones make the record bad. */
void ipc_get_cstr(struct ipc_msg *m, char *dst, size_t size);
int ipc_take_fd(struct ipc_msg *m);			/* now the caller's; -1 when bad */
bool ipc_end(const struct ipc_msg *m);
void ipc_finish(struct ipc_msg *m);

#endif
