/* artifact.h: what the four artifact tools share; nobody else includes it but their tests.
 *
 * A file's bytes go through in pieces, from the loop: never more than one piece of it is in memory.
 * Its descriptor comes from a sandbox whose programs may write to it at the same time: it is read with
 * pread alone, and what is said of it is what was read. */
#ifndef TOOLS_ARTIFACT_H
#define TOOLS_ARTIFACT_H

#include "sandbox/base/fd.h"
#include "tools/internal.h"

#include <sodium.h>

#define ARTIFACT_MAX_BYTES TRANSFER_MAX_BYTES	/* of a file */
#define ARTIFACT_PAGE_BYTES ((int64_t)64 << 10)		/* of a download, where not asked otherwise */
#define ARTIFACT_MAX_PAGE_BYTES ((int64_t)2 << 20)
#define ARTIFACT_ROWS 2000	/* of one page of a list */
#define ARTIFACT_SLICE_BYTES ((size_t)128 << 10)	/* done in one turn of the loop, by each of many */
#define ARTIFACT_HEAD_BYTES 512	/* tell what a file is */
#define ARTIFACT_MARK_SIZE 9	/* of the lines around content */

struct artifact {
	struct question question;			/* first */
	char session_id[SUP_SESSION_ID_SIZE];
	char run_id[SUP_RUN_ID_SIZE];	/* whose kept session that is; "": the caller named the session */
	struct buf path;
	struct buf content;		/* what came, or what goes */
	int fd;				/* the file, or the list of rows; -1 */
	uint64_t size;
	int64_t mtime_ns;
	struct loop_timer slice;	/* the next piece of work */
	crypto_hash_sha256_state hash;
	uint64_t hashed;
	int64_t offset, length;
	bool more;
	bool incomplete;		/* there is more, but no page of it: not all could be gone through */
	/* upload */
	struct loop_io pipe;		/* its write end; fd -1: none */
	uint64_t total, sent;
	bool keep;
	/* download */
	bool as_text, as_base64;
	/* list */
	struct buf window, rows, lines;
	uint64_t at, row;		/* read so far: bytes, rows */
	unsigned shown;
};

/* With session_id and path taken from the arguments; path_required false: it may be left out. */
struct artifact *artifact_new(struct tool_call *call, bool path_required, struct err *e);
/* Asks; -1: and a is gone. o's credential, session_id and path are filled in. */
int artifact_ask(struct artifact *a, struct sup_file_opts *o, sup_file_fn *fn, struct err *e);
/* The keeper's error, with what to do about it. */
void artifact_fail(struct artifact *a, const struct err *e);
/* The object's first members, left open for more. */
void artifact_json(struct artifact *a, struct jw *w, struct buf *json);
void artifact_sha(struct artifact *a, char hex[static 2 * crypto_hash_sha256_BYTES + 1]);
/* What the file begins with says what it is. */
const char *artifact_mime(const struct artifact *a);

#endif
