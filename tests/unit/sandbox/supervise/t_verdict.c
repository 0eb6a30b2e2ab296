/* t_verdict.c: evidence -> status; every row of the decision, and who wins over whom. */
#include "sandbox/supervise/verdict.h"

#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <signal.h>

#define EXIT(n) .has_status = true, .wait_status = (n) << 8
#define KILLED(s) .has_status = true, .wait_status = (s)

static const struct {
	const char *what;
	struct verdict_evidence ev;
	enum sup_status status;
	uint32_t hits;
} rows[] = {
	{"exit 0", {EXIT(0)}, SUP_EXITED, 0},
	{"exit 1", {EXIT(1)}, SUP_EXITED, 0},
	{"signal", {KILLED(SIGSEGV)}, SUP_SIGNALED, 0},
	{"a forbidden call", {KILLED(SIGSYS)}, SUP_DENIED, 0},
	{"no status at all", {.reason = VERDICT_NONE}, SUP_LOST, 0},
	{"deadline", {.reason = VERDICT_DEADLINE}, SUP_TIMEOUT, SUP_HIT_TIME},
	{"deadline over a status",
	 {.reason = VERDICT_DEADLINE, EXIT(0)},
	 SUP_TIMEOUT,
	 SUP_HIT_TIME},
	{"out of memory over the deadline",
	 {.reason = VERDICT_DEADLINE, .oom_kills = 1},
	 SUP_OUT_OF_MEMORY,
	 SUP_HIT_TIME | SUP_HIT_MEMORY},
	{"cancel", {.reason = VERDICT_CANCEL}, SUP_CANCELLED, 0},
	{"cancel over out of memory",
	 {.reason = VERDICT_CANCEL, .oom_kills = 1},
	 SUP_CANCELLED,
	 SUP_HIT_MEMORY},
	{"output ceiling",
	 {.reason = VERDICT_OUTPUT},
	 SUP_OUTPUT_LIMIT,
	 SUP_HIT_OUTPUT},
	{"out of memory",
	 {.oom_kills = 1, KILLED(SIGKILL)},
	 SUP_OUT_OF_MEMORY,
	 SUP_HIT_MEMORY},
	{"out of memory, and it says exit 0",
	 {.oom_kills = 1, EXIT(0)},
	 SUP_OUT_OF_MEMORY,
	 SUP_HIT_MEMORY},
	{"SIGKILL without the kernel's count is no proof",
	 {KILLED(SIGKILL)},
	 SUP_SIGNALED,
	 0},
	{"refused forks and a failure",
	 {.pids_denied = 3, EXIT(1)},
	 SUP_TOO_MANY_PROCESSES,
	 SUP_HIT_PROCESSES},
	{"refused forks and success",
	 {.pids_denied = 3, EXIT(0)},
	 SUP_EXITED,
	 SUP_HIT_PROCESSES},
	{"disk full and a failure",
	 {.disk_full = true, EXIT(1)},
	 SUP_DISK_FULL,
	 SUP_HIT_DISK},
	{"disk full before, and a failure",
	 {.disk_full = true, .disk_was_full = true, EXIT(1)},
	 SUP_EXITED,
	 SUP_HIT_DISK},
	{"disk full and success",
	 {.disk_full = true, EXIT(0)},
	 SUP_EXITED,
	 SUP_HIT_DISK},
	{"a file over its limit", {KILLED(SIGXFSZ)}, SUP_DISK_FULL, SUP_HIT_DISK},
	{"the compiler says no", {.compiling = true, EXIT(1)}, SUP_COMPILE_ERROR, 0},
	{"it crashes", {.compiling = true, KILLED(SIGSEGV)}, SUP_SIGNALED, 0},
	{"it takes too long",
	 {.compiling = true, .reason = VERDICT_DEADLINE},
	 SUP_TIMEOUT,
	 SUP_HIT_TIME},
	{"it takes too much, and says no for that",
	 {.compiling = true, .oom_kills = 1, EXIT(1)},
	 SUP_OUT_OF_MEMORY,
	 SUP_HIT_MEMORY},
};

int main(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct sup_result r = {.status = SUP_LOST};

		verdict_decide(&rows[i].ev, &r);
		ok(r.status == rows[i].status && r.hits == rows[i].hits, "%s: %s",
		   rows[i].what, sup_status_name(r.status));
		ok(!(r.has_exit_code && r.signal),
		   "%s: an exit code or a signal, never both", rows[i].what);
		ok(r.compile.last == rows[i].ev.compiling &&
			   (!r.compile.last || (r.compile.status == r.status &&
						!r.has_exit_code && !r.signal)),
		   "%s: what the compiler left is no program's", rows[i].what);
	}
	return tap_done();
}
