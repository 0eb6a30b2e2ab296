/* protocol.h: the MCP eras over any transport: lifecycle, method table, progress, cancel.
 *
 * Both eras in one connection, decided per message: a request whose params._meta carries
 * io.modelcontextprotocol/protocolVersion is modern (2026-07-28, stateless); anything else is
 * legacy (initialize, 2024-11-05 .. 2025-11-25). Spec: modelcontextprotocol.io revisions of those
 * dates. parse -> classify -> dispatch is free of I/O: bytes in through proto_on_message, bytes
 * out through the send callback, tool calls through tools.h.
 *
 * A request in flight is a `struct proto_request`, owned by the connection, found by its raw id; a
 * second one with the same id is refused. A cancelled request is never answered. */
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
	void (*send)(void *arg, struct sv message);	/* one whole message, no newline */
	void *arg;
	unsigned max_in_flight;		/* requests; more get "busy" */
};

struct proto *proto_new(const struct proto_opts *o, struct err *e);
void proto_free(struct proto *p);	/* cancels what is in flight */
void proto_on_message(struct proto *p, struct sv bytes);
/* The transport skipped a message of more than limit bytes. */
void proto_on_oversize(struct proto *p, size_t limit_bytes);
/* The peer has gone: cancels everything; on_idle is called when the last call has ended (at once
 * if there is none). */
void proto_close(struct proto *p, void (*on_idle)(void *arg), void *arg);

#endif
