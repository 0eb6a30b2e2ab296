/* t_zygote_confined.c: what a cell may, beside what a program of its own sandbox may: the same; and that nothing is
 * carried from one cell to the next. */
#include "tests/unit/sandbox/guest/zygote_test.h"

/* Tells all that bounds the process it runs in. What is another's number each time is left out. */
static const char tells_all[] =
	"import os, sys, resource, signal, socket, fcntl, ctypes\n"
	"c = ctypes.CDLL(None, use_errno=True)\n"
	"def attempt(name, f, *a):\n"
	"    try: r = f(*a)\n"
	"    except OSError as e: r = e.errno\n"
	"    print(name, *a, r)\n"
	"for l in open('/proc/self/status'):\n"
	"    if l.split(':')[0] in ('Umask', 'Uid', 'Gid', 'Groups', 'SigBlk', 'SigIgn', 'SigCgt',\n"
	"            'SigPnd', 'ShdPnd', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb',\n"
	"            'NoNewPrivs', 'Seccomp', 'Seccomp_filters', 'TracerPid', 'NSpid', 'NSsid',\n"
	"            'THP_enabled', 'Cpus_allowed', 'Threads'): print(l, end='')\n"
	"for k in sorted(dir(resource)):\n"
	"    if k.startswith('RLIMIT_'):\n"
	"        print(k, resource.getrlimit(getattr(resource, k)))\n"
	"print(os.getcwd(), sorted(os.environ.items()))\n"
	"print(sorted(x for x in open('/proc/self/environ').read().split('\\0') if x))\n"
	"print(sorted(os.listdir('/proc/self/fd')))\n"
	"for i in range(3): print(i, fcntl.fcntl(i, 1), fcntl.fcntl(i, 3), os.readlink(\n"
	"    '/proc/self/fd/%d' % i).split('[')[0])\n"
	"print('pids', [x for x in os.listdir('/proc') if x.isdigit()], os.getpid(),\n"
	"    os.getppid(), os.getsid(0), os.getpgrp())\n"
	"for f in ('oom_score_adj', 'timerslack_ns', 'comm', 'cgroup'):\n"
	"    print(f, open('/proc/self/' + f).read())\n"
	"for l in open('/proc/self/mountinfo'): print(*l.split()[3:6], *l.split(' - ')[1:], end='')\n"
	"for s in sorted(signal.valid_signals()): print(s, signal.getsignal(s))\n"
	"print(socket.gethostname(), [l.split()[0] for l in open('/proc/net/dev')])\n"
	"print(*(os.path.getsize('/proc/self/' + x) for x in ('loginuid',) if os.path.exists(x)))\n"
	"for d in ('/', '/usr', '/etc', '/dev', '/dev/shm', '/proc', '/proc/1/fd', '/run', '/run/empty',\n"
	"        '/run/fumehood', '/tmp', '/workspace', '/var', '/var/tmp', '/opt', '/home', '/root'):\n"
	"    attempt('list', lambda d: 'listed' if set(os.listdir(d)) - {'main.py'} else 'empty', d)\n"
	"    attempt('write', lambda d: os.close(os.open(d + '/x', 0o101)), d)\n"
	"    attempt('chmod', os.chmod, d, 0o777)\n"
	"for f in ('/proc/1/mem', '/proc/1/environ', '/proc/1/maps', '/proc/kcore', '/proc/kallsyms',\n"
	"        '/proc/sys/kernel/core_pattern', '/proc/self/mem', '/dev/null', '/dev/tty', '/etc/passwd'):\n"
	"    attempt('read', lambda f: open(f, 'rb').read(1) and 'read', f)\n"
	"    attempt('append', lambda f: os.close(os.open(f, 0o2001)), f)\n"
	"for s in (0, 9): attempt('kill', os.kill, 1, s), attempt('kill', os.kill, -1, 0)\n"
	"for f in (os.setuid, os.setgid): attempt(f.__name__, f, 0)\n"
	"attempt('groups', os.setgroups, [1000])\n"
	"attempt('renice', os.setpriority, 0, 0, -1)\n"
	"for a in range(46): attempt('socket', lambda a: socket.socket(a, 2).close(), a)\n"
	"for a in range(46): attempt('socket', lambda a: socket.socket(a, 1).close(), a)\n"
	/* mount, chroot, ptrace, unshare, setns, keyctl, bpf, io_uring_setup, clone3, perf_event_open, ... */
	"for n in (165, 161, 101, 272, 308, 250, 321, 425, 435, 298, 155, 166, 103, 169, 175, 248, 310,\n"
	"        323, 428, 432, 9999, 0x40000000 - 1, 29, 68, 133, 92, 149, 203, 156):\n"
	"    print('call', n, c.syscall(n, 0, 0, 0, 0, 0, 0), ctypes.get_errno())\n"
	"for n in (2, 3, 7, 21, 23, 27, 39, 47, 38, 55): print('prctl', n, c.prctl(n, 0, 0, 0, 0))\n"
	"a = (ctypes.c_char * 64)(); n = ctypes.c_size_t()\n"
	"c.pthread_getattr_default_np(a); c.pthread_attr_getstacksize(a, ctypes.byref(n))\n"
	"print('stack of a thread', n.value)\n";

static bool holds(const char *text, const char *line)
{
	const bool there = strstr(text, line);

	if (!there)
		printf("# %s\n", text);
	return there;
}

static void test_same_bounds(void)
{
	static char program[70000];
	struct guest_run r = command("/usr/bin/python3", "-I");
	const char *cell = "";
	struct box b;

	r.code_name = SV("main.py");
	must(!sv_copy(sv_of(cold(r, tells_all)), program, sizeof(program)));
	must(open_zygote(&b));
	ok(run(&b, tells_all, &cell) == 0, "a cell tells what bounds it");
	ok(differences(program, cell) == 0, "it is what bounds a program of its own");
	ok(holds(cell, "CapEff:\t0000000000000000\n") &&
		   holds(cell, "CapBnd:\t0000000000000000\n") &&
		   holds(cell, "CapAmb:\t0000000000000000\n") &&
		   holds(cell, "CapPrm:\t0000000000000000\n"),
	   "no capability in any set");
	ok(holds(cell, "\nSeccomp:\t2\n") && holds(cell, "\nNoNewPrivs:\t1\n"),
	   "its system calls are filtered, nothing gives more");
	ok(holds(cell, "\n['0', '1', '2', '3']\n"), "it has three descriptors");
	ok(holds(cell, "\npids ['1', '2'] 2 0 2 2\n"), "it sees itself and its room");
	ok(holds(cell, "\nlist / 13\n") && holds(cell, "\nlist /run 13\n") &&
		   holds(cell, "\nlist /usr listed\n"),
	   "Landlock refuses what is not on the list");
	ok(holds(cell, "\nkill 1 9 1\n"), "its room's init is out of reach");
	ok(holds(cell, "\nRLIMIT_NOFILE (120, 120)\n") &&
		   holds(cell, "\nRLIMIT_FSIZE (16777216, 16777216)\n") &&
		   holds(cell, "\nRLIMIT_CORE (0, 0)\n"),
	   "its limits are those that were asked for");
	close_box(&b);
}

/* As many as it may have, then how many those were. */
#define FORKS                                                                                   \
	"import os, signal\nn = 0\n"                                                            \
	"try:\n    while n < 1000:\n        if not os.fork(): signal.pause()\n        n += 1\n" \
	"except BlockingIOError: os.write(1, b'%d\\n' % n)\n"

/* A cell's own, whatever else the user runs. */
static void test_processes(void)
{
	const char *out = "";
	struct test_cell c;
	struct box b;

	must(open_zygote(&b) && make_cell(&b, &c));
	give_code(&c, FORKS "signal.pause()\n");
	must(read(c.out, (char[1]){0}, 1) == 1);
	ok(run(&b, FORKS, &out) == 0 && !strcmp(out, "30\n"),
	   "beside a cell that has all the processes it may, another has its own");
	send_kill(&b, c.id);
	ok(await_ended(&b, &c) == SIGKILL, "a kill takes them all");
	close_cell(&c);
	ok(close_box(&b), "and the sandbox ends");
}

/* What one cell can leave, and what the next would find of it. */
static void test_nothing_is_carried_over(void)
{
	static const char marks[] =
		"import os, sys, builtins, json, random, signal, resource, socket\n"
		"for d in ('/tmp', '/workspace', '/dev/shm'): open(d + '/mark', 'w').write('mark')\n"
		"builtins.len = json.loads = sys.stdout = None\n"
		"sys.mark = builtins.mark = 1\n"
		"os.environ['MARK'] = '1'\n"
		"os.chdir('/tmp')\nos.umask(0o777)\nrandom.seed(1)\n"
		"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
		"resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))\n"
		"s = socket.socket(socket.AF_UNIX)\ns.bind('\\0mark')\ns.listen()\n"
		"t = socket.socket()\nt.bind(('127.0.0.1', 4000))\nt.listen()\n"
		"if os.fork(): os._exit(0)\n"
		"os.setsid()\nsignal.pause()\n";
	static const char looks[] =
		"import os, sys, builtins, json, random, signal, resource, socket\n"
		"for d in ('/tmp', '/workspace', '/dev/shm'): print(os.listdir(d))\n"
		"print(len('abc'), json.loads('1'), hasattr(sys, 'mark'), hasattr(builtins, 'mark'))\n"
		"print('MARK' in os.environ, os.getcwd(), os.umask(0))\n"
		"print(signal.getsignal(signal.SIGTERM) == 0, resource.getrlimit(7)[0])\n"
		"def refused(f, a):\n"
		"    try: socket.socket(f).connect(a)\n"
		"    except ConnectionRefusedError: return 'refused'\n"
		"print(refused(socket.AF_UNIX, '\\0mark'), refused(socket.AF_INET, ('127.0.0.1', 4000)))\n"
		"print([x for x in os.listdir('/proc') if x.isdigit()])\n";
	static const char draws[] = "import random, os\nprint(random.random())\n";
	const char *out = "";
	char first[64];
	struct test_cell c, after;
	struct box b;

	must(open_zygote(&b));
	ok(run(&b, marks, NULL) == 0, "a cell leaves marks");
	ok(run(&b, looks, &out) == 0 &&
		   !strcmp(out, "[]\n[]\n[]\n3 1 False False\nFalse /workspace 18\n"
				"True 120\nrefused refused\n['1', '2']\n"),
	   "the next finds none");
	must(make_cell(&b, &c) && make_cell(&b, &after));
	give_code(&c, marks);
	ok(await_ended(&b, &c) == 0, "one leaves marks beside another");
	give_code(&after, looks);
	ok(await_ended(&b, &after) == 0 &&
		   holds(all_of(after.out), "refused refused\n"),
	   "which was there and finds none");
	close_cell(&c);
	close_cell(&after);
	ok(run(&b, draws, &out) == 0 && !sv_copy(sv_of(out), first, sizeof(first)) &&
		   run(&b, draws, &out) == 0 && strcmp(first, out),
	   "two do not draw the same numbers");
	close_box(&b);
}

/* A driver that warms itself up where it is told to: between its two forks all is refused already. */
static void test_before_the_code(void)
{
	static const char driver[] =
		"import os, socket, time\n"
		"os.fork()\n"
		"caps = [l for l in open('/proc/self/status') if l.startswith(('CapEff', 'Seccomp:'))]\n"
		"fds = os.listdir('/proc/self/fd')\n"
		"try: os.listdir('/')\n"
		"except PermissionError: caps.append('refused\\n')\n"
		"os.write(1, (''.join(caps) + ' '.join(sorted(fds)) + '\\n').encode())\n"
		"os.fork()\n"
		"os.write(1, b'code\\n')\n"
		"os._exit(0)\n";
	struct test_cell c;
	struct told got;
	struct box b;

	open_box(&b, "/usr/bin/python3", driver);
	got = told_next(b.ctl);
	must(told_is(&got, GUEST_ZYGOTE_UP, 1) && make_cell(&b, &c));
	give_code(&c, "");
	ok(await_ended(&b, &c) == 0, "a driver looks around before there is code");
	ok(!strcmp(all_of(c.out), "CapEff:\t0000000000000000\nSeccomp:\t2\nrefused\n"
				  "0 1 2 3 4\ncode\n"),
	   "and is confined: of descriptors there is the line beside the streams");
	close_cell(&c);
	close_box(&b);
}

/* Eight MiB that the zygote has written to, and a program that does so again. */
#define WRITES "for i in range(0, len(big), 4096): big[i] = 2"
#define BIG_DRIVER(rehearsal)                                                          \
	"import mmap, os, resource\n"                                                  \
	"big = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"        \
	"for i in range(0, len(big), 4096): big[i] = 1\n" rehearsal "os.fork()\n"      \
	"os.sched_yield()\n"                                                           \
	"with open(3, 'rb') as f:\n"                                                   \
	"    code = f.read()\n"                                                        \
	"open('main.py', 'wb').write(code)\n"                                          \
	"was, before = big[0], resource.getrusage(0).ru_minflt\n"                      \
	"exec(code)\n"                                                                 \
	"many = resource.getrusage(0).ru_minflt - before > 1000\n"                     \
	"fds = sorted(os.listdir('/proc/self/fd'))\n"                                  \
	"print(was, big[-4096], 'many' if many else 'few', *fds, flush=True)\n"        \
	"os._exit(0)\n"
#define REHEARSES(program)                                                             \
	"fd = os.memfd_create('rehearsal')\n"                                          \
	"os.write(fd, b\"" program "\")\n"                                             \
	"os.dup2(fd, 30, False)\n"                                                     \
	"os.close(fd)\n"
#define A_LINE "\\n" /* within a string of the driver's */

static const struct {
	const char *what, *driver, *out;
} rehearsals[] = {
	{"without a rehearsal its first write to a page is a fault", BIG_DRIVER(""),
	 "1 2 many 0 1 2 3\n"},
	{"with one the pages are its own before, with the zygote's bytes in them",
	 BIG_DRIVER(REHEARSES(WRITES)), "1 2 few 0 1 2 3\n"},
	{"one that fails is as none", BIG_DRIVER(REHEARSES("1 / 0")),
	 "1 2 many 0 1 2 3\n"},
	{"so is one that is killed",
	 BIG_DRIVER(REHEARSES("import signal; os.kill(os.getpid(), 9)")),
	 "1 2 many 0 1 2 3\n"},
	{"what has gone since is passed over",
	 BIG_DRIVER(REHEARSES("more = bytearray(4 << 20)" A_LINE WRITES)),
	 "1 2 few 0 1 2 3\n"},
};

static void test_rehearsal(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(rehearsals); i++) {
		const char *out;
		struct test_cell c;
		struct told got;
		struct box b;

		open_box(&b, "/usr/bin/python3", rehearsals[i].driver);
		got = told_next(b.ctl);
		must(told_is(&got, GUEST_ZYGOTE_UP, 1) && make_cell(&b, &c));
		give_code(&c, WRITES);
		ok(await_ended(&b, &c) == 0, "a cell that writes to much");
		out = all_of(c.out);
		ok(!strcmp(out, rehearsals[i].out), "%s", rehearsals[i].what);
		ok(!strcmp(all_of(c.err), ""), "and says nothing else");
		close_cell(&c);
		close_box(&b);
	}
}

int main(void)
{
	test_same_bounds();
	test_processes();
	test_nothing_is_carried_over();
	test_before_the_code();
	test_rehearsal();
	return tap_done();
}
