/* seal.h: an object sealed while it streams by, and opened again, whole or in part. See FORMAT.md, 3 and 4.
 *
 * Life cycle: ws_seal_new -> (ws_seal_start -> ws_seal_add or ws_seal_from ... -> ws_seal_end) for any number of
 * objects -> ws_seal_free; ws_open_new -> (ws_open_start -> ws_open_chunk ...) ... -> ws_open_free. Each holds
 * one chunk and one locked page, whatever the object's size. Making one costs 30 us: keep it.
 *
 * Every call does one chunk's work or less (but ws_seal_add, as much as it is given), so a loop can go on
 * elsewhere in between. Errors name the object by `what`. */
#ifndef WORKSPACE_SEAL_H
#define WORKSPACE_SEAL_H

#include "sandbox/base/buf.h"
#include "sandbox/workspace/keys.h"

#define WS_CHUNK_BYTES 65536
#define WS_HEADER_BYTES 112
#define WS_ID_BYTES 32
#define WS_MAX_NAME_BYTES 255
#define WS_MAX_OBJECT_BYTES ((uint64_t)1 << 48)

/* Where the sealed bytes are: in a regular file, or in memory where b is set. */
struct ws_file {
	int fd;			/* borrowed; its own offset is not used */
	struct buf *b;		/* borrowed */
};

/* Whose the object is. All is borrowed until ws_seal_end, or for the life of what is open. */
struct ws_place {
	const struct ws_key *key;	/* the workspace's */
	struct sv tenant, workspace;
	uint64_t generation;		/* 0 for what is kept by its content */
	const char *what;		/* for errors: "snapshot snp_12" */
};

/* What it is called. */
struct ws_label {
	const unsigned char *id;	/* of its content; or NULL: */
	struct sv name;
};

/* The id of what is kept under a name. */
void ws_id_of_name(const struct ws_key *key, struct sv name, unsigned char ret[WS_ID_BYTES]);
/* How long the sealed form of n bytes is. */
uint64_t ws_sealed_bytes(uint64_t n);

/* --- sealing -------------------------------------------------------------------------- */

struct ws_seal;
struct ws_seal *ws_seal_new(struct err *e);
void ws_seal_free(struct ws_seal *s);
/* Begins an object in a file that is empty; what was not ended before is forgotten. With an empty name it is kept by
 * its content, which is hashed for that; the name is borrowed until the end. */
int ws_seal_start(struct ws_seal *s, const struct ws_place *at, struct sv name, const struct ws_file *to,
		  struct err *e);
/* ERR_LIMIT: the disk is full. After a failure the object fails for good. */
int ws_seal_add(struct ws_seal *s, const void *p, size_t n, struct err *e);
/* Reads from `in` until a chunk is full and written (1) or the input has ended (0). -1 with e->sys EAGAIN when a
 * non-blocking one has nothing now: what it had is kept, call again. */
int ws_seal_from(struct ws_seal *s, int in, struct err *e);
/* Writes what is left and the header; nothing is synced. ret_id is the id of the content, or of the name. */
int ws_seal_end(struct ws_seal *s, unsigned char ret_id[WS_ID_BYTES], struct err *e);
/* Zeroes what it holds of an object; ws_seal_end and _free do it too. */
void ws_seal_drop(struct ws_seal *s);

/* --- opening -------------------------------------------------------------------------- */

struct ws_open;
struct ws_open *ws_open_new(struct err *e);
void ws_open_free(struct ws_open *o);
/* Reads and verifies the header. -1: ERR_DENIED when it is of another key, generation, place or name;
 * ERR_INTERNAL when it is damaged, truncated or was never finished; ERR_UNAVAILABLE when a newer fumehood made
 * it. */
int ws_open_start(struct ws_open *o, const struct ws_place *at, const struct ws_label *label,
		  const struct ws_file *from, struct err *e);
uint64_t ws_open_bytes(const struct ws_open *o);	/* of the content */
uint64_t ws_open_chunks(const struct ws_open *o);
/* Chunk i, verified, in any order; borrowed until the next call. */
int ws_open_chunk(struct ws_open *o, uint64_t i, struct sv *ret, struct err *e);
void ws_open_drop(struct ws_open *o);

#endif
