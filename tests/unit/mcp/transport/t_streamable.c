/* t_streamable.c: routes, who is calling, and the modern era: one POST, one peer. */
#include "tests/unit/mcp/transport/fake.h"

/* --- routes ----------------------------------------------------------------------------------- */

static void routes(void)
{
	static const struct {
		enum http_method method;
		const char *path, *accept;
		unsigned status;
		const char *allow;
	} rows[] = {
		{HTTP_GET, "/healthz", "*/*", 200, ""},
		{HTTP_HEAD, "/healthz", "*/*", 200, ""},
		{HTTP_POST, "/healthz", "*/*", 405, "GET, HEAD"},
		{HTTP_GET, "/", "*/*", 404, ""},
		{HTTP_POST, "/mcpx", "*/*", 404, ""},
		{HTTP_POST, "/mcp//", "*/*", 404, ""},
		{HTTP_POST, "/x/../mcp", "*/*", 404, ""},
		{HTTP_POST, "/MCP", "*/*", 404, ""},
		{HTTP_GET, "/mcp", "application/json", 406, ""},
		{HTTP_GET, "/mcp", "text/event-stream", 405, "POST, OPTIONS"},
		{HTTP_GET, "/mcp/", "text/event-stream", 405, "POST, OPTIONS"},
		{HTTP_PUT, "/mcp", "*/*", 405, "GET, POST, DELETE, OPTIONS"},
		{HTTP_HEAD, "/mcp", "*/*", 405, "GET, POST, DELETE, OPTIONS"},
		{HTTP_OTHER, "/mcp", "*/*", 405, "GET, POST, DELETE, OPTIONS"},
		{HTTP_OPTIONS, "/mcp", "*/*", 405, "GET, POST, DELETE, OPTIONS"},
		{HTTP_GET, "/.well-known/oauth-protected-resource", "*/*", 404, ""},
		{HTTP_GET, "/.well-known/oauth-protected-resource/mcp", "*/*", 404, ""},
		{HTTP_GET, "/.well-known/openid-configuration", "*/*", 404, ""},
	};
	struct rig r;

	rig_open(&r, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_exchange *x = x_new(rows[i].method, rows[i].path);

		x_set(x, "accept", rows[i].accept);
		x_go(x);
		ok(x->status == rows[i].status &&
			   !strcmp(x_get(x, "allow"), rows[i].allow),
		   "%s (row %u): %u %s", rows[i].path, i, x->status, x_get(x, "allow"));
		x_free(x);
	}
	rig_close(&r);
}

static unsigned status_with(const char *host, const char *origin)
{
	struct http_exchange *x = x_modern(REQUEST(1, "now"));
	unsigned status;

	x->authority = host;
	if (origin)
		x_set(x, "origin", origin);
	x_go(x);
	status = x->status;
	ok(status == 200 || !*x_get(x, "access-control-allow-origin"),
	   "a refusal is for no page");
	x_free(x);
	return status;
}

static void rebinding(void)
{
	struct streamable_opts o = {.site.no_auth = true,
				    .site.allow_origins = SV("https://app.example")};
	struct http_exchange *x;
	struct rig r;

	rig_open(&r, &o);
	x = x_modern(REQUEST(1, "now")); /* so that who is calling is remembered */
	x_go(x);
	rig_until(&r, x->ended);
	x_free(x);
	ok(status_with("evil.example", NULL) == 403, "Host evil");
	ok(status_with("evil.example", "http://evil.example") == 403, "both evil");
	ok(status_with("localhost:8080", "http://evil.example") == 403, "Origin evil");
	ok(status_with("localhost:8080", "null") == 403, "Origin null");
	ok(status_with("localhost:8080", "http://localhost:8080") == 200, "ours");
	ok(status_with("localhost:8080", "https://app.example") == 200, "allowed");
	ok(status_with("localhost:8080", NULL) == 200, "no page at all");
	x = x_new(HTTP_GET, "/healthz");
	x->authority = "10.0.0.7";
	x_go(x);
	ok(x->status == 200 && x_has(x, "\"ok\""), "a watcher may call it anything");
	x_free(x);
	rig_close(&r);
}

static void cors(void)
{
	struct streamable_opts o = {.site.allow_origins = SV("https://app.example")};
	struct http_exchange *x;
	struct rig r;

	rig_open(&r, &o);
	x = x_new(HTTP_OPTIONS, "/mcp");
	x_set(x, "origin", "https://app.example");
	x_set(x, "access-control-request-headers",
	      "authorization,mcp-param-region, x-evil,content-type,mcp-\"a");
	x_go(x);
	ok(x->status == 204, "a preflight needs no credential");
	ok(!strcmp(x_get(x, "access-control-allow-origin"), "https://app.example"),
	   "the origin itself, never *");
	ok(!strcmp(x_get(x, "vary"), "origin"), "caches are told");
	ok(!strcmp(x_get(x, "access-control-allow-headers"),
		   "authorization, mcp-param-region, content-type"),
	   "what MCP needs: %s", x_get(x, "access-control-allow-headers"));
	ok(!*x_get(x, "access-control-allow-credentials"), "no cookies");
	x_free(x);
	x = x_new(HTTP_OPTIONS, "/mcp");
	x_set(x, "origin", "https://evil.example");
	x_go(x);
	ok(x->status == 403 && !*x_get(x, "access-control-allow-origin"),
	   "not for others");
	x_free(x);
	x = x_new(HTTP_DELETE, "/mcp");
	x_set(x, "origin", "https://app.example");
	x->in[0].value = "Bearer bad";
	x_go(x);
	rig_until(&r, x->ended);
	ok(x->status == 401 && strstr(x_get(x, "access-control-expose-headers"),
				      "www-authenticate"),
	   "a page can read why it was refused");
	x_free(x);
	rig_close(&r);
}

/* --- who is calling ----------------------------------------------------------------------------- */

static struct http_exchange *call_as(struct rig *r, const char *authorization)
{
	struct http_exchange *x = x_modern(REQUEST(1, "now"));

	if (authorization)
		x_set(x, "authorization", authorization);
	else
		x->in[0].name = "x-nothing";
	x_go(x);
	if (!x->ended)
		rig_until(r, x->ended);
	return x;
}

static void refusals(void)
{
	static const struct {
		const char *authorization;
		unsigned status;
		const char *error;
	} rows[] = {
		{NULL, 401, ""},
		{"Bearer bad", 401, "error=\"invalid_token\""},
		{"Basic bWU6bWU=", 401, "error=\"invalid_token\""},
		{"Bearer", 400, "error=\"invalid_request\""},
		{"Bearer two words", 400, "error=\"invalid_request\""},
		{"Bearer \"x", 400, "error=\"invalid_request\""},
		{"Bearer odd", 400, "error=\"invalid_request\""},
		{"bEARER  me", 200, ""},
		{"Bearer scope", 403, "error=\"insufficient_scope\""},
		{"Bearer down", 503, ""},
	};
	const struct streamable_opts o = {.site.public_url =
						  SV("https://mcp.example/mcp"),
					  .site.issuer = SV("https://as.example"),
					  .site.scope = SV("code:run")};
	struct rig r;

	rig_open(&r, &o);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_exchange *x = call_as(&r, rows[i].authorization);
		const char *challenge = x_get(x, "www-authenticate");

		ok(x->status == rows[i].status, "%s: %u",
		   rows[i].authorization ? rows[i].authorization : "nothing",
		   x->status);
		ok(strstr(challenge, rows[i].error) &&
			   (*rows[i].error || !strstr(challenge, "error=")),
		   "%s", challenge);
		ok((x->status != 401 && x->status != 403) ||
			   strstr(challenge,
				  "resource_metadata=\"https://mcp.example/."
				  "well-known/oauth-protected-resource/mcp\""),
		   "names the metadata");
		ok(x->status == 200 || x_has(x, "\"jsonrpc\":\"2.0\",\"id\":null"),
		   "the body is a JSON-RPC error");
		x_free(x);
	}
	rig_close(&r);
}

static void two_credentials(void)
{
	struct http_exchange *x = x_modern(REQUEST(1, "now"));
	struct rig r;

	rig_open(&r, NULL);
	must(x->nin < FAKE_FIELDS);
	x->in[x->nin].name = "authorization";
	x->in[x->nin++].value = "Bearer you";
	x_go(x);
	ok(x->status == 400 && !fake_asked, "two Authorization fields: neither counts");
	x_free(x);
	x = x_modern(REQUEST(1, "now"));
	x->in[0].name = "x-nothing";
	x->cert = SV("DER");
	x_go(x);
	rig_until(&r, x->ended);
	ok(x->status == 200 && fake_asked == 1, "a client certificate counts");
	x_free(x);
	rig_close(&r);
}

static void memory(void)
{
	unsigned asked = 2;
	struct rig r;

	rig_open(&r, NULL);
	/* remembered for a moment: a machine that stalls gets more than one try */
	for (unsigned i = 0; i < 100 && asked == 2; i++) {
		fake_asked = 0;
		x_free(call_as(&r, "Bearer me"));
		x_free(call_as(&r, "Bearer me"));
		asked = fake_asked;
	}
	ok(asked < 2, "asked once");
	fake_asked = 0;
	x_free(call_as(&r, "Bearer you"));
	ok(fake_asked == 1, "another is another");
	x_free(call_as(&r, "Bearer bad"));
	x_free(call_as(&r, "Bearer bad"));
	ok(fake_asked == 3, "a no is not remembered");
	rig_close(&r);
}

static void leaving_while_asked(void)
{
	struct http_exchange *x = x_modern(REQUEST(1, "later"));
	struct rig r;

	rig_open(&r, NULL);
	x->in[0].value = "Bearer slow";
	x_go(x);
	ok(fake_auths == 1, "being asked about");
	x_gone(x);
	ok(fake_auths == 0 && !fake_peers, "no longer");
	x_free(x);
	x = x_modern(REQUEST(1, "later"));
	x->in[0].value = "Bearer slow";
	x_go(x);
	ok(fake_auths == 1, "being asked about, and the server ends");
	x->gone = true;
	rig_close(&r);
	x_free(x);
}

/* --- modern ----------------------------------------------------------------------------------- */

/* As somebody who was looked up before. */
static struct http_exchange *known(struct rig *r, const char *body)
{
	struct http_exchange *x;

	x_free(call_as(r, "Bearer me"));
	x = x_modern(body);
	x_go(x);
	return x;
}

static void json_answers(void)
{
	struct http_exchange *x;
	struct rig r;

	rig_open(&r, NULL);
	x = known(&r, REQUEST(7, "now"));
	ok(x->status == 200 && !strcmp(x_get(x, "content-type"), "application/json") &&
		   !strcmp(x_text(x), "{\"id\":7,\"result\":{}}"),
	   "an answer alone is JSON: %s", x_text(x));
	ok(!*x_get(x, "mcp-session-id"), "no session");
	x_free(x);
	x = known(&r, REQUEST(7, "lost"));
	ok(x->status == 404 && x_has(x, "lost"), "with the status of the error");
	x_free(x);
	x = known(&r, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}");
	ok(x->status == 202 && !x->out.n, "a notification: 202 and nothing");
	x_free(x);
	x = known(&r, "{nonsense");
	ok(x->status == 400 && x_has(x, "bad"), "nonsense: 400");
	x_free(x);
	x = x_modern(REQUEST(1, "now"));
	x_set(x, "content-type", "text/plain");
	x_go(x);
	ok(x->status == 415, "not JSON by its type: 415");
	x_free(x);
	x = x_modern(REQUEST(1, "subscriptions/listen"));
	x_set(x, "accept", "application/json");
	x_go(x);
	ok(x->status == 406, "listening without SSE: 406");
	x_free(x);
	ok(!fake_peers, "no peer is left");
	rig_close(&r);
}

static void sse_answers(void)
{
	struct http_exchange *x;
	struct rig r;

	rig_open(&r, NULL);
	x = known(&r, REQUEST(1, "note"));
	ok(x->status == 200 && x->streaming && x->ended &&
		   !strcmp(x_get(x, "content-type"), "text/event-stream") &&
		   !strcmp(x_get(x, "cache-control"), "no-cache, no-transform") &&
		   !strcmp(x_get(x, "x-accel-buffering"), "no"),
	   "something before the answer: SSE");
	ok(!strcmp(x_text(x), "event: message\ndata: {\"note\":0}\n\n"
			      "event: message\ndata: {\"id\":1,\"result\":{}}\n\n"),
	   "both, without ids");
	x_free(x);
	x = x_modern(REQUEST(1, "note"));
	x_set(x, "accept", "application/json");
	x_go(x);
	ok(x->status == 200 && !x->streaming && !x_has(x, "note"),
	   "a client that takes JSON alone gets the answer alone");
	x_free(x);
	x = known(&r, REQUEST(2, "open"));
	ok(x->streaming && !x->ended && !x->out.n, "a stream that waits for something");
	fake_note("2", 5);
	ok(x_has(x, "{\"note\":5}"), "it comes");
	fake_answer("2");
	ok(x->ended && x_has(x, "result"), "and the end");
	x_free(x);
	rig_turn(&r);
	ok(!fake_peers, "no peer is left");
	rig_close(&r);
}

static void leaving_is_cancelling(void)
{
	struct http_exchange *x;
	struct rig r;

	rig_open(&r, NULL);
	x = known(&r, REQUEST(1, "open"));
	x_gone(x);
	ok(fake_cancelled == 1 && !fake_peers, "an open stream");
	x_free(x);
	x = known(&r, REQUEST(1, "later"));
	x_gone(x);
	ok(fake_cancelled == 2 && !fake_peers, "an answer that has not begun");
	x_free(x);
	rig_close(&r);
}

static void silence(void)
{
	const struct streamable_opts o = {.silence_ms = 5, .keepalive_ms = 5};
	struct http_exchange *x, *json;
	struct rig r;

	rig_open(&r, &o);
	x = known(&r, REQUEST(1, "later"));
	json = x_modern(REQUEST(2, "later"));
	x_set(json, "accept", "application/json");
	x_go(json);
	ok(!x->status, "nothing yet");
	rig_until(&r, x->streaming);
	rig_until(&r, x_count(x, ": keepalive\n\n") >= 2);
	ok(!json->status, "who takes JSON alone has to wait");
	fake_answer("1");
	fake_answer("2");
	ok(x->ended && x_has(x, "result") && json->status == 200, "the answers");
	x_free(x);
	x_free(json);
	rig_turn(&r);
	rig_close(&r);
}

static void one_callers_share(void)
{
	const struct streamable_opts o = {.max_requests_each = 3};
	struct http_exchange *x[3], *more;
	struct rig r;

	rig_open(&r, &o);
	for (unsigned i = 0; i < 3; i++)
		x[i] = known(&r, REQUEST(1, "later"));
	more = x_modern(REQUEST(1, "now"));
	x_go(more);
	ok(more->status == 503, "one more of the same caller: %u", more->status);
	x_free(more);
	more = call_as(&r, "Bearer you");
	ok(more->status == 200, "another caller is not touched");
	x_free(more);
	for (unsigned i = 0; i < 3; i++) {
		x_gone(x[i]);
		x_free(x[i]);
	}
	more = x_modern(REQUEST(1, "now"));
	x_go(more);
	ok(more->status == 200, "after they have gone");
	x_free(more);
	rig_close(&r);
}

/* --- well-known --------------------------------------------------------------------------------- */

static void metadata(void)
{
	const struct streamable_opts o = {.site.public_url =
						  SV("https://mcp.example/x/mcp"),
					  .site.issuer = SV("https://as.example"),
					  .site.scope = SV("code:run")};
	static const struct {
		const char *path;
		unsigned status;
	} rows[] = {
		{"/.well-known/oauth-protected-resource", 200},
		{"/.well-known/oauth-protected-resource/mcp", 200},
		{"/.well-known/oauth-protected-resource/x/mcp", 200},
		{"/.well-known/oauth-protected-resource/x", 404},
		{"/.well-known/oauth-protected-resourcemcp", 404},
		{"/.well-known/oauth-authorization-server", 404},
	};
	struct rig r;

	rig_open(&r, &o);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_exchange *x = x_new(HTTP_GET, rows[i].path);

		x->authority = "mcp.example";
		x_go(x);
		ok(x->status == rows[i].status, "%s: %u", rows[i].path, x->status);
		ok(x->status != 200 ||
			   (x_has(x, "\"resource\":\"https://mcp.example/x/mcp\"") &&
			    x_has(x, "\"authorization_servers\":[\"https://"
				     "as.example\"]") &&
			    x_has(x, "\"scopes_supported\":[\"code:run\"]")),
		   "%s", x_text(x));
		x_free(x);
	}
	rig_close(&r);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void on_drained(void *arg)
{
	++*(unsigned *)arg;
}

static void drain(void)
{
	struct http_exchange *x, *y, *z;
	unsigned drained = 0;
	struct rig r;

	rig_open(&r, NULL);
	x = known(&r, REQUEST(1, "later"));
	streamable_drain(r.t, WATCHDOG_MS, on_drained, &drained);
	rig_turn(&r);
	ok(!drained && !x->status, "a call may end by itself");
	fake_answer("1");
	ok(x->status == 200, "and is answered");
	rig_until(&r, drained == 1);
	x_free(x);
	rig_close(&r);

	rig_open(&r, NULL);
	x = known(&r, REQUEST(1, "later"));
	y = known(&r, REQUEST(2, "open"));
	z = x_new(HTTP_GET, "/healthz");
	drained = 0;
	streamable_drain(r.t, 1, on_drained, &drained);
	x_go(z);
	ok(z->status == 503, "whoever watches is told");
	rig_until(&r, drained == 1);
	ok(fake_cancelled == 2, "what takes too long is cancelled");
	ok(x->status == 503 && x_has(x, "\"id\":1,\"error\"") && x_has(x, "stopping"),
	   "and answered: %s", x_text(x));
	ok(y->ended && x_has(y, "data: {\"jsonrpc\":\"2.0\",\"id\":2,\"error\""),
	   "on its stream");
	x_free(x);
	x_free(y);
	x_free(z);
	rig_turn(&r);
	rig_close(&r);
}

/* Any allocation may fail: a status, or nothing, but never a crash or a leak. */
static void no_memory(void)
{
	unsigned answered = 0;

	for (long n = 1; n < 60; n++) {
		struct http_exchange *x = x_modern(REQUEST(1, "note")),
				     *y = x_post(INITIALIZE("2025-11-25"));
		struct rig r;

		rig_open(&r, NULL);
		mem_fail_after(n);
		x_go(x);
		x_go(y);
		for (unsigned i = 0; i < 10; i++)
			rig_turn(&r);
		mem_fail_after(0);
		answered += x->status != 0 && y->status != 0;
		if (!x->ended)
			x_gone(x);
		if (!y->ended)
			x_gone(y);
		rig_close(&r);
		x_free(x);
		x_free(y);
	}
	ok(answered > 50, "%u of 59 were answered", answered);
}

int main(void)
{
	routes();
	rebinding();
	cors();
	refusals();
	two_credentials();
	memory();
	leaving_while_asked();
	json_answers();
	sse_answers();
	leaving_is_cancelling();
	silence();
	one_callers_share();
	metadata();
	drain();
	no_memory();
	ok(!fake_exchanges, "every exchange was given back");
	return tap_done();
}
