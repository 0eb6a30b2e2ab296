/* t_ipc.c: records: every field, every way of being bad, descriptors that do not leak. */
#include "sandbox/base/ipc.h"

#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static struct ipc_msg out, in;

static void t_round_trip(void)
{
	int s[2], p[2];
	char name[8];
	struct err e = {.code = ERR_NONE};
	struct sv text;

	ok(!fd_socketpair(s, &e) && !fd_pipe(p, &e), "a pair and a pipe");
	ipc_start(&out, 7, UINT64_MAX);
	ipc_put_u32(&out, UINT32_MAX);
	ipc_put_u64(&out, UINT64_MAX - 1);
	ipc_put_i64(&out, INT64_MIN);
	ipc_put_sv(&out, SV("a\0b"));
	ipc_put_sv(&out, (struct sv){NULL, 0});
	ipc_put_sv(&out, SV("python"));
	ipc_put_fd(&out, p[1]);
	ok(!ipc_send(s[0], &out, &e) && fcntl(p[1], F_GETFD) >= 0,
	   "a record is sent; the descriptor stays the sender's");
	ok(ipc_recv(s[1], &in, &e) == 1 && in.type == 7 && in.id == UINT64_MAX,
	   "and received");
	ok(ipc_get_u32(&in) == UINT32_MAX && ipc_get_u64(&in) == UINT64_MAX - 1 &&
		   ipc_get_i64(&in) == INT64_MIN,
	   "numbers come whole");
	text = ipc_get_sv(&in, 3);
	ok(sv_eq(text, SV("a\0b")) && !ipc_get_sv(&in, 0).n, "bytes too, none too");
	ipc_get_cstr(&in, name, sizeof(name));
	ok(!strcmp(name, "python") && !ipc_end(&in),
	   "a C string; the end is not yet reached");
	{
		AUTO_FD fd = ipc_take_fd(&in);

		ok(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC),
		   "a descriptor, CLOEXEC");
		ok(ipc_end(&in), "all is consumed");
		ok(write(fd, "x", 1) == 1 && read(p[0], name, 1) == 1,
		   "it is the pipe");
	}
	ipc_finish(&in);
	fd_close(&s[0]);
	ok(ipc_recv(s[1], &in, &e) == 0, "a closed peer is told");
	fd_close(&s[1]), fd_close(&p[0]), fd_close(&p[1]);
}

/* What a reader sees after a record of one u32 and the bytes "abc". */
static void receive(int s[2])
{
	struct err e = {.code = ERR_NONE};

	ipc_start(&out, 1, 1);
	ipc_put_u32(&out, 5);
	ipc_put_sv(&out, SV("abc"));
	ipc_put_fd(&out, s[0]);
	must(!ipc_send(s[0], &out, &e) && ipc_recv(s[1], &in, &e) == 1);
}

static void t_bad_reads(void)
{
	int s[2];
	char small[3] = "zz";
	unsigned before;

	must(!fd_socketpair(s, NULL));
	before = open_fds();
	receive(s);
	ok(ipc_get_u32(&in) == 5 && !ipc_get_sv(&in, 2).n && in.bad && !ipc_end(&in),
	   "a string over its maximum is bad");
	ok(ipc_take_fd(&in) == -1 && ipc_get_u32(&in) == 0 && ipc_get_u64(&in) == 0,
	   "and nothing more is given from a bad record");
	ipc_finish(&in);
	receive(s);
	ipc_get_u32(&in);
	ipc_get_cstr(&in, small, sizeof(small));
	ok(in.bad && !small[0], "so is one too long for its C string");
	ipc_finish(&in);
	receive(s);
	ipc_get_u64(&in);
	ok(!in.bad && ipc_get_u64(&in) == 0 && in.bad, "so is reading past the end");
	ipc_finish(&in);
	receive(s);
	ipc_get_u32(&in), ipc_get_sv(&in, 10);
	ok(!in.bad && !ipc_end(&in), "a descriptor left over is no end");
	ipc_finish(&in);
	receive(s);
	ipc_get_u32(&in), ipc_get_sv(&in, 10);
	{
		AUTO_FD fd = ipc_take_fd(&in);

		ok(fd >= 0 && ipc_take_fd(&in) == -1 && in.bad,
		   "one more than came is bad");
	}
	ipc_finish(&in);
	ipc_finish(&in);
	ok(open_fds() == before, "no descriptor is left open by any of them");
	fd_close(&s[0]), fd_close(&s[1]);
}

static void t_nul_in_cstr(void)
{
	char name[8];
	int s[2];

	must(!fd_socketpair(s, NULL));
	ipc_start(&out, 1, 1);
	ipc_put_sv(&out, SV("a\0b"));
	must(!ipc_send(s[0], &out, NULL) && ipc_recv(s[1], &in, NULL) == 1);
	ipc_get_cstr(&in, name, sizeof(name));
	ok(in.bad && !name[0], "a NUL in a C string is bad");
	ipc_finish(&in);
	fd_close(&s[0]), fd_close(&s[1]);
}

static void t_bad_writes(void)
{
	static char big[IPC_MAX_BYTES + 1];
	struct err e = {.code = ERR_NONE};
	int s[2];

	must(!fd_socketpair(s, NULL));
	ipc_start(&out, 1, 1);
	ipc_put_sv(&out, (struct sv){big, IPC_MAX_BYTES - 4});
	ok(!out.bad && !ipc_send(s[0], &out, &e) && ipc_recv(s[1], &in, &e) == 1 &&
		   ipc_get_sv(&in, IPC_MAX_BYTES).n == IPC_MAX_BYTES - 4 &&
		   ipc_end(&in),
	   "the largest record travels");
	ipc_start(&out, 1, 1);
	ipc_put_sv(&out, (struct sv){big, IPC_MAX_BYTES - 3});
	ok(out.bad && ipc_send(s[0], &out, &e) == -1 && e.code == ERR_LIMIT,
	   "a larger one is bad and not sent");
	ipc_start(&out, 1, 1);
	ipc_put_sv(&out, (struct sv){big, SIZE_MAX});
	ok(out.bad, "so is one of impossible length");
	ipc_start(&out, 1, 1);
	ipc_put_fd(&out, -1);
	ok(out.bad, "so is one with no descriptor where one should be");
	ipc_start(&out, 1, 1);
	for (int i = 0; i < IPC_MAX_FDS; i++)
		ipc_put_fd(&out, s[0]);
	ok(!out.bad && !ipc_send(s[0], &out, NULL) && ipc_recv(s[1], &in, NULL) == 1 &&
		   in.nfds == IPC_MAX_FDS,
	   "%d descriptors travel", IPC_MAX_FDS);
	ipc_finish(&in);
	ipc_put_fd(&out, s[0]);
	ok(out.bad, "one more is bad");
	fd_close(&s[0]), fd_close(&s[1]);
}

static void t_peers(void)
{
	struct err e = {.code = ERR_NONE};
	int s[2], sent = 0;

	must(!fd_socketpair(s, NULL) && !fd_set_nonblock(s[1]));
	ok(ipc_recv(s[1], &in, &e) == -1 && e.sys == EAGAIN,
	   "an empty socket says EAGAIN");
	err_clear(&e);
	ipc_start(&out, 1, 1);
	while (sent < 100000 && !ipc_send(s[0], &out, &e))
		sent++;
	ok(sent < 100000 && e.code == ERR_BUSY,
	   "a peer that does not read is busy (after %d)", sent);
	err_clear(&e);
	fd_close(&s[1]);
	ok(ipc_send(s[0], &out, &e) == -1 && e.code == ERR_LOST,
	   "a peer that is gone is lost, and no signal comes");
	fd_close(&s[0]);
}

struct raw_header {
	uint32_t type, nfds;
	uint64_t id;
};

/* A record as a hostile peer can make it: any bytes, any number of descriptors. */
static void send_raw(int sock, const void *p, size_t n, int fd, size_t copies)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
	} c;
	struct iovec v = {.iov_len = n};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};

	memcpy(&v.iov_base, &p, sizeof(p));
	memset(&c, 0, sizeof(c));
	if (copies) {
		struct cmsghdr *x;

		h.msg_control = c.bytes;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * copies);
		x = CMSG_FIRSTHDR(&h);
		x->cmsg_level = SOL_SOCKET;
		x->cmsg_type = SCM_RIGHTS;
		x->cmsg_len = CMSG_LEN(sizeof(int) * copies);
		for (size_t i = 0; i < copies; i++)
			memcpy(CMSG_DATA(x) + i * sizeof(int), &fd, sizeof(fd));
	}
	must(sendmsg(sock, &h, 0) == (ssize_t)n);
}

static void t_hostile(void)
{
	static char big[sizeof(struct raw_header) + IPC_MAX_BYTES + 1];
	struct raw_header head = {.type = 3, .nfds = 0, .id = 9};
	struct err e = {.code = ERR_NONE};
	unsigned before;
	int s[2];

	must(!fd_socketpair(s, NULL));
	before = open_fds();
	send_raw(s[0], &head, 15, -1, 0);
	ok(ipc_recv(s[1], &in, &e) == -1, "a record shorter than its header: %s",
	   e.cause);
	err_clear(&e);
	send_raw(s[0], big, sizeof(big), -1, 0);
	ok(ipc_recv(s[1], &in, &e) == -1, "one longer than any: %s", e.cause);
	err_clear(&e);
	send_raw(s[0], &head, sizeof(head), s[0], 2);
	ok(ipc_recv(s[1], &in, &e) == -1 && in.nfds == 0,
	   "descriptors not announced: %s", e.cause);
	err_clear(&e);
	head.nfds = 2;
	send_raw(s[0], &head, sizeof(head), s[0], 1);
	ok(ipc_recv(s[1], &in, &e) == -1, "fewer than announced: %s", e.cause);
	err_clear(&e);
	head.nfds = IPC_MAX_FDS;
	send_raw(s[0], &head, sizeof(head), s[0], IPC_MAX_FDS + 1);
	ok(ipc_recv(s[1], &in, &e) == -1, "as many as were kept of more: %s", e.cause);
	err_clear(&e);
	head.nfds = IPC_MAX_FDS + 1;
	send_raw(s[0], &head, sizeof(head), s[0], IPC_MAX_FDS + 1);
	ok(ipc_recv(s[1], &in, &e) == -1, "more than any record has: %s", e.cause);
	ok(open_fds() == before, "none of them leaves a descriptor open");
	fd_close(&s[0]), fd_close(&s[1]);
}

static void t_parse(void)
{
	static char bytes[sizeof(struct raw_header) + IPC_MAX_BYTES + 1];
	struct raw_header head = {.type = 3, .nfds = 0, .id = 9};
	uint32_t length = 0xffffffff;
	struct err e = {.code = ERR_NONE};

	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), &length, sizeof(length));
	ok(ipc_parse((struct sv){bytes, 15}, &in, &e) == -1 &&
		   ipc_parse((struct sv){bytes, sizeof(bytes)}, &in, &e) == -1,
	   "too few and too many bytes");
	ok(ipc_parse((struct sv){bytes, sizeof(head)}, &in, &e) == 1 && in.type == 3 &&
		   in.id == 9 && ipc_end(&in),
	   "a record of nothing");
	ok(ipc_parse((struct sv){bytes, sizeof(head) + 8}, &in, &e) == 1 &&
		   !ipc_get_sv(&in, SIZE_MAX).n && in.bad,
	   "a string longer than the record is bad");
	head.nfds = 1;
	memcpy(bytes, &head, sizeof(head));
	ok(ipc_parse((struct sv){bytes, sizeof(head)}, &in, &e) == -1,
	   "bytes cannot bring descriptors");
}

int main(void)
{
	t_round_trip();
	t_bad_reads();
	t_nul_in_cstr();
	t_bad_writes();
	t_peers();
	t_hostile();
	t_parse();
	return tap_done();
}
