/* httpd.h: the two halves of the flow tests' HTTP program: httpd.c, which has the server and the plain
 * handlers, and httpd_pieces.c, whose handlers take a body or write an answer piece by piece. */
#ifndef TESTS_LIB_HTTPD_H
#define TESTS_LIB_HTTPD_H

#include "mcp/http/http.h"

enum { MAX_HELD = 16384 };

/* Of httpd.c: a whole answer in text; the number behind the question mark, or 0; x is taken out of
 * the list. */
void httpd_text(struct http_exchange *x, unsigned status, struct sv body);
uint64_t httpd_number(struct http_exchange *x);
void httpd_forget(struct http_exchange **list, size_t *n, const struct http_exchange *x);

/* The server's events. */
bool pieces_wanted(void *arg, const struct http_exchange *x);
void pieces_on_body(void *arg, struct http_exchange *x);
void pieces_on_room(void *arg, struct http_exchange *x);
void pieces_gone(struct http_exchange *x); /* one that has a body or an answer in pieces */

void pieces_on_sink(struct http_exchange *x); /* /sink, /tap, /early */
void pieces_on_late(struct http_exchange *x);
void pieces_on_begin(struct http_exchange *x);
void pieces_on_pull(struct http_exchange *x);
void pieces_on_file(struct http_exchange *x); /* /file, /short */
size_t pieces_waiting(void);		      /* bytes that /tap has not let through */

#endif
