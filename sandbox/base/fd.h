/* fd.h: file descriptors that are owned, CLOEXEC, and never leak. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"

#include <sys/types.h>

void fd_close(int *fd);			/* closes if >= 0 and sets it to -1 */
int fd_steal(int *fd);			/* gives ownership away: returns *fd, sets it to -1 */
#define AUTO_FD __attribute__((cleanup(fd_close))) int

int fd_set_nonblock(int fd);		/* 0 or -1 */
int fd_set_cloexec(int fd, bool on);	/* 0 or -1 */
int fd_pipe(int ret[2], struct err *e);	/* [0] read, [1] write; both CLOEXEC, blocking */
/* A connected pair of SOCK_SEQPACKET sockets, CLOEXEC, blocking. */
int fd_socketpair(int ret[2], struct err *e);
/* Writes all n bytes to a blocking fd; -1 with errno on error. */
int fd_write_all(int fd, const void *p, size_t n);
/* A memfd holding n bytes, read offset 0, sealed against any change (F_SEAL_WRITE, SHRINK, GROW,
 * SEAL). Owned by the caller; -1 on error. */
int fd_memfd(const char *name, const void *p, size_t n, struct err *e);
/* True when fd is a memfd with all four seals above: its bytes cannot change under the reader. */
bool fd_is_sealed(int fd);
/* Bytes in a regular file or memfd, or -1. */
int64_t fd_size(int fd);
/* Up to n bytes of a regular file or memfd from offset on, whatever else moves its own offset; how many there were. */
size_t fd_read_at(int fd, uint64_t offset, void *dst, size_t n);
/* Adds everything readable from a blocking fd until EOF; -1 on a read error or when b fails. */
int fd_read_all(int fd, struct buf *b, struct err *e);
/* Reads a whole file beneath the current root by path; b's ceiling holds. */
int fd_read_file(const char *path, struct buf *b, struct err *e);

#endif
