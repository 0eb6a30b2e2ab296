/* t_session_drivers.c: the language drivers in a session, by launch_call as the keeper does it, and what
 * a process of a session is confined by. */
#include "tests/unit/sandbox/guest/session_test.h"

/* A call of a language in a slot; warm: its interpreter runs. */
static struct told speak(struct test_session *t, const char *language, uint32_t slot,
			 const char *code, bool warm)
{
	struct launch_call c = {.id = ++t->last_id,
				.slot = slot,
				.io = {memfd_of(sv_of(code)), -1, -1, -1, -1},
				.rich_fd = -1};
	const struct plan *plan = plan_of(host, POL_RUN_CODE, language, NULL);
	int w[3] = {-1, -1, -1};
	struct told got = {.type = 0};
	struct err e = {0};

	if (!warm) {
		fd_close(&t->out[slot]);
		fd_close(&t->err[slot]);
		fd_close(&t->rich[slot]);
		make_pipes(t, slot, w);
		c.io.out_fd = w[0], c.io.err_fd = w[1], c.rich_fd = w[2];
	}
	if (launch_call(host, &t->box, plan, &c, &e))
		printf("# %s\n", e.cause);
	else
		do {
			got = next_told(t);
			fd_close(&got.word.pidfd);
		} while (got.type &&
			 (got.id != c.id || got.type == GUEST_CALL_STARTED));
	fd_close(&c.io.code_fd);
	for (unsigned i = 0; i < 3; i++)
		fd_close(&w[i]);
	return got;
}

static const struct {
	const char *language, *first, *second, *output, *forever;
} speeches[] = {
	{"python", "x = 41\ndef f(): return x + 1\n", "print(f())\n", "42\n",
	 "import os; os.write(1, b'on\\n')\nwhile True: pass\n"},
	{"javascript", "let x = 41; function f() { return x + 1 }\n",
	 "console.log(f())\n", "42\n",
	 "require('fs').writeSync(1, 'on\\n'); for (;;);\n"},
	{"bash", "x=41; f() { echo $((x + 1)); }\n", "f\n", "42\n",
	 "echo on; while :; do :; done\n"},
};

static void test_languages(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(speeches); i++) {
		const char *l = speeches[i].language;
		struct test_session t;
		struct pollfd p;
		struct told got;
		uint64_t id;

		if (!plan_of(host, POL_RUN_CODE, l, NULL)) {
			skip("a language is not installed");
			continue;
		}
		must(open_session(&t));
		got = speak(&t, l, i, speeches[i].first, false);
		ok(ended(&got, GUEST_BY_DRIVER, 0), "%s takes a call", l);
		got = speak(&t, l, i, speeches[i].second, true);
		ok(ended(&got, GUEST_BY_DRIVER, 0) &&
			   !strcmp(drain(t.out[i]), speeches[i].output),
		   "and knows it in the next");
		id = ++t.last_id;
		struct launch_call c = {
			.id = id,
			.slot = i,
			.rich_fd = -1,
			.io = {memfd_of(sv_of(speeches[i].forever)), -1, -1, -1, -1}};
		must(!launch_call(host, &t.box, plan_of(host, POL_RUN_CODE, l, NULL),
				  &c, NULL));
		fd_close(&c.io.code_fd);
		p = (struct pollfd){t.out[i], POLLIN, 0};
		must(poll(&p, 1, LONG_MS) == 1);
		drain(t.out[i]);
		send_slot(&t, GUEST_INTERRUPT, id, i);
		got = next_told(&t);
		got = got.type == GUEST_CALL_STARTED ? next_told(&t) : got;
		ok(ended(&got, GUEST_BY_DRIVER, 130), "an interrupt stops it");
		got = speak(&t, l, i, speeches[i].second, true);
		ok(ended(&got, GUEST_BY_DRIVER, 0) &&
			   !strcmp(drain(t.out[i]), speeches[i].output),
		   "and its state is kept");
		close_session(&t);
	}
}

static void test_launch_call(void)
{
	struct test_session t;
	struct told got;

	ok(launch_driver("python") && launch_driver("javascript") &&
		   launch_driver("bash") && !launch_driver("cobol"),
	   "three languages have a driver");
	must(open_session(&t));
	got = speak(&t, "bash", 0, ":", true);
	ok(got.type == GUEST_FAILED && got.sys == ESRCH,
	   "without pipes nothing is started, and that is told");
	got = speak(&t, "bash", 0, ":", false);
	ok(ended(&got, GUEST_BY_DRIVER, 0), "with them it is");
	got = speak(&t, "python", 0, "1", true);
	ok(got.type == GUEST_FAILED && got.sys == EINVAL, "a slot speaks one language");
	close_session(&t);
}

/* What an interpreter may do is what the program of a run may do. */
static void test_confinement(void)
{
	static const char *const lines[] = {
		"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"};
	struct test_session t;
	struct told got;
	const char *text;

	must(open_session(&t));
	got = do_call(&t, &(struct call){.code = "cat /proc/$$/status\n"}, NULL);
	text = drain(t.out[0]);
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++)
		ok(strstr(text, lines[i]), "%s", lines[i]);
	ok(sh(&t, "[ $(cat /proc/$$/oom_score_adj) = 1000 ]\n", true) == 0,
	   "it dies first");
	ok(sh(&t, "[ $(cat /proc/1/oom_score_adj) -lt 1000 ]\n", true) == 0,
	   "and not the room");
	got = do_call(
		&t,
		&(struct call){
			.code = "ls /proc/$$/fd >/tmp/l; grep -v '^1[0-9]$' /tmp/l\n",
			.warm = true},
		NULL);
	/* this shell keeps its scripts at 10 and 11 */
	ok(got.type == GUEST_CALL_ENDED && !strcmp(drain(t.out[0]), "0\n1\n2\n3\n4\n"),
	   "it holds its five descriptors");
	ok(sh(&t,
	      "for p in /proc/[0-9]*; do read -r c <$p/comm; [ $c = porter ] && break; done\n"
	      "[ $c = porter ] && ! ls $p/fd 2>&1 && ! ls $p/root/ 2>&1 && ! (: <$p/mem)\n",
	      true) == 0,
	   "nothing of a porter's can be opened");
	ok(sh(&t, "! ls /proc/1/root/ && ! ls /proc/1/fd\n", true) == 0,
	   "nor of the room's init");
	ok(sh(&t, "[ \"$(stat -c '%a %u' /run/fumehood)\" = \"700 $(id -u)\" ]\n",
	      true) == 0,
	   "the drivers' folder is its user's alone");
	ok(sh(&t,
	      "mount -t tmpfs x /tmp; [ $? != 0 ] && ! touch /run/x && ! touch /etc/x\n",
	      true) == 0,
	   "it mounts nothing, and writes nowhere else");
	ok(sh(&t, "[ $(ps -o sid= -p $$) = $$ ] && [ $(ps -o pgid= -p $$) = $$ ]\n",
	      true) == 0,
	   "it leads a session id of its own");
	close_session(&t);
}

int main(void)
{
	open_host();
	test_languages();
	test_launch_call();
	test_confinement();
	launch_host_free(host);
	return tap_done();
}
