/* protocol.h: the MCP eras over any transport: lifecycle, method table, progress, cancel.
 *
 * Both eras in one connection, decided per message: a request whose params._meta carries
 * io.modelcontextprotocol/protocolVersion is modern (2026-07-28, stateless); anything else is
 * legacy (initialize, 2024-10-07 .. 2025-11-25). Spec: modelcontextprotocol.io revisions of those
 * dates. parse -> classify -> dispatch is free of I/O: bytes in through proto_on_message, bytes
 * out through the send callback, tool calls through tools.h.
 *
 * A request in flight is a `struct proto_request`, owned by the connection, found by its id; a
 * second one with the same id is refused. A cancelled request is never answered.
 *
 * Life cycle: proto_new -> proto_on_message ... -> proto_close -> on_idle -> proto_free. */
#ifndef MCP_PROTOCOL_H
#define MCP_PROTOCOL_H

#include "sandbox/base/err.h"
#include "sandbox/base/loop.h"
#include "sandbox/base/sv.h"
#include "tools/tools.h"

struct proto;

struct proto_opts {
	struct loop *loop;
	struct tool_env env;
	const struct tool *tools;	/* borrowed, outlives the connection: `tools` of tools.h */
	size_t tools_count;
	/* Text of a tool's schema file; NULL: schemas_get. Lives as long as the connection. */
	struct sv (*schema)(const char *name);
	/* One whole message, no newline. Must not call back into the connection. */
	void (*send)(void *arg, struct sv message);
	void *arg;
	unsigned max_in_flight;		/* calls, cancelled ones that still end included; more get "busy" */
	unsigned progress_ms;		/* between progress notifications; 0: 2000 */
};

/* NULL with e: no memory, or a tool's schema file is missing or broken (ERR_INTERNAL). */
struct proto *proto_new(const struct proto_opts *o, struct err *e);
/* Cancels what is in flight and says nothing more; calls that end later find their memory still
 * there. NULL is accepted. */
void proto_free(struct proto *p);
void proto_on_message(struct proto *p, struct sv bytes);
/* The transport skipped a message of more than limit bytes; head and tail are its two ends. */
void proto_on_oversize(struct proto *p, size_t limit_bytes, struct sv head, struct sv tail);
/* The peer has gone: cancels everything; on_idle is called when the last call has ended (at once
 * if there is none). */
void proto_close(struct proto *p, void (*on_idle)(void *arg), void *arg);

#endif
