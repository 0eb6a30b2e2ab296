/* landlock.c: the three system calls, by number: Debian 12's headers end at ABI 1. */
#include "sandbox/base/landlock.h"

#include "sandbox/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH 1
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)
/* rights that make sense for a file: execute, write, read, truncate, device ioctl */
#define FILE_RIGHTS                                                                    \
	((1ULL << 0) | (1ULL << 1) | (1ULL << 2) | (1ULL << 14) | (1ULL << 15))

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_attr {
	uint64_t access;
	int32_t parent_fd;
} __attribute__((packed));

uint32_t landlock_abi(void)
{
	long abi =
		syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi > 0 ? (uint32_t)abi : 0;
}

/* ABI 1 handles the first 13 rights, 2 adds REFER, 3 TRUNCATE, 5 device ioctls, 6 the scopes; the
 * struct grew with 4 (net) and 6 (scoped). */
int landlock_begin(struct landlock *l)
{
	const uint32_t abi = landlock_abi();
	struct ruleset_attr a = {.fs = (1ULL << 13) - 1};

	if (abi >= 2)
		a.fs |= 1ULL << 13;
	if (abi >= 3)
		a.fs |= 1ULL << 14;
	if (abi >= 5)
		a.fs |= 1ULL << 15;
	if (abi >= 6)
		a.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	l->handled = a.fs;
	l->ruleset = (int)syscall(SYS_landlock_create_ruleset, &a,
				  abi >= 6   ? sizeof(a)
				  : abi >= 4 ? sizeof(uint64_t) * 2
					     : sizeof(uint64_t),
				  0);
	return l->ruleset < 0 ? -1 : 0;
}

int landlock_allow(struct landlock *l, const char *path, uint64_t access)
{
	AUTO_FD fd = open(path, O_PATH | O_CLOEXEC);
	struct path_attr rule = {.access = access & l->handled, .parent_fd = fd};
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (fstat(fd, &st))
		return -1;
	if (!S_ISDIR(st.st_mode))
		rule.access &= FILE_RIGHTS;
	return (int)syscall(SYS_landlock_add_rule, l->ruleset, RULE_PATH_BENEATH, &rule,
			    0);
}

int landlock_enforce(struct landlock *l)
{
	long r = syscall(SYS_landlock_restrict_self, l->ruleset, 0);

	fd_close(&l->ruleset);
	return r ? -1 : 0;
}
