/* landlock.h: a file allowlist for the calling process (Documentation/userspace-api/landlock.rst).
 *
 * landlock_begin -> landlock_allow ... -> landlock_enforce. Everything not allowed is refused for
 * ever, for children too; so are signals to and abstract sockets of processes outside (ABI 6).
 * Rules are by inode: a mount made later is not covered by a rule for its mount point. After
 * enforcing, the process can mount nothing. Async-signal-safe. */
#ifndef BASE_LANDLOCK_H
#define BASE_LANDLOCK_H

#include <stdint.h>

struct landlock {
	int ruleset;		/* owned; closed by landlock_enforce */
	uint64_t handled;
};

#define LANDLOCK_EXECUTE (1ULL << 0)
#define LANDLOCK_READ ((1ULL << 0) | (1ULL << 2) | (1ULL << 3)) /* execute, read, list */
/* write to and truncate existing files, device ioctls; nothing made or removed */
#define LANDLOCK_WRITE_FILES ((1ULL << 1) | (1ULL << 14) | (1ULL << 15))
#define LANDLOCK_ALL UINT64_MAX

/* The kernel's ABI version; 0: none. */
uint32_t landlock_abi(void);
/* Each 0, or -1 with errno. A path that does not exist is no error. */
int landlock_begin(struct landlock *l);
int landlock_allow(struct landlock *l, const char *path, uint64_t access);
/* Must: be called with no_new_privs set. */
int landlock_enforce(struct landlock *l);

#endif
