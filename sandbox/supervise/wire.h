/* wire.h: the records between front and keeper; see supervise.h.
 *
 *	front                          keeper
 *	                      <---     SUP_HELLO    what was found on this host, once
 *	SUP_RUN + memfds      --->
 *	                      <---     SUP_QUEUED   the run's id, if it has to wait for its turn
 *	                      <---     SUP_ACCEPTED the id + the output pipes' read ends: it starts
 *	SUP_STOP              --->     (a cancel, or the output ceiling was reached)
 *	                      <---     SUP_ENDED    the verdict; or SUP_REFUSED, before or after these
 *	SUP_AUTH              --->     who is that?
 *	                      <---     SUP_IDENTITY, or SUP_UNKNOWN with why not
 *
 * id is the front's number for the run or the question. A record out of order or ill-formed ends the
 * connection. */
#ifndef SANDBOX_SUPERVISE_WIRE_H
#define SANDBOX_SUPERVISE_WIRE_H

#include "sandbox/base/ipc.h"
#include "sandbox/supervise/supervise.h"

enum wire_type { SUP_HELLO = 300, SUP_RUN, SUP_ACCEPTED, SUP_STOP, SUP_ENDED, SUP_REFUSED, SUP_AUTH,
		 SUP_IDENTITY, SUP_UNKNOWN, SUP_QUEUED };
enum wire_stop { WIRE_CANCEL = 1, WIRE_OUTPUT_LIMIT = 2 };

struct wire_run {
	enum pol_tool tool;
	struct sv credential, language;	/* borrowed from the record */
	bool has_timeout, has_argv;
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

#endif
