/* parse.h: bytes -> request, with no socket, clock or heap in sight: what the fuzzers drive.
 *
 * HTTP/1.1 heads are read in two steps. h1_scan looks for the end of the head in a growing run of
 * bytes, remembers where it stopped, and refuses as early as it can what no later byte can mend
 * (a control character, a bare LF, a limit). h1_head then takes the whole head apart. Bodies go
 * through h1_body_feed piece by piece. HTTP/2 fills a struct head of its own; head_check judges
 * what both have in common. Nothing here depends on how the bytes were cut into pieces. */
#ifndef MCP_HTTP_PARSE_H
#define MCP_HTTP_PARSE_H

#include "mcp/http/http.h"

/* Why a request is answered by this room. cause is a literal. */
struct refusal {
	unsigned status;
	const char *cause;
};
/* Fills r and returns H1_BAD. */
int refuse(struct refusal *r, unsigned status, const char *cause);

struct field {
	struct sv name, value;
};

/* A request without its body. Views into the bytes it was read from. */
struct head {
	struct sv method, target;
	struct sv path, query;		/* head_check cuts them from target */
	struct sv authority;
	struct field *fields;		/* the caller's array */
	uint32_t n;
	enum http_method known;
	bool v10;			/* HTTP/1.0 */
	bool close;			/* Connection: close */
	bool chunked, has_length;
	bool expect;			/* 100-continue */
	uint64_t length;		/* Content-Length, if has_length */
};

enum { H1_BAD = -1, H1_MORE = 0, H1_DONE = 1 };

/* --- the head of an HTTP/1 request ---------------------------------------------------------------- */
struct h1_scan {
	uint32_t at;		/* bytes looked at; when done: the length of the head */
	uint32_t line;		/* where the line at hand starts */
	uint32_t fields;	/* field lines seen */
	bool blank;		/* an empty line before the request line, once (RFC 9112, 2.2) */
	bool in_fields;
	bool is_head;		/* HEAD: also a refusal has no body then */
};
/* bytes: all since the start of the head. H1_DONE, H1_MORE, or H1_BAD with r. */
int h1_scan(struct h1_scan *s, struct sv bytes, const struct http_limits *l, struct refusal *r);
/* bytes: a whole head as h1_scan found it; h->fields has room for limits.header_fields. Judges also
 * what only HTTP/1 knows: framing, Host, Connection. H1_DONE or H1_BAD. */
int h1_head(struct sv bytes, const struct http_limits *l, struct head *h, struct refusal *r);

/* --- its body ------------------------------------------------------------------------------------- */
struct h1_body {
	uint8_t state;
	uint8_t digits;		/* of the chunk size */
	uint32_t overhead;	/* bytes of chunk extensions, later of trailers */
	uint32_t trailers;
	uint64_t left;		/* bytes due of the body or of the chunk */
	uint64_t max, got;	/* bytes of the body: allowed, and taken so far */
};
/* H1_DONE when no body follows, H1_MORE, or H1_BAD (413) for a length over the limit. */
int h1_body_start(struct h1_body *b, const struct head *h, uint64_t max_bytes, struct refusal *r);
/* Adds the body's bytes to out, at most as many as in has; *ret_used counts what was taken of in. */
int h1_body_feed(struct h1_body *b, struct sv in, size_t *ret_used, struct buf *out,
		 const struct http_limits *l, struct refusal *r);

/* --- both versions -------------------------------------------------------------------------------- */
/* Target, authority, Expect, Content-Encoding. 0 or H1_BAD. */
int head_check(struct head *h, struct refusal *r);
/* The one Content-Length: 1*DIGIT and no overflow. */
int head_length(struct sv value, uint64_t *ret);
bool sv_eq_nocase(struct sv a, struct sv b);	/* ASCII letters */
bool is_tchar(char c);				/* RFC 9110, 5.6.2 */
bool is_authority(struct sv s);			/* host [":" port], not empty, no userinfo */

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7). Not by strftime: locale and time zone data are
 * files. */
enum { HTTP_DATE_SIZE = 30 };
void http_date(uint64_t unix_s, char ret[HTTP_DATE_SIZE]);

#endif
