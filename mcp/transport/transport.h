/* transport.h: bytes <-> whole messages, and nothing about what they mean.
 *
 * stdio: one JSON message per line (MCP, transports/stdio). The protocol descriptors are moved away
 * from 0 and 1 before anything else runs (stdio_take_over), so that nothing can ever write noise
 * into the stream. Output is queued and written without blocking: a reader that stalls holds up
 * nobody; past STDIO_MAX_QUEUE_BYTES of unread output the connection is given up. Memory is bounded
 * by max_message_bytes of input and that queue.
 *
 * Life cycle: stdio_take_over -> stdio_new -> callbacks, stdio_send ... -> on_end or stdio_flush ->
 * stdio_free. on_end and on_flushed come from the loop, never from within a call; stdio_free may
 * be called from any callback. The process ignores SIGPIPE. */
#ifndef MCP_TRANSPORT_H
#define MCP_TRANSPORT_H

#include "sandbox/base/buf.h"
#include "sandbox/base/err.h"
#include "sandbox/base/loop.h"

#define STDIO_MAX_QUEUE_BYTES ((size_t)64 << 20)
#define STDIO_EXCERPT_BYTES 256

/* Duplicates 0 and 1 to new CLOEXEC descriptors (>= 3), then points 0 at /dev/null and 1 at
 * stderr. Call first thing in main(). Pipes and terminals are opened anew through /proc, so that
 * not blocking is ours alone and never a flag on what the parent or a shell shares with us. A
 * stderr that is the same pipe as stdout is pointed at /dev/null: logs would be noise there. */
int stdio_take_over(int *ret_in, int *ret_out, struct err *e);

struct stdio_transport;
struct stdio_opts {
	struct loop *loop;
	int in_fd, out_fd;		/* taken over; left to the caller when stdio_new fails */
	size_t max_message_bytes;
	/* One message without its newline; borrowed. CR before LF is dropped, blank lines are skipped. */
	void (*on_message)(void *arg, struct sv message);
	/* A line over the limit was skipped to its end; borrowed are the first and the last
	 * STDIO_EXCERPT_BYTES of it, so that the protocol can find whom to tell. */
	void (*on_oversize)(void *arg, size_t limit_bytes, struct sv head, struct sv tail);
	/* EOF (an unfinished last line is delivered first) or a broken output; once. */
	void (*on_end)(void *arg);
	void *arg;
};
struct stdio_transport *stdio_new(const struct stdio_opts *o, struct err *e);
void stdio_free(struct stdio_transport *t);
/* Queues one message; adds the newline. Never blocks, never fails visibly (a dead peer shows as
 * on_end). A line break inside the message, which JSON has only between tokens, becomes a blank. */
void stdio_send(struct stdio_transport *t, struct sv message);
/* Stops reading; calls on_flushed when all output is written, the peer is gone or timeout_ms has
 * passed. on_end is not called any more. */
void stdio_flush(struct stdio_transport *t, uint64_t timeout_ms, void (*on_flushed)(void *arg));

#endif
