/* ahead.h: an interpreter that waits for its program, and what starts it so.
 *
 * It cannot be forked: it has threads. So each cell starts one of its own, by the very command of the cold path, and confined as
 * there before it is one; but it has ahead.so preloaded (ahead.c), which holds it where it first looks for the file that it was
 * told to run. By then its own start is behind it. The file is written then, and it goes on. */
#ifndef SANDBOX_GUEST_AHEAD_H
#define SANDBOX_GUEST_AHEAD_H

/* In the environment, beside LD_PRELOAD: "N PATH". N, N + 1 and N + 2 are the cell's line, the object itself and the text that
 * is to be run ahead, PATH is the program's file. ahead.so takes both variables away when it begins. */
#define AHEAD_MARK "FUMEHOOD_AHEAD"
enum { AHEAD_LINE, AHEAD_OBJECT, AHEAD_DRIVER, AHEAD_FDS };

/* The first of them: above all that an interpreter opens when it starts, so that its own have the numbers that they have
 * on the cold path; and in the first 64, beyond which the kernel's table grows. */
#define AHEAD_FIRST_FD(open_files) ((int)((open_files) < 64 ? (open_files) : 64) - AHEAD_FDS)

#endif
