/* t_access.c: Host, Origin, Accept and Content-Type. */
#include "tests/unit/mcp/transport/fake.h"

static const uint16_t ports[] = {8080, 80};

/* clang-format off */
static const struct streamable_site
	loopback = {.ports = ports, .nports = 1},
	eighty = {.ports = ports + 1, .nports = 1},
	listed = {.ports = ports, .nports = 1,
		  .allow_hosts = {"a.example, b.example:99", 23},
		  .public_url = {"https://c.example/x/mcp", 23}},
	open = {.ports = ports, .nports = 1, .exposed = true},
	bare = {.ports = ports, .nports = 1, .exposed = true, .no_auth = true},
	strict = {.ports = ports, .nports = 1, .exposed = true, .allow_hosts = {"a.example", 9}};
/* clang-format on */

static const struct {
	const struct streamable_site *site;
	const char *host;
	bool good;
} host_rows[] = {
	{&loopback, "127.0.0.1:8080", true},
	{&loopback, "localhost:8080", true},
	{&loopback, "LocalHost:8080", true},
	{&loopback, "[::1]:8080", true},
	{&loopback, "127.0.0.2:8080", true}, /* no name, so none that DNS could lend */
	{&loopback, "127.0.0.2:8081", false},
	{&loopback, "127.evil.example:8080", false},
	{&loopback, "127.0.0.1a:8080", false},
	{&loopback, "128.0.0.1:8080", false},
	{&loopback, "localhost.:8080", false},
	{&loopback, "[::ffff:127.0.0.1]:8080", false},
	{&loopback, "", false},
	{&loopback, "localhost", false},
	{&loopback, "localhost:8081", false},
	{&loopback, "evil.example:8080", false},
	{&loopback, "localhost.evil.example:8080", false},
	{&loopback, "127.0.0.1.evil.example:8080", false},
	{&loopback, "127.0.0.1:8080@evil.example", false},
	{&loopback, "127.0.0.1:08080", true},
	{&loopback, "127.0.0.1:8080 ", false},
	{&loopback, "127.0.0.1:-8080", false},
	{&loopback, "127.0.0.1:99999", false},
	{&loopback, "[::1", false},
	{&loopback, "[::1]8080", false},
	{&loopback, ":8080", false},
	{&loopback, "192.168.0.1:8080", false},
	{&eighty, "localhost", true},
	{&eighty, "localhost:80", true},
	{&listed, "a.example", true},
	{&listed, "a.example:1234", true},
	{&listed, "A.EXAMPLE", true},
	{&listed, "b.example:99", true},
	{&listed, "b.example:98", false},
	{&listed, "b.example", false},
	{&listed, "c.example", true},
	{&listed, "d.example", false},
	{&listed, "xa.example", false},
	{&listed, "localhost:8080", true},
	{&open, "anything.example", true},
	{&bare, "anything.example", false},
	{&bare, "192.0.2.1:8080", true},
	{&bare, "[2001:db8::1]:8080", true},
	{&bare, "localhost:1", true},
	{&bare, "[evil.example]", false},
	{&bare, "1.2.3.4.evil.example", false},
	{&strict, "b.example", false},
	{&strict, "a.example", true},
	{&strict, "192.0.2.1", false},
};

static void hosts(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(host_rows); i++)
		ok(access_host_ok(host_rows[i].site, sv_of(host_rows[i].host), false) ==
			   host_rows[i].good,
		   "host %s (row %u) is %s", host_rows[i].host, i,
		   host_rows[i].good ? "ours" : "refused");
	ok(access_host_ok(&loopback, SV("evil.example"), true),
	   "on a Unix socket any name");
}

static void origins(void)
{
	const struct streamable_site plain = {.ports = ports, .nports = 1},
				     tls = {.ports = ports, .nports = 1, .tls = true},
				     named = {.ports = ports,
					      .nports = 1,
					      .allow_origins =
						      SV("https://app.example, vscode-"
							 "webview://abc/"),
					      .public_url =
						      SV("https://mcp.example/mcp")};
	const struct {
		const struct streamable_site *site;
		const char *origin;
		bool good;
	} rows[] = {
		{&plain, "http://localhost:8080", true},
		{&plain, "http://127.0.0.1:8080", true},
		{&plain, "http://[::1]:8080", true},
		{&plain, "http://127.0.0.2:8080",
		 false}, /* another user may listen there */
		{&plain, "http://localhost.:8080", false},
		{&plain, "http://a@localhost:8080", false},
		{&plain, "http://localhost:8080#", false},
		{&plain, "http://LOCALHOST:8080", true},
		{&plain, "HTTP://localhost:8080", false},
		{&plain, "chrome-extension://abc", false},
		{&plain, "https://localhost:8080", false},
		{&plain, "http://localhost:3000", false},
		{&plain, "http://localhost", false},
		{&plain, "http://evil.example:8080", false},
		{&plain, "http://localhost:8080.evil.example", false},
		{&plain, "http://localhost:8080/x", false},
		{&plain, "null", false},
		{&plain, "", false},
		{&plain, "file://", false},
		{&tls, "https://localhost:8080", true},
		{&tls, "http://localhost:8080", false},
		{&named, "https://app.example", true},
		{&named, "https://APP.example", true},
		{&named, "http://app.example", false},
		{&named, "https://app.example:444", false},
		{&named, "vscode-webview://abc", true},
		{&named, "https://mcp.example", true},
		{&named, "https://mcp.example:443", true},
		{&named, "http://mcp.example", false},
		{&named, "https://mcp.example.evil", false},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		ok(access_origin_ok(rows[i].site, sv_of(rows[i].origin)) ==
			   rows[i].good,
		   "origin %s (row %u) is %s", rows[i].origin, i,
		   rows[i].good ? "allowed" : "refused");
}

static void accepts(void)
{
	static const struct {
		const char *accept;
		unsigned takes;
	} rows[] = {
		{"application/json, text/event-stream", TAKES_JSON | TAKES_SSE},
		{"text/event-stream,application/json;q=0.5", TAKES_JSON | TAKES_SSE},
		{"Application/JSON", TAKES_JSON},
		{"text/event-stream", TAKES_SSE},
		{"*/*", TAKES_JSON | TAKES_SSE},
		{"text/*", TAKES_SSE},
		{"application/*;q=0.1", TAKES_JSON},
		{"text/html, */*;q=0.8", TAKES_JSON | TAKES_SSE},
		{"application/json, text/event-stream;q=0", TAKES_JSON},
		{"application/json ; q=0.000, text/event-stream", TAKES_SSE},
		{"text/html", 0},
		{"", 0},
		{"application/jsonx", 0},
		{",,;;q=,", 0},
	};
	static const struct {
		const char *type;
		bool good;
	} types[] = {
		{"application/json", true},
		{"application/json; charset=utf-8", true},
		{"APPLICATION/JSON;x", true},
		{"application/json-rpc", false},
		{"text/plain", false},
		{"application/x-www-form-urlencoded", false},
		{"", false},
		{"multipart/form-data; application/json", false},
	};
	struct http_exchange *x = x_new(HTTP_POST, "/mcp");

	ok(access_takes(x) == TAKES_JSON, "without Accept: JSON");
	ok(!access_is_json(x), "without Content-Type: not JSON");
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		x_set(x, "accept", rows[i].accept);
		ok(access_takes(x) == rows[i].takes, "Accept: %s", rows[i].accept);
	}
	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		x_set(x, "content-type", types[i].type);
		ok(access_is_json(x) == types[i].good, "Content-Type: %s",
		   types[i].type);
	}
	x_free(x);
}

int main(void)
{
	hosts();
	origins();
	accepts();
	return tap_done();
}
