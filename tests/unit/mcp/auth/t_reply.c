/* HTTP answers and URLs of the fetch role: what is taken, what is refused. */
#include "mcp/auth/auth.h"
#include "mcp/auth/reply.h"
#include "mcp/auth/url.h"
#include "sandbox/base/mem.h"
#include "tests/lib/tap.h"

#include <string.h>

#define OK "HTTP/1.1 200 OK\r\n"

static void reply(const char *text, const char *body)
{
	AUTO_BUF b = {.max = 64};
	const size_t n = strlen(text);
	struct err e = {0};
	enum reply_state s = reply_read(sv_of(text), true, &b, &e);

	if (!body) {
		ok(s == REPLY_BAD && e.cause[0], "refused: %.40s... (%s)", text,
		   e.cause);
		return;
	}
	ok(s == REPLY_DONE && sv_eq(buf_view(&b), sv_of(body)), "%.60s... is \"%s\" %s",
	   text, body, e.cause);
	/* what comes in pieces is the same */
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF part = {.max = 64};

		s = reply_read((struct sv){text, i}, false, &part, &e);
		if (s == REPLY_BAD || (s == REPLY_MORE && part.n) ||
		    (s == REPLY_DONE && !sv_eq(buf_view(&part), sv_of(body))))
			ok(0, "cut at %zu it is something else", i);
	}
}

static void replies(void)
{
	char big[200];

	reply(OK "Content-Length: 4\r\n\r\nbody", "body");
	reply("HTTP/1.0 200\r\ncontent-length:0\r\n\r\n", "");
	reply(OK
	      "Transfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n1;x=y\r\ny\r\n0\r\n\r\n",
	      "body");
	reply(OK "X: y\r\nTRANSFER-ENCODING:  Chunked \r\n\r\n0\r\n\r\n", "");
	reply(OK "Content-Length: 4\r\nContent-Encoding: identity\r\n\r\nbody and more",
	      "body");
	reply("", NULL);
	reply("HTTP/1.1 200 OK\n\nbody", NULL);
	reply(OK "\r\nbody until the end", NULL);
	reply(OK "Content-Length: 5\r\n\r\nbody", NULL);
	reply(OK "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody", NULL);
	reply(OK "Content-Length: -4\r\n\r\nbody", NULL);
	reply(OK "Content-Length: 4, 4\r\n\r\nbody", NULL);
	reply(OK "Content-Length: 65\r\n\r\nbody", NULL);
	reply(OK "Content-Length: 18446744073709551620\r\n\r\nbody", NULL);
	reply(OK
	      "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	      NULL);
	reply(OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", NULL);
	reply(OK "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody", NULL);
	reply(OK "Content-Length : 4\r\n\r\nbody", NULL);
	reply(OK " Content-Length: 4\r\n\r\nbody", NULL);
	reply(OK "no field\r\n\r\nbody", NULL);
	reply(OK "Transfer-Encoding: chunked\r\n\r\nbody", NULL);
	reply(OK "Transfer-Encoding: chunked\r\n\r\n4\nbody\n0\n\n", NULL);
	reply(OK "Transfer-Encoding: chunked\r\n\r\n4\r\nbodyX\r\n0\r\n\r\n", NULL);
	reply(OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx", NULL);
	reply(OK "Transfer-Encoding: chunked\r\n\r\n-1\r\nx", NULL);
	reply("HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
	      NULL);
	reply("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", NULL);
	reply("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", NULL);
	reply("HTTP/2 200\r\nContent-Length: 0\r\n\r\n", NULL);
	memset(big, 'x', sizeof(big));
	memcpy(big, OK "Transfer-Encoding: chunked\r\n\r\n41\r\n", 51);
	big[sizeof(big) - 1] = '\0';
	reply(big, NULL);
}

static void urls(void)
{
	static const struct {
		const char *text, *host, *port, *path;
	} rows[] = {
		{"https://id.example", "id.example", "443", "/"},
		{"https://id.example/", "id.example", "443", "/"},
		{"https://id.example:8443/a/b?c=d", "id.example", "8443", "/a/b?c=d"},
		{"https://id.example?x", "id.example", "443", "/?x"},
		{"https://[2001:db8::1]:1/x", "2001:db8::1", "1", "/x"},
		{"https://192.0.2.1/", "192.0.2.1", "443", "/"},
		{"http://id.example/", NULL, NULL, NULL},
		{"HTTPS://id.example/", NULL, NULL, NULL},
		{"file:///etc/passwd", NULL, NULL, NULL},
		{"https://", NULL, NULL, NULL},
		{"https:///path", NULL, NULL, NULL},
		{"https://user@id.example/", NULL, NULL, NULL},
		{"https://id.example:/", NULL, NULL, NULL},
		{"https://id.example:0/", NULL, NULL, NULL},
		{"https://id.example:65536/", NULL, NULL, NULL},
		{"https://id.example:443:1/", NULL, NULL, NULL},
		{"https://id.example/#x", NULL, NULL, NULL},
		{"https://id.example/a b", NULL, NULL, NULL},
		{"https://id.example/\r\nHost: evil", NULL, NULL, NULL},
		{"https://id.example\\@evil.example/", NULL, NULL, NULL},
		{"https://[::1", NULL, NULL, NULL},
		{"https://[::1]x/", NULL, NULL, NULL},
		{"https://id%2eexample/", NULL, NULL, NULL},
		{"https://\303\244.example/", NULL, NULL, NULL},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		struct url u;
		int bad = url_parse(sv_of(rows[i].text), &u, &e);

		if (rows[i].host)
			ok(!bad && !strcmp(u.host, rows[i].host) &&
				   !strcmp(u.port, rows[i].port) &&
				   !strcmp(u.path, rows[i].path),
			   "%s is one %s", rows[i].text, e.cause);
		else
			ok(bad && e.cause[0], "%s is none", rows[i].text);
	}
}

static void configurations(void)
{
	static const struct {
		struct auth_config c;
		bool good;
	} rows[] = {
		{{"", "", "code:run", ""}, true},
		{{"https://id.example/x", "https://me/", "a b", "/etc/jwks.json"},
		 true},
		{{"https://id.example", "x", "", "https://id.example/jwks"}, true},
		{{"http://127.0.0.1:9", "x", "", "file"}, true},
		{{"http://localhost/r", "x", "", "file"}, true},
		{{"http://localhost.evil.example", "x", "", "file"}, false},
		{{"http://id.example", "x", "", "file"}, false},
		{{"https://id.example?x", "x", "", "file"}, false},
		{{"https://id.example#x", "x", "", "file"}, false},
		{{"id.example", "x", "", "file"}, false},
		{{"https://id.example", "", "", "file"}, false},
		{{"https://id.example", "x", "", ""}, false},
		{{"https://id.example", "x", "", "http://id.example/jwks"}, false},
		{{"https://id.example", "x", "a\"b", "file"}, false},
		{{"", "x", "", "file"}, false},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};

		ok(!auth_config_check(&rows[i].c, &e) == rows[i].good &&
			   !rows[i].good == !!e.code,
		   "issuer \"%s\", keys \"%s\": %s", rows[i].c.issuer, rows[i].c.jwks,
		   rows[i].good ? "can work" : e.cause);
	}
}

int main(void)
{
	replies();
	urls();
	configurations();
	return tap_done();
}
