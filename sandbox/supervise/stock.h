/* stock.h: warm sandboxes, and the cells in them that wait for one-shot runs.
 *
 * A stock is one sandbox with a zygote (sandbox/guest/guest.h): all of its cells are forks of that, or interpreters that
 * wait, each under the same plan but for time and output. It serves runs of that plan only, which is of one principal. It
 * is begun by the first run that could have used it, which itself goes the cold way; it ends when nobody has asked for
 * long, when it has made so many cells that its hash seed and address layout should be renewed, when another needs its
 * place, or when anything in it is out of order. Nothing is lost by that: whoever finds no cell runs cold.
 *
 *	STOCK_STARTING -- GUEST_ZYGOTE_UP --> STOCK_UP -- (old, idle, wrong) --> STOCK_RETIRED -- its last run ended -->
 *	STOCK_ENDING -- nothing is left of the sandbox --> freed
 *
 * A cell is owned by its stock, from the order to the moment that nothing is left of it:
 *
 *	CELL_MAKING -- made, and its ready byte --> CELL_READY -- its run starts --> CELL_TAKEN -- its run is over -->
 *	CELL_GOING -- its cgroup is empty --> freed
 *
 * A run that has one (run.cell) is told of it by run_event: EV_STARTED when it can be given the code, EV_FAILED when it
 * never can, EV_ENDED, EV_OOM, and EV_GUEST_GONE when the stock's sandbox died. Until the code is sent everything in a
 * cell is our own code; from then on it is hostile, and can do no more than end itself.
 *
 * How many wait: `wanted` grows with each cell that is taken and shrinks with time, between MIN and MAX; all stocks
 * together keep to a budget, of which no one that is in use has more than its part while another is short. They are made when the taking is over and done with, not while a run waits for its answer. */
#ifndef SANDBOX_SUPERVISE_STOCK_H
#define SANDBOX_SUPERVISE_STOCK_H

#include "sandbox/supervise/keeper.h"

enum stock_state { STOCK_STARTING, STOCK_UP, STOCK_RETIRED, STOCK_ENDING };
enum cell_state { CELL_MAKING, CELL_READY, CELL_TAKEN, CELL_GOING };

struct cell {
	struct stock *stock;
	struct cell *next;
	enum cell_state state;
	uint64_t id;			/* the guest's name for it */
	struct launch_cell box;
	struct pipes pipes;		/* out, err: the front's ends, until it is taken */
	struct loop_io line_io, oom_io;
	struct loop_timer timer;	/* until it is made; and until it is gone */
	int program_pidfd, workspace_fd; /* owned; from the guest */
	bool made, said_ready, ended;	/* ended: the guest said so */
	struct run *run;		/* that has it, or waits for it to be made; NULL: none */
};

struct stock {
	struct keeper *k;
	struct stock *next;
	enum stock_state state;
	struct plan *plan;		/* owned storage: of the run it was begun for */
	bool ahead;			/* each cell starts its own interpreter: that is ordered ahead or not at all */
	struct launch_sandbox sandbox;
	struct loop_io ctl_io, child_io;
	struct loop_timer timer;	/* start; upkeep; the kill ladder */
	struct loop_timer refill;
	struct cell *cells;
	uint64_t made;			/* cells, so far */
	unsigned wanted;
	unsigned failures;		/* of cells, since one was made */
	uint64_t born_us, used_us;
	bool child_ended, gone;		/* bwrap has; nothing of the sandbox is left */
};

/* A cell for r, which has it from now on, ready or not yet; NULL: it is to run cold. A stock for those that come after
 * it is begun then. */
struct cell *cell_take(struct run *r);
void cell_leave(struct run *r);		/* before r is freed */
/* The table of runs that have a cell. */
run_action *cell_action(enum run_state s, enum run_event ev);
/* The server ends. */
void stock_end_all(struct keeper *k);
/* How many of so many cells may wait where there are so many open files for all of this. */
uint32_t stock_fit(uint32_t cells, uint64_t files);

/* --- between stock.c and cells.c --------------------------------------------------------------- */
struct stock *stock_for(struct run *r);	/* one that is up, or NULL */
void stock_taken(struct stock *s);
void stock_refill_in(struct stock *s, uint64_t ms);
void stock_retire(struct stock *s);
void stock_settle(struct stock *s);	/* a cell has gone: may free it */
void stock_failed(struct stock *s);	/* a cell could not be made: may end it, but does not free it */
void stock_break(struct stock *s, const char *why);	/* something in it is out of order */
struct cell *cell_order(struct stock *s);	/* NULL: it could not be */
bool cell_drop(struct stock *s);	/* one that waits for any run; false: none does */
bool cell_record(struct stock *s, struct ipc_msg *m);	/* false: the guest may not say that */
void cells_end(struct stock *s);	/* its sandbox is being killed */
unsigned cells_in(const struct stock *s, enum cell_state state, bool with_run);

#endif
