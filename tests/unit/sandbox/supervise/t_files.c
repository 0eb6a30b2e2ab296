/* Files of a session: what the guest hands over is passed on only if it is what was asked for. */
#include "tests/unit/sandbox/supervise/fake_call.h"

#include <errno.h>
#include <sys/mman.h>

static char name[] =
	"/dev/shm/t_files.XXXXXX"; /* on the tmpfs that stands for the workspace */

static void read_file(uint64_t id, const char *path)
{
	ask_for(id, SUP_ASK_FILE,
		(struct wire_ask){.session_id = sv_of(s->id),
				  .op = SUP_FILE_READ,
				  .path = sv_of(path)});
}

static void say_done(uint64_t id, struct guest_file_done d)
{
	struct ipc_msg m;

	ipc_start(&m, GUEST_FILE_DONE, id);
	guest_put_file_done(&m, &d);
	say(&m);
}

static bool passed(uint64_t id, struct sup_file_done *ret)
{
	struct ipc_msg m;
	bool good = take(front, &m) == SUP_FILE_DONE && m.id == id &&
		    !wire_get_file_done(&m, ret);

	ipc_finish(&m);
	return good;
}

static void test_read(void)
{
	struct sup_file_done d;
	AUTO_FD fd = -1;
	struct ipc_msg m;
	struct guest_file f;

	begin();
	read_file(10, "a/b");
	ok(take(guest, &m) == GUEST_FILE_OP && m.id == 10 && !guest_get_file(&m, &f) &&
		   f.op == GUEST_READ && sv_eq(f.path, SV("a/b")),
	   "the guest is asked");
	ipc_finish(&m);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	say_done(10, (struct guest_file_done){
			     .node = GUEST_NODE_FILE, .size = 1u << 30, .fd = fd});
	ok(passed(10, &d) && d.fd >= 0 && d.size == 5,
	   "the size is what the host sees");
	fd_close(&d.fd);
	read_file(11, "x");
	say_done(11, (struct guest_file_done){.sys = ENOENT, .fd = -1});
	ok(refused(SUP_ASK_REFUSED, 11, ERR_NOT_FOUND),
	   "what is not there is not found");
	read_file(12, "x");
	say_done(12, (struct guest_file_done){.sys = 0x7fffffff, .fd = -1});
	ok(refused(SUP_ASK_REFUSED, 12, ERR_UNAVAILABLE),
	   "an error nobody knows is one");
	end();
}

static void test_lies(void)
{
	static const char *const what[] = {
		"writable", "a folder", "another file system's", "a path only",
		"a pipe",   "nothing",	"an unsealed memfd"};

	for (unsigned i = 0; i < ARRAY_LEN(what); i++) {
		int p[2], fd = -1;

		begin();
		must(!fd_pipe(p, NULL));
		fd = i == 0   ? open(name, O_RDWR | O_CLOEXEC)
		     : i == 1 ? workspace()
		     : i == 2 ? open("/proc/self/status", O_RDONLY | O_CLOEXEC)
		     : i == 3 ? open(name, O_PATH | O_CLOEXEC)
		     : i == 4 ? dup(p[0])
		     : i == 6 ? memfd_create("x", MFD_CLOEXEC)
			      : -1;
		read_file(10, "x");
		say_done(10,
			 (struct guest_file_done){.node = GUEST_NODE_FILE, .fd = fd});
		ok(s->state == SES_ENDING &&
			   refused(SUP_ASK_REFUSED, 10, ERR_NOT_FOUND),
		   "%s: not passed on, and the end of the session", what[i]);
		fd_close(&fd);
		fd_close(&p[0]);
		fd_close(&p[1]);
		end();
	}
}

static void test_list(void)
{
	AUTO_FD rows = fd_memfd("rows", "abc", 3, NULL);
	AUTO_FD plain = open(name, O_RDONLY | O_CLOEXEC);
	AUTO_FD large = sealed(((uint64_t)64 << 20) + 1);
	struct sup_file_done d;

	for (int i = 0; i < 2; i++) {
		begin();
		ask_for(10, SUP_ASK_FILE,
			(struct wire_ask){.session_id = sv_of(s->id),
					  .op = SUP_FILE_LIST});
		say_done(10, (struct guest_file_done){.node = GUEST_NODE_DIR,
						      .flags = GUEST_MORE,
						      .fd = i ? plain : rows});
		if (!i)
			ok(passed(10, &d) && d.is_dir && d.more && d.size == 3,
			   "a list is a sealed memfd");
		else
			ok(s->state == SES_ENDING, "and nothing else");
		if (!i)
			fd_close(&d.fd);
		end();
	}
	begin();
	ask_for(10, SUP_ASK_FILE,
		(struct wire_ask){.session_id = sv_of(s->id), .op = SUP_FILE_LIST});
	say_done(10, (struct guest_file_done){.node = GUEST_NODE_DIR, .fd = large});
	ok(s->state == SES_ENDING, "nor one that is larger than any list");
	end();
}

static void test_write(void)
{
	struct wire_ask w = {.op = SUP_FILE_WRITE, .path = SV("x"), .max_bytes = 9};
	int p[2];

	begin();
	must(!fd_pipe(p, NULL));
	w.session_id = sv_of(s->id);
	w.data_fd = dup(p[0]);
	ask_for(10, SUP_ASK_FILE, w);
	ok(type_at(guest) == GUEST_FILE_OP, "a pipe's content can be written");
	w.data_fd = fd_memfd("x", "y", 1, NULL);
	ask_for(11, SUP_ASK_FILE, w);
	ok(type_at(guest) == GUEST_FILE_OP, "so can a sealed memfd's");
	w.data_fd = dup(p[1]);
	ask_for(12, SUP_ASK_FILE, w);
	ok(refused(SUP_ASK_REFUSED, 12, ERR_INVALID), "not the end that is written to");
	w.data_fd = memfd_create("x", MFD_CLOEXEC);
	ask_for(13, SUP_ASK_FILE, w);
	ok(refused(SUP_ASK_REFUSED, 13, ERR_INVALID), "nor what can change");
	w.data_fd = workspace();
	ask_for(14, SUP_ASK_FILE, w);
	ok(refused(SUP_ASK_REFUSED, 14, ERR_INVALID), "nor a folder of ours");
	w.data_fd = dup(p[0]);
	w.path = SV("../x");
	ask_for(15, SUP_ASK_FILE, w);
	ok(refused(SUP_ASK_REFUSED, 15, ERR_INVALID), "nor to a place outside");
	fd_close(&p[0]);
	fd_close(&p[1]);
	end();
}

static void test_many(void)
{
	unsigned asked = 0, killed_ops = 0;

	begin();
	for (uint64_t id = 10; id < 22; id++)
		read_file(id, "x");
	while (type_at(guest) == GUEST_FILE_OP)
		asked++;
	ok(asked == GUEST_FILE_OPS && s->file_ops == asked,
	   "the guest gets as many as it takes");
	say_done(10, (struct guest_file_done){.sys = ENOENT, .fd = -1});
	ok(type_at(guest) == GUEST_FILE_OP &&
		   refused(SUP_ASK_REFUSED, 10, ERR_NOT_FOUND),
	   "an answer makes room for the next");
	k.asks->timer.on_due(&k.asks->timer);
	killed_ops += type_at(guest) == GUEST_KILL;
	say_done(11, (struct guest_file_done){.sys = ECANCELED, .fd = -1});
	ok(killed_ops == 1 && refused(SUP_ASK_REFUSED, 11, ERR_BUSY),
	   "one that takes too long is given up");
	k.asks->timer.on_due(&k.asks->timer);
	k.asks->timer.on_due(&k.asks->timer);
	ok(s->state == SES_ENDING, "one that cannot be is the end of the session");
	asked = 0;
	while (type_at(front) == SUP_ASK_REFUSED)
		asked++;
	ok(asked == 10, "and of all the others");
	end();
}

static void write_file(uint64_t id)
{
	int p[2];

	must(!fd_pipe(p, NULL));
	ask_for(id, SUP_ASK_FILE,
		(struct wire_ask){.session_id = sv_of(s->id),
				  .op = SUP_FILE_WRITE,
				  .path = SV("x"),
				  .max_bytes = 9,
				  .data_fd = p[0]});
	fd_close(&p[1]);
}

/* What is written comes at the pace of somebody's network. */
static void test_writes_leave_room(void)
{
	unsigned asked = 0;

	begin();
	for (uint64_t id = 10; id < 20; id++)
		write_file(id);
	while (type_at(guest) == GUEST_FILE_OP)
		asked++;
	ok(asked < GUEST_FILE_OPS, "not all there is room for are writes");
	read_file(30, "x");
	ok(type_at(guest) == GUEST_FILE_OP, "a read does not wait for them");
	say_done(10, (struct guest_file_done){.sys = ENODATA, .fd = -1});
	ok(type_at(guest) == GUEST_FILE_OP && refused(SUP_ASK_REFUSED, 10, ERR_INVALID),
	   "one that ends makes room for the next");
	end();
}

static void give_up(uint64_t id)
{
	file_stop(&k, id);
	turn();
}

/* What waits is bounded, and where there are several callers what one of them has waiting. */
static void test_bounds(void)
{
	static const struct {
		unsigned modes, most;
	} rows[] = {{SUP_AUTH_LOCAL, 256}, {SUP_AUTH_LOCAL | SUP_AUTH_KEYS, 64}};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		up(rows[i].modes);
		s = open_one(1);
		for (unsigned n = 0; n < rows[i].most; n++)
			read_file(10 + n, "x");
		ok(k.nasks == rows[i].most && !type_at(front), "%u questions wait",
		   rows[i].most);
		read_file(9999, "x");
		ok(refused(SUP_ASK_REFUSED, 9999, ERR_BUSY), "one more is refused");
		end();
	}
}

static void test_stop(void)
{
	begin();
	write_file(10);
	ok(type_at(guest) == GUEST_FILE_OP, "a write is under way");
	give_up(10);
	ok(type_at(guest) == GUEST_KILL && type_at(front) == 0,
	   "one that is not wanted any more is killed");
	give_up(10);
	ok(type_at(guest) == 0, "once");
	say_done(10, (struct guest_file_done){.sys = ECANCELED, .fd = -1});
	ok(refused(SUP_ASK_REFUSED, 10, ERR_BUSY) && !s->file_ops,
	   "and answered all the same");
	give_up(10);
	give_up(77);
	ok(type_at(guest) == 0 && !k.front_gone, "too late is no offence");
	for (uint64_t id = 20; id < 28; id++)
		write_file(id);
	while (type_at(guest) == GUEST_FILE_OP)
		;
	give_up(27);
	ok(refused(SUP_ASK_REFUSED, 27, ERR_BUSY) && type_at(guest) == 0,
	   "one that waits for its turn is gone at once");
	end();
}

int main(void)
{
	const unsigned files = open_files();
	int fd = mkstemp(name);

	must(fd >= 0 && !fd_write_all(fd, "hello", 5));
	fd_close(&fd);
	must(freopen("/dev/null", "w", stderr));
	test_read();
	test_lies();
	test_list();
	test_write();
	test_many();
	test_writes_leave_room();
	test_bounds();
	test_stop();
	ok(open_files() == files, "no descriptor is left");
	unlink(name);
	return tap_done();
}
