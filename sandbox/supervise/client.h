/* client.h: the front's side, shared by client.c (runs) and client_auth.c (who is calling). */
#ifndef SANDBOX_SUPERVISE_CLIENT_H
#define SANDBOX_SUPERVISE_CLIENT_H

#include "sandbox/supervise/supervise.h"
#include "sandbox/supervise/wire.h"

struct sup_run {
	struct sup_client *c;
	struct sup_run *next;
	uint64_t id;
	struct sup_stream out, errs;
	struct loop_io out_io, err_io;
	uint64_t output_max; /* per stream; 0 until accepted */
	bool accepted; /* the pipes have come */
	bool stopped; /* SUP_STOP was sent */
	enum wire_stop stop_due; /* or could not be yet: why; 0: none */
	bool has_result, has_err;
	struct sup_result result;
	struct err err;
	struct loop_timer timer;
	void (*on_done)(void *arg, const struct sup_answer *a);
	void (*on_accepted)(void *arg, struct sv run_id);
	void (*on_output)(void *arg, uint64_t total_bytes);
	void (*on_bytes)(void *arg, int stream, struct sv bytes);
	void *arg;
};

/* A question of sup_client_auth. */
struct sup_auth {
	struct sup_client *c;
	struct sup_auth *next;
	uint64_t id;
	bool sent;
	sup_auth_fn *on_done; /* NULL: nobody wants the answer, but it will come */
	void *arg;
	size_t n; /* bytes; wiped when sent */
	char bytes[];
};

struct sup_client {
	struct loop *loop;
	struct loop_io io;
	int sock;
	struct sup_run *runs;
	unsigned active, stops_due;
	struct sup_auth *auths; /* oldest first */
	unsigned nauths, auths_in_flight;
	uint64_t next_id;
	bool lost, ready;
	struct sup_info info;
	void (*on_lost)(void *arg);
	void *lost_arg;
	void (*on_ready)(void *arg);
	void *ready_arg;
};

/* Sends the stops that had no room; true when some still have none. */
bool client_send_stops(struct sup_client *c);

/* --- client_auth.c ------------------------------------------------------------------------------ */
/* Sends what has room, stops before questions. */
void client_send_auths(struct sup_client *c);
void client_free_auth(struct sup_auth *a);
/* 0, or -1: not an answer to anything, or ill-formed. */
int client_on_auth_record(struct sup_client *c, struct ipc_msg *m);
/* The keeper has gone: answers them all. */
void client_lose_auths(struct sup_client *c);

#endif
