/* state.h: the state folder: made, checked, locked. Private to the room.
 *
 * DIR/lock carries one OFD lock per living server, on the byte whose offset is its instance id;
 * byte 0 is held while a server opens the store. The kernel drops a lock with the last descriptor
 * of the process that took it, so "the byte is free" means "that server is dead", with no pid to
 * be reused and nothing to clean up. */
#ifndef LEDGER_STATE_H
#define LEDGER_STATE_H

#include "sandbox/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define LED_PATH_SIZE 4096
#define LED_LOCK_OPENING 0	/* the byte held while opening */

/* Opens the folder, making it (0700) and its parents when missing, and refuses one that is not
 * ours alone. real (LED_PATH_SIZE bytes) gets its path without symlinks. Returns a descriptor of
 * the caller's. */
int led_dir_open(const char *path, char *real, struct err *e);
/* The same for a reader: nothing is made, ownership is not asked (root may audit for others). */
int led_dir_open_ro(const char *path, char *real, struct err *e);
/* Opens or makes the regular file `name` in dir, 0600, ours alone; never through a symlink. */
int led_file_open(int dir, const char *name, struct err *e);

/* Waits at most timeout_ms for the lock on one byte. */
int led_lock(int fd, int64_t byte, unsigned timeout_ms, struct err *e);
void led_unlock(int fd, int64_t byte);
/* Does another open file description hold that byte? fd may be read-only; -1 answers no. */
bool led_is_locked(int fd, int64_t byte);

#endif
