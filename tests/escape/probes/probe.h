/* probe.h: attacks that report what happened.
 *
 * `probe list` names them; `probe ID...` (or a prefix that ends in '-', or `all`) runs
 * them, each in a child of its own with two seconds to live, and prints one line per
 * attack: `ID open DETAIL` when it got through, `ID blocked DETAIL` when something
 * stopped it, `ID unknown DETAIL` when it said neither. The same program runs inside
 * the sandbox, where everything should be blocked, and outside as the control, where it
 * must be open for the inside answer to mean anything. So an attack is harmless even
 * where it succeeds, also for root: it opens for writing without writing, creates only
 * what it removes, and asks the kernel for things with arguments that stop just after
 * the permission check.
 *
 * The environment carries what only the host knows: PROBE_ABSTRACT, PROBE_UNIX,
 * PROBE_TCP, PROBE_HOST_ADDR (listeners of the host) and PROBE_HOSTNAME. */
#ifndef ESCAPE_PROBE_H
#define ESCAPE_PROBE_H

#include <stdbool.h>
#include <stddef.h>

enum verdict { UNKNOWN, OPEN, BLOCKED };

struct finding {
	enum verdict verdict;
	char detail[160];
};

struct probe {
	const char *id; /* "F-01.root" */
	void (*run)(struct finding *f, const struct probe *p);
	const char *path; /* what it is aimed at, where that is a path or a name */
	long nr; /* system call, or a small number the attack understands */
	long args[6];
};

/* Tables end with a NULL id. */
extern const struct probe probes_files[], probes_proc[], probes_namespaces[],
	probes_calls[], probes_tracing[], probes_terminal[], probes_sockets[],
	probes_devices[];
extern bool probe_had_terminal; /* /dev/tty could be opened at start */

void found(struct finding *f, enum verdict v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Says what a call that returned rv (errno set where negative) means. A refusal is
 * blocked; any other error is open: the kernel's own code was reached. Which errors are
 * refusals differs. */
void judge_call(struct finding *f, long rv); /* EPERM EACCES ENOSYS */
void judge_path(struct finding *f, long rv); /* ENOENT ENOTDIR EROFS ENXIO ENODEV too */
void judge_socket(struct finding *f, long rv); /* also no such family, type, protocol */
/* Blocked by a limit too: EMFILE ENFILE ENOSPC EAGAIN ENOMEM EDQUOT EFBIG. */
void judge_limit(struct finding *f, long rv);

/* Ready-made attacks. */
void attack_call(struct finding *f, const struct probe *p); /* nr(args...) */
void attack_read(struct finding *f, const struct probe *p); /* path has bytes to read */
void attack_open(struct finding *f, const struct probe *p); /* open(path, nr) */
void attack_list(struct finding *f, const struct probe *p); /* path has entries */
void attack_exists(struct finding *f, const struct probe *p); /* path can be stat'ed */

/* Bytes of a whole small file, NUL-terminated, cut at size; -1 with errno. */
long read_whole(const char *path, char *buf, size_t size);
const char *env_or(const char *name, const char *otherwise);

#define CALL(name, number, ...)                                                        \
	{                                                                              \
		.id = name, .run = attack_call, .nr = number, .args = { __VA_ARGS__ }  \
	}

#endif
