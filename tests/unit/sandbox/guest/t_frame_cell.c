/* t_frame_cell.c: the records of zygotes and cells: what is put is got, and what may not be is refused without a
 * descriptor left open. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/guest.h"
#include "tests/lib/tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int line[2];

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	closedir(d);
	return n;
}

/* To the other side and back; m's descriptors stay the sender's. */
static void pass(struct ipc_msg *m)
{
	must(!ipc_send(line[0], m, NULL));
	must(ipc_recv(line[1], m, NULL) == 1);
}

static void close_zygote(struct guest_zygote *z)
{
	fd_close(&z->run.filter_fd);
	fd_close(&z->driver_fd);
	fd_close(&z->object_fd);
}

static void test_zygote(void)
{
	struct guest_zygote z = {.run = {.interpreter = SV("/usr/bin/python3"),
					 .args = {SV("-I"), SV("-S")},
					 .nargs = 2,
					 .env = {SV("A=b")},
					 .nenv = 1,
					 .workspace_bytes = 1,
					 .tmp_bytes = 2,
					 .memory_bytes = 3,
					 .open_files = 4,
					 .processes = 5,
					 .rlimit_memory = 1,
					 .landlock = 7,
					 .filter_fd = 0},
				 .driver_fd = 1,
				 .object_fd = 2};
	struct guest_zygote got;
	static struct ipc_msg m;
	const unsigned before = open_files();

	ipc_start(&m, GUEST_ZYGOTE, 9);
	guest_put_zygote(&m, &z);
	pass(&m);
	ok(m.type == GUEST_ZYGOTE && m.id == 9 && !guest_get_zygote(&m, &got),
	   "a zygote's record is read");
	ok(sv_eq(got.run.interpreter, z.run.interpreter) && got.run.nargs == 2 &&
		   sv_eq(got.run.args[1], SV("-S")) && got.run.nenv == 1 &&
		   sv_eq(got.run.env[0], SV("A=b")),
	   "its strings");
	ok(got.run.workspace_bytes == 1 && got.run.tmp_bytes == 2 &&
		   got.run.memory_bytes == 3 && got.run.open_files == 4 &&
		   got.run.processes == 5 && got.run.rlimit_memory == 1 &&
		   got.run.landlock == 7,
	   "its limits");
	ok(open_files() == before + 3 && got.run.out_fd == -1 && got.run.code_fd == -1,
	   "three descriptors, no more");
	ok(!got.ahead && !got.run.code_name.n, "it is an interpreter's");
	close_zygote(&got);
	z.ahead = 1;
	z.run.code_name = SV("main.js");
	ipc_start(&m, GUEST_ZYGOTE, 9);
	guest_put_zygote(&m, &z);
	pass(&m);
	ok(!guest_get_zygote(&m, &got) && got.ahead == 1 &&
		   sv_eq(got.run.code_name, SV("main.js")) && got.run.landlock == 7,
	   "or one's that starts them, with the name of the program");
	close_zygote(&got);
	ok(open_files() == before, "and nothing stays open");
}

static bool refused(const struct guest_zygote *z, unsigned more_fds)
{
	static struct ipc_msg m;
	struct guest_zygote got;
	const unsigned before = open_files();
	bool bad;

	ipc_start(&m, GUEST_ZYGOTE, 9);
	guest_put_zygote(&m, z);
	for (unsigned i = 0; i < more_fds; i++)
		ipc_put_fd(&m, 0);
	pass(&m);
	bad = guest_get_zygote(&m, &got) == -1;
	ipc_finish(&m);
	return bad && open_files() == before;
}

static void test_bad_zygotes(void)
{
	struct guest_zygote z = {.run = {.interpreter = SV("python3")}};

	ok(refused(&z, 0), "an interpreter that is to be looked for is refused");
	z.run.interpreter = SV("/python3\0x");
	ok(refused(&z, 0), "so is one with a NUL in it");
	z.run.interpreter = SV("/python3");
	ok(refused(&z, 1), "and a descriptor too many");
	ok(!refused(&z, 0), "which was all that was wrong with it");
	z.ahead = 1;
	ok(refused(&z, 0), "a program without a name is refused");
	z.run.code_name = SV("a/b");
	ok(refused(&z, 0), "one in a folder");
	z.run.code_name = SV("..");
	ok(refused(&z, 0), "one that is a folder");
	z.run.code_name = SV("main.js");
	z.ahead = 2;
	ok(refused(&z, 0), "and what is neither yes nor no");
	z.ahead = 1;
	ok(!refused(&z, 0), "which was all that was wrong with it");
}

static void test_cell(void)
{
	struct guest_cell c = {.uid = 2003,
			       .line_fd = 0,
			       .out_fd = 1,
			       .err_fd = 2,
			       .njoins = GUEST_CELL_JOINS,
			       .join_fd = {0, 1, 2, 0}};
	struct guest_cell got;
	static struct ipc_msg m;
	const unsigned before = open_files();

	for (uint32_t n = 0; n <= GUEST_CELL_JOINS; n += GUEST_CELL_JOINS) {
		c.njoins = n;
		ipc_start(&m, GUEST_CELL, 9);
		guest_put_cell(&m, &c);
		pass(&m);
		ok(!guest_get_cell(&m, &got) && got.uid == 2003 && got.njoins == n &&
			   open_files() == before + 3 + n,
		   "a cell's record with %u cgroups is read", n);
		guest_close_cell(&got);
		ok(open_files() == before && got.line_fd == -1 && !got.njoins,
		   "and closed again");
	}
	c.njoins = GUEST_CELL_JOINS + 1;
	ipc_start(&m, GUEST_CELL, 9);
	guest_put_cell(&m, &c);
	ok(m.bad, "more cgroups do not go into one");
	ipc_start(&m, GUEST_CELL, 9);
	ipc_put_u32(&m, 1);
	ipc_put_u32(&m, GUEST_CELL_JOINS + 1);
	for (unsigned i = 0; i < 3 + GUEST_CELL_JOINS + 1; i++)
		ipc_put_fd(&m, 0);
	pass(&m);
	ok(guest_get_cell(&m, &got) == -1, "nor come out of one");
	ipc_finish(&m);
	c.njoins = 1;
	c.uid = 0;
	ipc_start(&m, GUEST_CELL, 9);
	guest_put_cell(&m, &c);
	pass(&m);
	ok(guest_get_cell(&m, &got) == -1, "no cell is root");
	ipc_finish(&m);
	ipc_start(&m, GUEST_CELL, 9);
	ipc_put_u32(&m, 1);
	ipc_put_u32(&m, 2);
	for (unsigned i = 0; i < 4; i++)
		ipc_put_fd(&m, 0);
	pass(&m);
	ok(guest_get_cell(&m, &got) == -1, "one cgroup short of what it says");
	ipc_finish(&m);
	ok(open_files() == before, "nothing of these stays open");
}

int main(void)
{
	must(!fd_socketpair(line, NULL));
	test_zygote();
	test_bad_zygotes();
	test_cell();
	return tap_done();
}
