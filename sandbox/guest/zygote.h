/* zygote.h: a guest that keeps a zygote, and the cells that are forked from it.
 *
 * Theory of operation. One thread, one poll. The zygote is a child of the guest: an interpreter with cell.so preloaded
 * (cell.c), which takes its fork() over. It has run nothing but our driver, keeps the guest's capabilities, so that it can enter
 * rooms, and never reads a byte of a caller's. The cells are its children, each pid 2 of a room of its own:
 *
 *	guest -+- zygote --- fork ---> cell (pid 2 of the room, once in it without any privilege)
 *	       `- room's init (pid 1 of the room)
 *
 * So the zygote has the kernel's word on how a cell ended, and the guest kills what else is in the room by its init. A
 * cell is driven by state and event:
 *
 *	FREE --order--> ROOM --room stands--> FORKING --forked--> LIVE --its end--> ENDING --room is gone--> FREE
 *	                  |                     |                  |                   ^
 *	                  `---------------------+---failure, kill--+-------------------'
 *
 * A room's init is only gone when the zygote has reaped the cell, and the cell's end is only told when both
 * are: the zygote owes one answer to each order, and after GUEST_CELL_MADE a GUEST_ENDED. A zygote that dies, or says what
 * it may not, is the end of the guest.
 *
 * Of an interpreter that cannot be forked the zygote is none: it is a fork of the guest (starter.c), and each of its cells
 * becomes an interpreter once it is confined (ahead.h). All else is the same. */
#ifndef SANDBOX_GUEST_ZYGOTE_H
#define SANDBOX_GUEST_ZYGOTE_H

#include "sandbox/guest/inside.h"

/* --- between guest and zygote: records on a line of their own ------------------------------------
 *
 *	guest					zygote
 *	  <--- GUEST_ZYGOTE_UP			it has come to its first fork()
 *	  <--- GUEST_FAILED {id 0}		its interpreter could not be started
 *	  GUEST_OPEN		--->		limits, landlock, filter: of all cells
 *	  GUEST_CELL		--->		fd of the room, then as of guest_put_cell
 *	  <--- GUEST_CELL_MADE			{the cell's pidfd}; or GUEST_FAILED: there is none
 *	  <--- GUEST_ENDED			{u32 wait status, u64 when} */

/* In the environment, beside LD_PRELOAD: this process is to become one. cell.so takes both away when it begins, and
 * leaves the descriptors as they are until the first fork(). */
#define ZYGOTE_MARK "FUMEHOOD_ZYGOTE"
#define ZYGOTE_LINE_FD GUEST_CTL_FD	/* what tell() speaks into */
#define ZYGOTE_DRIVER_FD 4
#define ZYGOTE_OBJECT_FD 5

/* --- the zygote's side (serve.c) ------------------------------------------------------------------- */

struct zygote_way {
	pid_t (*fork)(void);
	/* In a cell whose streams are in place: gives what else it is to have its number, and closes all others. -1 with errno */
	int (*place)(const struct guest_cell *c, uint32_t open_files);
};
/* Makes cells by the guest's orders, and ends with the guest. Returns in cells alone, each in its room and fully
 * confined. `way` is borrowed for ever. */
void zygote_serve(const struct zygote_way *way);
/* Ends a cell, and its line with it: what could not be confined does not live. */
_Noreturn void zygote_fail(const char *stage);
/* A zygote that runs this in each of its cells. Must: have its descriptors at their numbers; what zygote_serve() must. */
_Noreturn void starter_main(char *const *argv, char *const *envp);

/* --- the guest's side (zygote.c) ------------------------------------------------------------------ */

enum cell_state {
	CELL_FREE,
	CELL_ROOM,	/* its room is being made */
	CELL_FORKING,	/* the zygote has been told; it owes an answer */
	CELL_LIVE,	/* GUEST_CELL_MADE has been told; the zygote owes the end */
	CELL_ENDING,	/* the room is dying, or dead and the zygote still owes */
	CELL_STATES
};

enum cell_event {
	EV_ROOM_STANDS,	/* the room */
	EV_ROOM_FELL,	/* it could not be made */
	EV_CELL_MADE,	/* the zygote's words */
	EV_CELL_NOT_MADE,
	EV_CELL_ENDED,
	EV_CELL_KILL,
	EV_ROOM_GONE,	/* the room and all that was in it */
	CELL_EVENTS
};

struct cell {
	enum cell_state state;
	uint64_t id;			/* the keeper's */
	struct guest_cell given;	/* owned until the zygote has it */
	struct room room;		/* pidfd -1: reaped */
	int ready_fd;			/* owned; of the room, in CELL_ROOM */
	int pidfd;			/* owned, during EV_CELL_MADE; the cell's */
	int mounts;			/* owned; when it closes, the room's are let go (mounts.c); -1: with the room */
	bool owed;			/* the zygote has a word to say */
	bool told;			/* GUEST_CELL_MADE */
	uint32_t status;
	uint64_t ended_us;
	struct failure failure;		/* why it was not made */
};

struct zygote {
	struct guest_run base;		/* limits, landlock */
	int pidfd, line;		/* owned */
	int mounts;			/* owned; the line of mounts_begin() */
	struct cell cells[GUEST_CELLS];
};

/* mounts.c: a child of the guest's that takes down what rooms have mounted. Its line, or -1: then that is done by whatever of a
 * room ends last. */
int mounts_begin(void);
/* Has it hold the room's; until what is returned closes, which may be -1: it does not. */
int mounts_hold(int line, const struct room *room);

/* Never returns: ends with the keeper, or with the zygote. z's fds are taken. */
_Noreturn void zygote_main(uint64_t id, struct guest_zygote *z);

#endif
