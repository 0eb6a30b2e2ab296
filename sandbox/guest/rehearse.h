/* rehearse.h: what the start of a program writes to is a cell's own before its program comes.
 *
 * Theory of operation. A cell's memory is the zygote's until it writes to it: each page is a fault then, ninety of them in Python
 * between the coming of a program and its first words, and which these are does not change. So before a zygote serves,
 * a fork of it that is no cell runs a program of our own as if that had come; the kernel knows what it has copied
 * meanwhile (/proc/PID/pagemap: anonymous, and mapped once), and each cell copies the same while it gets ready.
 *
 * No byte of a caller's has been in the process that this comes from. What it is wrong about costs a page, or a fault. */
#ifndef SANDBOX_GUEST_REHEARSE_H
#define SANDBOX_GUEST_REHEARSE_H

#include <stdbool.h>
#include <sys/types.h>

/* At this number the driver may have left a memfd with the program when it calls fork() first. It is closed. */
#define REHEARSE_FD 30

/* In the zygote, before it serves. True in the fork that rehearses. */
bool rehearse_begin(pid_t (*fork)(void));
/* Whether this process is that fork. */
bool rehearse_is_on(void);
/* There, in the place of waiting: the program is descriptor `at` then. -1 with errno. */
int rehearse_start(int at);
/* There, when all is done. */
void rehearse_end(void);
/* In a cell, confined or not. */
void rehearse_apply(void);

#endif
