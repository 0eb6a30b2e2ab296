/* session.h: a guest that serves a session: one room, interpreters that stay, programs beside them.
 *
 * Theory of operation. One thread, one poll, no blocking read of anything a program can hold open. The
 * guest itself opens no path in a tree that programs write: that is done by *porters*, children
 * in the room without any privilege (porter.c, files.c). Three kinds of children live in the room:
 *
 *	task	an interpreter (one per slot) or a program of its own: hostile
 *	porter	unpacks a call's files, feeds its stdin, serves GUEST_FILE_OP, looks what has changed: our code among hostile files; a
 *		program of the room may kill or stop it, which costs the call it worked for
 *	init	the room's; when it dies, the session is over
 *
 * A task is driven by state and event; everything else is fatal to the task, never to the guest:
 *
 *	FREE --call--> STARTING --exec--> LOADING --up--> IDLE <--end-- RUNNING
 *	                   |                 |             |               ^
 *	                   |     (its call's files are unpacked meanwhile) |
 *	                   |                 +--> UNPACKING ---------------+
 *	                   v                        (also from IDLE, by a call)
 *	from anywhere: exit of the process, kill, a wrong word --> ENDING --nothing left--> FREE
 *
 * A program of its own goes from STARTING to RUNNING by its exec, and has no line.
 *
 * The end of a task takes all of its session id with it. The dead leader is reaped last: until
 * then its pid stands for the session id and for nothing else. */
#ifndef SANDBOX_GUEST_SESSION_H
#define SANDBOX_GUEST_SESSION_H

#include "sandbox/guest/inside.h"
#include "sandbox/guest/look.h"

#include <sys/stat.h>

/* --- tasks (task.c) --------------------------------------------------------------------------- */

enum task_state {
	TASK_FREE,
	TASK_STARTING,	/* forked; unpacks if it is a program of its own; not exec'd yet */
	TASK_LOADING,	/* exec'd; the driver has not said `up` */
	TASK_IDLE,
	TASK_UNPACKING,	/* up, has a call whose files are not there yet */
	TASK_RUNNING,
	TASK_ENDING,	/* being killed, or dead with something left of its session id */
	TASK_STATES
};

enum task_event {
	EV_EXEC,	/* the failure pipe closed without a word */
	EV_NOT_STARTED,	/* it held a failure */
	EV_UP,		/* lines of the driver */
	EV_END,
	EV_WRONG,	/* a line that may not be, or too long */
	EV_LINE_CLOSED,
	EV_UNPACKED,
	EV_NOT_UNPACKED,
	EV_INTERRUPT,
	EV_KILL,
	EV_EXIT,	/* the process is dead, not reaped */
	TASK_EVENTS
};

#define TASK_LINE_SIZE 64
#define TASK_TELL_MS 2
#define TASK_INLINE_BYTES 16384 /* of code; with its order well below what a socket's buffer takes at once */

struct task {
	enum task_state state;
	pid_t pid;
	int pidfd, fail_fd, line;	/* owned; line -1: a program, or the driver closed it */
	uint64_t call;			/* the keeper's id; 0: none */
	uint64_t number;		/* the driver's name for that call */
	bool fresh;			/* the process was started for the call it has */
	bool told;			/* GUEST_CALL_STARTED has been sent */
	bool unpacked;			/* its files are there */
	bool interrupted;		/* before it ran: it will not run */
	bool takes_code;		/* the driver said so: on its line, instead of in a file */
	bool compiles;			/* the call it has is the first of two */
	bool last;			/* it is the session's last */
	uint32_t code;			/* of `end` */
	uint64_t run_us;		/* when it was given the call */
	uint64_t ended_us;
	unsigned sweeps;
	struct failure failure;		/* why the call was not run; stage "": no failure */
	char driver[25];
	char got[TASK_LINE_SIZE];	/* bytes of an unfinished line */
	unsigned ngot;
};

#define TASKS (GUEST_SLOTS + GUEST_PROGRAMS)	/* the slots' come first */

/* --- porters (porter.c) ----------------------------------------------------------------------- */

enum porter_job {
	PORTER_NONE,	/* not there */
	PORTER_WAITS,
	PORTER_UNPACKS,	/* for task `task` */
	PORTER_FEEDS,	/* has unpacked; copies the call's stdin into a FIFO until killed or done */
	PORTER_FILE,	/* file operation `id` */
	PORTER_LOOKS,	/* at what call `id` has changed */
	PORTER_CLEARS,	/* the room */
};

struct porter {
	enum porter_job job;
	pid_t pid;
	int sock;	/* owned */
	unsigned task;
	uint64_t id;
};

#define FORGET_MAX 16

#define PORTERS (2 * GUEST_SLOTS + GUEST_FILE_OPS + 2)

/* A call after which the workspace is to be looked at. */
struct look_due {
	uint64_t call;
	bool last;
};

struct session {
	struct guest_run base;		/* limits, landlock, filter_fd */
	struct room room;
	struct stat workspace;
	struct task tasks[TASKS];
	struct porter porters[PORTERS];
	uint64_t last_number;		/* of a driver's call */
	/* calls whose files nobody will read: the next porter at work removes them */
	uint64_t forget[FORGET_MAX];
	unsigned nforget;
	/* looks.c's */
	int workspace_fd;		/* owned; nothing but its numbers is ever looked at */
	int look_log, look_base;	/* owned; see look.h */
	uint64_t log_from;
	struct look_due looks[TASKS];	/* the first is under way if `looking` */
	unsigned nlooks, tries;
	bool looking;
	bool over;			/* the last call has ended, */
	bool cleared;			/* and nothing of the room is left */
};

/* Never returns: ends with the keeper. r's fds are taken. */
_Noreturn void session_main(uint64_t id, struct guest_run *r);

/* Starts, or hands to its interpreter, what c says; takes its fds. */
void task_call(struct session *s, uint64_t id, struct guest_call *c);
void task_event(struct session *s, struct task *t, enum task_event ev);
/* Tells that a call has started TASK_TELL_MS after it has: most have ended by then, and need no such news. */
bool task_is_untold(const struct task *t);
void task_tell(struct task *t);
void on_task_failure(struct session *s, struct task *t);
void on_task_line(struct session *s, struct task *t);
void on_task_exit(struct session *s, struct task *t);
/* A further step of the end of a task in TASK_ENDING. */
void task_end_step(struct session *s, struct task *t);

/* One look over the guest's /proc: SIGKILL to every process of session id `sid`. Returns how many are
 * there that are not dead (sweep.c). */
unsigned sweep(pid_t sid);

/* A porter for job on fds of m, or -1 with errno. m's type says what it is to do. */
int porter_send(struct session *s, const struct porter *job, struct ipc_msg *m);
void on_porter(struct session *s, struct porter *p);
/* Ends those that work for this task: all of them, or those feeding it. */
void porter_drop(struct session *s, unsigned task);
/* Gives up file operation id; false when there is none. */
bool porter_cancel(struct session *s, uint64_t id);
/* The files of a driver's call are not wanted any more. */
void porter_forget(struct session *s, uint64_t number);
/* One that waits, if there is none. */
void porter_spare(struct session *s);
int porter_clear(struct session *s);	/* everything of the room is killed; then looks_cleared. 0 or -1 */

/* --- looks (looks.c) --------------------------------------------------------------------------- */
int looks_open(struct session *s);	/* 0 or -1 */
/* Whether the call that t has can have changed anything, or is the last: then looks_begin is to follow its end. */
bool looks_wanted(const struct session *s, const struct task *t);
void looks_begin(struct session *s, uint64_t call, bool last);
int looks_answer(struct session *s, struct ipc_msg *m);	/* a porter's; -1: not one */
void looks_lost(struct session *s);	/* the porter, and its work */
void looks_cleared(struct session *s);
void looks_put(struct ipc_msg *m, const struct looked *d);	/* GUEST_LOOKED: the porter's */

#endif
