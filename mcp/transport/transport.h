/* transport.h: bytes <-> whole messages, and nothing about what they mean.
 *
 * stdio: one JSON message per line (MCP, transports/stdio). The protocol descriptors are moved away
 * from 0 and 1 before anything else runs (stdio_take_over), so that nothing can ever write noise
 * into the stream. Output is queued and written without blocking: a reader that stalls holds up
 * nobody; past STDIO_MAX_QUEUE_BYTES of unread output the connection is given up. */
#ifndef MCP_TRANSPORT_H
#define MCP_TRANSPORT_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/loop.h"

#define STDIO_MAX_QUEUE_BYTES ((size_t)64 << 20)

/* Duplicates 0 and 1 to new CLOEXEC descriptors (>= 3), then points 0 at /dev/null and 1 at
 * stderr. Call first thing in main(). */
int stdio_take_over(int *ret_in, int *ret_out, struct err *e);

struct stdio_transport;
struct stdio_opts {
	struct loop *loop;
	int in_fd, out_fd;		/* taken over */
	size_t max_message_bytes;
	/* One message without its newline; borrowed. CR before LF is dropped, blank lines are skipped. */
	void (*on_message)(void *arg, struct sv message);
	/* A line over the limit was skipped to its end. */
	void (*on_oversize)(void *arg, size_t limit_bytes);
	/* EOF (an unfinished last line is delivered first) or a broken output; once. */
	void (*on_end)(void *arg);
	void *arg;
};
struct stdio_transport *stdio_new(const struct stdio_opts *o, struct err *e);
void stdio_free(struct stdio_transport *t);
/* Queues one message; adds the newline. Never blocks, never fails visibly (a dead peer shows as
 * on_end). */
void stdio_send(struct stdio_transport *t, struct sv message);
/* Stops reading; calls on_flushed when all output is written or timeout_ms has passed. */
void stdio_flush(struct stdio_transport *t, uint64_t timeout_ms, void (*on_flushed)(void *arg));

#endif
