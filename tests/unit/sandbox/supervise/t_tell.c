/* A front that does not read for a while loses nothing, in order, descriptors included; and it is not
 * read from meanwhile. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 3000

static struct keeper k;
static int front;
static unsigned heard;

static void on_front(struct loop_io *io, uint32_t events)
{
	struct ipc_msg m;

	if (tell_waits(&k)) {
		tell_again(&k);
		return;
	}
	if (events & EPOLLIN && ipc_recv(io->fd, &m, NULL) == 1) {
		heard++;
		ipc_finish(&m);
	}
}

static void on_idle(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void turn(void)
{
	struct loop_timer t = {.on_due = on_idle, .arg = &k.loop};

	k.loop.stopped = false;
	loop_timer_set(&k.loop, &t, 0);
	must(!loop_run(&k.loop, NULL));
}

static void up(void)
{
	struct err e = {0};
	int p[2];

	must(!fd_socketpair(p, &e) && !fd_set_nonblock(p[0]) && !fd_set_nonblock(p[1]));
	k = (struct keeper){.front = p[0]};
	front = p[1];
	must(!loop_init(&k.loop, &e));
	k.front_io = (struct loop_io){.fd = k.front, .on_ready = on_front, .arg = &k};
	must(!loop_add(&k.loop, &k.front_io, EPOLLIN, &e));
}

static void down(void)
{
	tell_finish(&k);
	loop_del(&k.loop, &k.front_io);
	loop_finish(&k.loop);
	fd_close(&k.front);
	fd_close(&front);
}

static int tell(uint64_t id, int fd)
{
	struct ipc_msg m;

	ipc_start(&m, fd < 0 ? SUP_REFUSED : SUP_ACCEPTED, id);
	ipc_put_u64(&m, id * 3);
	if (fd >= 0)
		ipc_put_fd(&m, fd);
	return keeper_tell(&k, &m);
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Takes record id; false: it is another, or not whole. */
static bool is_next(uint64_t id)
{
	struct ipc_msg m;
	char c = 0;
	bool good;
	int fd;

	if (ipc_recv(front, &m, NULL) != 1)
		return false;
	good = m.id == id && ipc_get_u64(&m) == id * 3;
	if (m.type == SUP_ACCEPTED) {
		fd = ipc_take_fd(&m);
		good = good && read(fd, &c, 1) == 1 && c == 'x';
		fd_close(&fd);
	}
	good = good && ipc_end(&m);
	ipc_finish(&m);
	return good;
}

static void test_slow(void)
{
	unsigned good = 0, told = 0, files = open_files();
	struct ipc_msg m;
	int p[2];

	up();
	for (uint64_t id = 0; id < RECORDS; id++) {
		must(!fd_pipe(p, NULL) && !fd_write_all(p[1], "x", 1));
		told += !tell(id, id % 50 ? -1 : p[0]);
		fd_close(&p[0]);
		fd_close(&p[1]);
	}
	ok(told == RECORDS && k.untold, "what has no room is kept");
	ipc_start(&m, SUP_STOP, 1);
	must(!ipc_send(front, &m, NULL));
	turn();
	ok(!heard, "meanwhile nothing is heard");
	for (uint64_t id = 0; id < RECORDS; id++) {
		if (!is_next(id)) {
			turn();
			good += is_next(id);
		} else {
			good++;
		}
	}
	ok(good == RECORDS && !k.untold, "all of it comes, whole and in order");
	turn();
	ok(heard == 1, "then what was said meanwhile is heard");
	down();
	ok(open_files() == files, "no descriptor is left");
}

static void test_gone(void)
{
	unsigned files = open_files();
	int p[2];

	up();
	must(!fd_pipe(p, NULL));
	for (uint64_t id = 0; !k.untold; id++)
		must(!tell(id, -1));
	must(!tell(1, p[0]) && k.untold);
	fd_close(&front);
	turn();
	ok(!k.untold, "one that has gone is told nothing more");
	ok(tell(1, -1) == -1, "and it shows");
	fd_close(&p[0]);
	fd_close(&p[1]);
	down();
	ok(open_files() == files, "no descriptor is left");
}

static void test_no_memory(void)
{
	char c;

	up();
	for (uint64_t id = 0; !k.untold; id++)
		must(!tell(id, -1));
	mem_fail_after(1);
	ok(tell(7, -1) == -1 && !k.untold, "without memory the connection ends");
	mem_fail_after(0);
	while (recv(front, &c, 1, 0) > 0)
		;
	ok(!recv(front, &c, 1, 0), "so that the front does not wait for ever");
	down();
}

/* --- descriptors on their way ----------------------------------------------------------------------- */

#define MANY 253 /* the kernel's most of one message */
#define OWN_UID 54321 /* nobody else's: the kernel counts by user, and not for root */

/* As programs under the same uid can, whatever their own limits. */
static void send_many(int sock)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * MANY)];
	} c = {.bytes = ""};
	struct iovec v = {(char[]){'x'}, 1};
	struct msghdr h = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = &c,
			   .msg_controllen = sizeof(c)};
	struct cmsghdr *x = CMSG_FIRSTHDR(&h);

	x->cmsg_level = SOL_SOCKET;
	x->cmsg_type = SCM_RIGHTS;
	x->cmsg_len = CMSG_LEN(sizeof(int) * MANY);
	for (unsigned i = 0; i < MANY; i++)
		memcpy(CMSG_DATA(x) + i * sizeof(int), &(int){0}, sizeof(int));
	must(sendmsg(sock, &h, 0) == 1);
}

static void tell_and_wait(unsigned turns)
{
	struct loop_timer t = {.on_due = on_idle, .arg = &k.loop};

	for (; turns; turns--) {
		k.loop.stopped = false;
		loop_timer_set(&k.loop, &t, 5);
		must(!loop_run(&k.loop, NULL));
	}
}

/* Fails by its number. */
static int under_pressure(void)
{
	const struct rlimit few = {200, 200};
	unsigned files = open_files();
	int s[2], p[2];
	struct ipc_msg m;

	up();
	must(!fd_socketpair(s, NULL) && !fd_pipe(p, NULL) &&
	     !fd_write_all(p[1], "x", 1));
	send_many(s[0]);
	must(!setrlimit(RLIMIT_NOFILE, &few));
	heard = 0;
	if (tell(1, p[0]) || tell(1, -1) || !k.untold)
		return 1;
	ipc_start(&m, SUP_STOP, 1);
	must(!ipc_send(front, &m, NULL));
	tell_and_wait(3);
	if (!k.untold || heard != 1)
		return 2;
	if (tell(2, -1) || !is_next(2) || is_next(1))
		return 3;
	for (unsigned i = 0; i < RECORDS; i++)
		must(!tell(1, -1));
	must(!ipc_send(front, &m, NULL));
	tell_and_wait(3);
	if (heard != 1)
		return 4;
	fd_close(&s[0]);
	fd_close(&s[1]);
	for (unsigned n = 0; n < RECORDS + 2; n++)
		for (unsigned i = 0; !is_next(1); i++) {
			if (i == 100)
				return 5;
			tell_and_wait(1);
		}
	tell_and_wait(1);
	if (k.untold || heard != 2)
		return 6;
	fd_close(&p[0]);
	fd_close(&p[1]);
	down();
	return open_files() == files ? 0 : 7;
}

static void test_too_many_on_their_way(void)
{
	const pid_t pid = fork();
	int status = -1;

	must(pid >= 0);
	if (!pid) {
		if (!geteuid())
			must(!setresuid(OWN_UID, OWN_UID, OWN_UID));
		_exit(under_pressure());
	}
	must(waitpid(pid, &status, 0) == pid);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	   "while no descriptor may be sent, what has one waits, and nothing else (%d)",
	   WEXITSTATUS(status));
}

int main(void)
{
	must(freopen("/dev/null", "w", stderr));
	test_slow();
	test_too_many_on_their_way();
	test_gone();
	test_no_memory();
	return tap_done();
}
