/* h2.h: what the files of HTTP/2 share: h2.c (session, receiving), h2_head.c (header blocks) and
 * h2_send.c (answers). */
#ifndef MCP_HTTP_H2_H
#define MCP_HTTP_H2_H

#include "mcp/http/internal.h"

#include <nghttp2/nghttp2.h>

struct span {
	size_t at, n;
};

/* A header block as it arrives; frames of other streams cannot come between. */
struct block {
	bool open;
	bool trailers;		/* counted, not kept */
	size_t bytes;		/* as RFC 9113, 10.5.1 counts them */
	uint32_t fields;
	struct buf text;
	struct buf spans;	/* struct span: name and value of each field, in turn */
	struct span method, path, authority;
	uint64_t due;
};

struct h2 {
	nghttp2_session *session;
	struct conn *c;
	struct block block;
	size_t pending;		/* bytes in the streams' queues */
	uint32_t points;
	uint64_t points_at;
	bool settled;		/* the peer's SETTINGS have come */
	bool leaving;		/* GOAWAY is to be said */
	bool oom;		/* the session must not be touched any more: see h2_heap.c */
	struct h2_block *blocks;	/* the session's memory */
};

/* --- h2_heap.c */
nghttp2_mem h2_heap(struct h2 *h);
void h2_heap_finish(struct h2 *h);	/* frees whatever is left */

/* --- h2_head.c */
void block_begin(struct block *b, bool trailers, uint64_t due);
/* 0, or -1: so far over the limits that the stream is reset instead of answered. */
int block_add(struct block *b, struct sv name, struct sv value, const struct http_limits *l);
/* Views into the block; fields has room for limits.header_fields. H1_DONE or H1_BAD. */
int block_head(const struct block *b, const struct http_limits *l, struct head *h,
	       struct refusal *r);
void block_finish(struct block *b);

/* --- h2_send.c */
void h2_drop(struct http_exchange *x);	/* frees it: its stream is closed */
void h2_refuse(struct http_exchange *x, const struct refusal *r);
void h2_reset(struct http_exchange *x, uint32_t code);
void h2_continue(struct http_exchange *x);	/* 100 */

#endif
