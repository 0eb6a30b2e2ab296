/* line.h: the line from the keeper to a cell (guest.h), at the cell's end. The cell is confined: what it hears there is its
 * program, which may do to it what it likes. */
#ifndef SANDBOX_GUEST_LINE_H
#define SANDBOX_GUEST_LINE_H

/* Says that the cell is ready, and waits for the code (fds[0]) and perhaps its stdin (fds[1]): how many these are. They
 * are the caller's, and CLOEXEC. Where the line ends instead, so does the process. */
unsigned line_await(int line, int fds[2]);
/* Gives `given` the number `at`, with these flags of dup3(2); a file with a read offset of its own, at the start, as on the cold
 * path. -1 with errno. */
int line_place(int given, int at, int flags);

#endif
