/* wire.h: the records between front and keeper; see supervise.h.
 *
 *	front                          keeper
 *	                      <---     SUP_HELLO    what was found on this host, once
 *	SUP_RUN + memfds      --->
 *	                      <---     SUP_QUEUED   the run's id, if it has to wait for its turn
 *	                      <---     SUP_ACCEPTED the id + the output pipes' read ends: it starts
 *	SUP_STOP              --->     (a cancel, or the output ceiling was reached)
 *	                      <---     SUP_ENDED    the verdict; or SUP_REFUSED, before or after these
 *	                      <---     SUP_RECORDED after SUP_ENDED: its outcome is in the record, or could not
 *	                                            be written. The front may tell the caller now
 *	SUP_AUTH              --->     who is that?
 *	                      <---     SUP_IDENTITY, or SUP_UNKNOWN with why not
 *
 * A run for an interpreter of a session has no pipes of its own: the interpreter's go to the front when it
 * is started, and are its until it ends.
 *
 *	                      <---     SUP_CALLED   instead of SUP_ACCEPTED: whose output it is; the
 *	                                            pipes' read ends if it was started for this call
 *	                      <---     SUP_CHANGES  before SUP_ENDED: as GUEST_CHANGES (sandbox/guest/guest.h)
 *	SUP_READ              --->     after SUP_ENDED: the pipes are empty. The interpreter's next call is not
 *	                                            started before that, or its output would be this one's
 *	SUP_ASK_OPEN          --->
 *	SUP_ASK_CLOSE, _LIST  --->
 *	                      <---     SUP_SESSIONS rows, all but the last record of them say `more`
 *	SUP_ASK_FILE          --->
 *	                      <---     SUP_FILE_DONE
 *	                      <---     SUP_ASK_REFUSED, instead of either
 *	                      <---     SUP_GONE     a session is no more; after the SUP_RECORDED of its runs
 *	SUP_DROP              --->     a throwaway session is not needed any more
 *	SUP_ASK_STOP          --->     a SUP_ASK_FILE is not wanted any more; it is answered all the same
 *
 * id is the front's number for the run or the question; the highest bit is not set. A record out of
 * order or ill-formed ends the connection. */
#ifndef SANDBOX_SUPERVISE_WIRE_H
#define SANDBOX_SUPERVISE_WIRE_H

#include "sandbox/base/ipc.h"
#include "sandbox/supervise/supervise.h"

enum wire_type { SUP_HELLO = 300, SUP_RUN, SUP_ACCEPTED, SUP_STOP, SUP_ENDED, SUP_REFUSED, SUP_AUTH,
		 SUP_IDENTITY, SUP_UNKNOWN, SUP_QUEUED,
		 SUP_CALLED, SUP_ASK_OPEN, SUP_ASK_CLOSE, SUP_ASK_LIST, SUP_ASK_FILE, SUP_SESSIONS,
		 SUP_FILE_DONE, SUP_ASK_REFUSED, SUP_GONE, SUP_DROP,
		 SUP_CHANGES, SUP_ASK_STOP, SUP_READ, SUP_RECORDED };
#define WIRE_ID_BIT ((uint64_t)1 << 63)	/* the keeper's own numbers, towards the ledger */
enum wire_stop { WIRE_CANCEL = 1, WIRE_OUTPUT_LIMIT = 2 };

struct wire_run {
	enum pol_tool tool;
	struct sv credential, language, session_id; /* borrowed from the record */
	bool has_timeout, has_argv, open_stdin, keep_files;
	int64_t timeout_ms;
	int code_fd, input_fd, stdin_fd;	/* owned after wire_get_run; -1: none */
};

void wire_put_run(struct ipc_msg *m, const struct wire_run *r);
int wire_get_run(struct ipc_msg *m, struct wire_run *r);	/* 0, or -1 ill-formed */
void wire_put_info(struct ipc_msg *m, const struct sup_info *i);
int wire_get_info(struct ipc_msg *m, struct sup_info *i);
void wire_put_result(struct ipc_msg *m, const struct sup_result *r);
int wire_get_result(struct ipc_msg *m, struct sup_result *r);
void wire_put_err(struct ipc_msg *m, const struct err *e);
int wire_get_err(struct ipc_msg *m, struct err *e);
void wire_put_identity(struct ipc_msg *m, const struct sup_identity *i);
int wire_get_identity(struct ipc_msg *m, struct sup_identity *i);

/* SUP_ACCEPTED and SUP_CALLED. */
struct wire_start {
	char run_id[SUP_RUN_ID_SIZE];
	uint64_t output_max;		/* of each stream */
	char session_id[SUP_SESSION_ID_SIZE]; /* SUP_CALLED, as all below */
	uint32_t slot;
	bool fresh;
	/* out, err, and: of SUP_CALLED rich, -1 all three unless fresh; of SUP_ACCEPTED the compiler's, -1 if there
	 * is none */
	int fds[3];
	int stdin_fd;			/* the write end, of open_stdin; else -1 */
};
/* get: the fds are the caller's. By m->type. */
void wire_put_start(struct ipc_msg *m, const struct wire_start *s);
int wire_get_start(struct ipc_msg *m, struct wire_start *s);

/* SUP_ASK_*; of the fields those the type needs. Strings are borrowed from the record. */
struct wire_ask {
	struct sv credential;
	struct sv language;		/* OPEN */
	struct sup_session_limits limits;
	bool throwaway;
	struct sv session_id;		/* CLOSE, FILE */
	enum sup_file_op op;		/* FILE, as all below */
	struct sv path;
	uint32_t max_rows;
	bool keep;
	uint64_t min_bytes, max_bytes;
	int data_fd;			/* owned after wire_get_ask; WRITE alone has one, else -1 */
};
void wire_put_ask(struct ipc_msg *m, const struct wire_ask *a);
int wire_get_ask(struct ipc_msg *m, struct wire_ask *a);

#define WIRE_SESSIONS 32		/* rows of one record */
struct wire_sessions {
	struct sup_session_info rows[WIRE_SESSIONS];
	uint32_t n;
	bool more;			/* another record of the same answer follows */
};
void wire_put_sessions(struct ipc_msg *m, const struct wire_sessions *s);
int wire_get_sessions(struct ipc_msg *m, struct wire_sessions *s);
void wire_put_file_done(struct ipc_msg *m, const struct sup_file_done *d);
int wire_get_file_done(struct ipc_msg *m, struct sup_file_done *d);	/* the fd is the caller's */

#endif
