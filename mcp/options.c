/* options.c: the option table and what reads it. */
#include "mcp/options.h"

#include "mcp/jsonrpc/jsonrpc.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"
#include "schemas/schemas.h"

#include <cjson/cJSON.h>
#include <stddef.h>
#include <unistd.h>

/* clang-format off */
#define AT(member) offsetof(struct options, member)
static const struct option_row {
	const char *name, *value, *env, *help; /* no help: for tests, not listed */
	size_t at;			       /* of a const char *, or a bool when value is NULL */
} table[] = {
	{"state", "DIR", "FUMEHOOD_STATE", "where the audit log is kept", AT(state)},
	{"config", "FILE", "FUMEHOOD_CONFIG", "JSON file with any of these options as keys", AT(config)},
	{"log-level", "LEVEL", "FUMEHOOD_LOG_LEVEL", "error, warn (default), info or debug", AT(log_level)},
	{"json", NULL, "FUMEHOOD_JSON", "machine-readable output of run, doctor, audit, version", AT(json)},
	{"bwrap", "PATH", "FUMEHOOD_BWRAP", "the bubblewrap to use", AT(bwrap)},
	{"uid-base", "N", "FUMEHOOD_UID_BASE", "as root: first host uid for sandboxes (1900000000)", AT(uid_base)},
	{"uid-count", "N", "FUMEHOOD_UID_COUNT", "as root: how many of them (256)", AT(uid_count)},
	{"max-runs", "N", "FUMEHOOD_MAX_RUNS", "sandboxes at the same time (16)", AT(max_runs)},
	{"max-queue", "N", "FUMEHOOD_MAX_QUEUE", "calls that may wait for one (64)", AT(max_queue)},
	{"promote-ms", "N", "FUMEHOOD_PROMOTE_MS", "a call that runs longer is answered `running` (45000)", AT(promote_ms)},
	{"confirm", NULL, "FUMEHOOD_CONFIRM", "ask the user before each run, where the client can", AT(confirm)},
	{"language", "NAME", "FUMEHOOD_LANGUAGE", "run: instead of going by the file's ending", AT(language)},
	{"timeout-ms", "N", "FUMEHOOD_TIMEOUT_MS", "run: wall clock limit (10000)", AT(timeout_ms)},
	{"limit", "N", "FUMEHOOD_LIMIT", "audit list: the newest N rows (20)", AT(limit)},
	{"expires", "DAYS", "FUMEHOOD_EXPIRES", "key create: how long it is good (for ever)", AT(expires)},
	{"listen", "LIST", "FUMEHOOD_LISTEN", "serve: ADDRESS:PORT or unix:PATH, ... (127.0.0.1:8080)", AT(listen)},
	{"tls-cert", "FILE", "FUMEHOOD_TLS_CERT", "serve: certificate chain, PEM", AT(tls_cert)},
	{"tls-key", "FILE", "FUMEHOOD_TLS_KEY", "serve: its private key, PEM", AT(tls_key)},
	{"tls-client-ca", "FILE", "FUMEHOOD_TLS_CLIENT_CA", "serve: who signs client certificates, PEM", AT(tls_client_ca)},
	{"tls-client-required", NULL, "FUMEHOOD_TLS_CLIENT_REQUIRED", "serve: no connection without one", AT(tls_client_required)},
	{"public-url", "URL", "FUMEHOOD_PUBLIC_URL", "serve: what clients call it, https://host/mcp", AT(public_url)},
	{"allow-host", "LIST", "FUMEHOOD_ALLOW_HOST", "serve: more names in Host that are this server", AT(allow_host)},
	{"allow-origin", "LIST", "FUMEHOOD_ALLOW_ORIGIN", "serve: web pages that may call it", AT(allow_origin)},
	{"oauth-issuer", "URL", "FUMEHOOD_OAUTH_ISSUER", "serve: whose tokens are taken", AT(oauth_issuer)},
	{"oauth-audience", "URI", "FUMEHOOD_OAUTH_AUDIENCE", "serve: for whom they must be made (public-url)", AT(oauth_audience)},
	{"oauth-jwks", "FILE|URL", "FUMEHOOD_OAUTH_JWKS", "serve: the keys they are signed with", AT(oauth_jwks)},
	{"oauth-scope", "SCOPE", "FUMEHOOD_OAUTH_SCOPE", "serve: what they must allow (code:run)", AT(oauth_scope)},
	{"max-connections", "N", "FUMEHOOD_MAX_CONNECTIONS", "serve: at the same time (16384)", AT(max_connections)},
	{"drain-ms", "N", "FUMEHOOD_DRAIN_MS", "serve: after SIGTERM, for calls that run (10000)", AT(drain_ms)},
	{"insecure-no-auth", NULL, "FUMEHOOD_INSECURE_NO_AUTH", "serve: whoever reaches it may use it", AT(insecure_no_auth)},
	{"insecure-no-auth-anywhere", NULL, "FUMEHOOD_INSECURE_NO_AUTH_ANYWHERE", "serve: also from other hosts", AT(insecure_no_auth_anywhere)},
	{"insecure-plaintext", NULL, "FUMEHOOD_INSECURE_PLAINTEXT", "serve: other hosts without TLS: a proxy does it", AT(insecure_plaintext)},
	{"conformance-fixtures", NULL, "FUMEHOOD_CONFORMANCE_FIXTURES", "offer what the conformance suite calls", AT(conformance_fixtures)},
	{"keepalive-ms", "N", "FUMEHOOD_KEEPALIVE_MS", NULL, AT(keepalive_ms)},
};
#undef AT
/* clang-format on */
_Static_assert(ARRAY_LEN(table) <= OPTIONS_MAX_FLAGS,
	       "options_argv's callers have room");

static const struct {
	const char *name, *args, *help;
} commands[] = {
	{"stdio", "", "serve MCP on standard input and output"},
	{"serve", "", "serve MCP over HTTP"},
	{"key", "create NAME | list | revoke ID", "API keys for serve"},
	{"run", "FILE [ARG...]",
	 "run a program in a sandbox; - reads it from standard input"},
	{"doctor", "", "prove what holds on this host, and say how to fix the rest"},
	{"audit", "list | show RUN | verify", "read the record"},
	{"version", "", "print the version"},
	{"help", "", "print this"},
};

void options_help(void)
{
	printf("fumehood runs code nobody has read, and lets nothing out.\n\n"
	       "usage: fumehood COMMAND [OPTION...]\n\n");
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-8s%-34s%s\n", commands[i].name, commands[i].args,
		       commands[i].help);
	printf("\noptions, also as variables and as keys of the config file:\n");
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		char flag[64];

		if (!table[i].help)
			continue;
		snprintf(flag, sizeof(flag), "--%s %s", table[i].name,
			 table[i].value ? table[i].value : "");
		printf("  %-28s%-36s%s\n", flag, table[i].env, table[i].help);
	}
	printf("\nfirst steps:  fumehood doctor;  echo 'print(6*7)' | fumehood run --language "
	       "python -\n");
}

static void set(struct options *o, const struct option_row *row, const char *value)
{
	char *at = (char *)o + row->at;

	if (row->value)
		*(const char **)(void *)at = value;
	else
		*(bool *)(void *)at = !sv_eq(sv_of(value), SV("0")) &&
				      !sv_eq(sv_of(value), SV("false")) && *value;
}

static const struct option_row *find(struct sv name)
{
	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (sv_eq(name, sv_of(table[i].name)))
			return &table[i];
	return NULL;
}

static int unknown(struct sv name, struct err *e)
{
	err_set(e, ERR_INVALID, "there is no option --" SV_FMT, SV_ARG(name));
	return err_fix(e, "`fumehood help` lists them");
}

/* One --name[=value] [value]; moves *i over a separate value. */
static int take_flag(struct options *o, int argc, char **argv, int *i, struct err *e)
{
	struct sv name = sv_of(argv[*i] + 2);
	ptrdiff_t eq = sv_find(name, '=');
	const char *value = eq >= 0 ? name.p + eq + 1 : NULL;
	const struct option_row *row;

	if (eq >= 0)
		name.n = (size_t)eq;
	row = find(name);
	if (!row && (sv_eq(name, SV("help")) || sv_eq(name, SV("version")))) {
		o->command = name.p; /* as most programs have it */
		o->nargs = 0;
		return 0;
	}
	if (!row)
		return unknown(name, e);
	if (row->value && !value && *i + 1 < argc)
		value = argv[++*i];
	if (row->value && !value)
		return err_set(e, ERR_INVALID, "--%s needs a value: --%s %s", row->name,
			       row->name, row->value);
	set(o, row, value ? value : "1");
	return 0;
}

static int take_args(struct options *o, int argc, char **argv, struct err *e)
{
	bool only_args = false;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];

		if (!only_args && sv_eq(sv_of(a), SV("--"))) {
			only_args = true;
		} else if (!only_args && sv_starts(sv_of(a), SV("--"))) {
			if (take_flag(o, argc, argv, &i, e))
				return -1;
		} else if (!o->command) {
			o->command = a;
		} else if (o->nargs == OPTIONS_MAX_ARGS) {
			return err_set(e, ERR_LIMIT, "more than %d arguments",
				       OPTIONS_MAX_ARGS);
		} else {
			o->args[o->nargs++] = a;
			/* what follows FILE is the program's */
			only_args |= sv_eq(sv_of(o->command), SV("run"));
		}
	}
	return 0;
}

/* The text of a scalar, for set(); lives as long as the process, as all options do. */
static const char *text_of(const struct cJSON *v)
{
	char number[32];
	int64_t n;

	if (cJSON_IsBool(v))
		return cJSON_IsTrue(v) ? "1" : "0";
	if (js_is_str(v))
		return js_str(v).p;
	if (js_int(v, &n))
		return NULL;
	snprintf(number, sizeof(number), "%lld", (long long)n);
	return mem_strdup(number);
}

/* Checked against schemas/config.json. The tree lives as long as the process: the options borrow
 * from it. */
static int take_file(struct options *o, const char *path, struct err *e)
{
	AUTO_BUF b = {0};
	struct cJSON *tree, *schema = rpc_json_parse(schemas_get("config.json"), e);
	int bad;

	buf_init(&b, 1 << 20);
	if (!schema || fd_read_file(path, &b, e))
		return -1;
	tree = rpc_json_parse(buf_view(&b), e);
	bad = !tree || rpc_schema_check(schema, tree, false, e);
	cJSON_Delete(schema);
	if (bad)
		return err_fix(e, "correct %.200s; `man fumehood` lists its keys",
			       path);
	for (const struct cJSON *v = js_first(tree); v; v = js_next(v)) {
		const struct option_row *row = find(js_name(v));
		const char *text = text_of(v);

		if (!row || !text)
			return err_set(e, ERR_INTERNAL,
				       "the config schema and the options differ");
		set(o, row, text);
	}
	return 0;
}

static void take_env(struct options *o)
{
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		const char *value = getenv(table[i].env);

		if (value)
			set(o, &table[i], value);
	}
}

/* clang-format off */
static const struct number_row {
	const char *name;
	size_t text, at, bytes; /* of its option, and of the parsed number */
	int64_t min, max, otherwise;
} numbers[] = {
#define OF2(option, number) offsetof(struct options, option), offsetof(struct options, number), \
	sizeof(((struct options *)0)->number)
#define OF(member) OF2(member, member##_n)
	{"uid-base", OF(uid_base), 1000, 2000000000, 0},
	{"uid-count", OF(uid_count), 1, 256, 0},
	{"max-runs", OF(max_runs), 1, 256, 0},
	{"max-queue", OF(max_queue), 0, 256, 0},
	{"timeout-ms", OF2(timeout_ms, timeout_n), 0, INT64_MAX, -1},
	{"limit", OF(limit), 1, 1000000, 20},
	{"expires", OF(expires), 1, 3650, 0},
	{"promote-ms", OF2(promote_ms, promote_n), 100, 3600000, 45000},
	{"max-connections", OF(max_connections), 1, 1000000, 16384},
	{"drain-ms", OF2(drain_ms, drain_n), 0, 3600000, 10000},
	{"keepalive-ms", OF2(keepalive_ms, keepalive_n), 10, 3600000, 15000},
#undef OF
#undef OF2
};
/* clang-format on */

static const char *text_at(const struct options *o, size_t at)
{
	return *(const char *const *)(const void *)((const char *)o + at);
}

static int take_number(struct options *o, const struct number_row *row, struct err *e)
{
	const char *text = text_at(o, row->text);
	int64_t n = row->otherwise;
	uint32_t narrow;

	if (*text && (sv_to_i64(sv_of(text), &n) || n < row->min || n > row->max))
		return err_set(e, ERR_INVALID,
			       "--%s %.40s: a number from %lld to %lld is wanted",
			       row->name, text, (long long)row->min,
			       (long long)row->max);
	narrow = (uint32_t)n;
	if (row->bytes == sizeof(narrow))
		memcpy((char *)o + row->at, &narrow, sizeof(narrow));
	else
		memcpy((char *)o + row->at, &n, sizeof(n));
	return 0;
}

static int check_values(struct options *o, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
		if (take_number(o, &numbers[i], e))
			return -1;
	if (*o->log_level && log_level_of(sv_of(o->log_level), &o->level))
		return err_set(e, ERR_INVALID,
			       "--log-level %.20s: error, warn, info or debug",
			       o->log_level);
	return 0;
}

/* $XDG_STATE_HOME, else ~/.local/state; a system service has neither. */
static int find_state_dir(struct options *o, struct err *e)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	const char *service = getenv("STATE_DIRECTORY");
	int n;

	if (*o->state)
		n = snprintf(o->state_dir, sizeof(o->state_dir), "%s", o->state);
	else if (service && *service == '/')
		n = snprintf(o->state_dir, sizeof(o->state_dir), "%s", service);
	else if (xdg && *xdg == '/')
		n = snprintf(o->state_dir, sizeof(o->state_dir), "%s/fumehood", xdg);
	else if (home && *home == '/' && home[1])
		n = snprintf(o->state_dir, sizeof(o->state_dir),
			     "%s/.local/state/fumehood", home);
	else
		n = snprintf(o->state_dir, sizeof(o->state_dir), "/var/lib/fumehood");
	if (n < 0 || (size_t)n >= sizeof(o->state_dir))
		return err_set(e, ERR_INVALID, "the state folder's name is too long");
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *e)
{
	struct options unset = {.level = LOG_WARN}, flags;
	const char *file = getenv("FUMEHOOD_CONFIG");
	bool role;

	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].value)
			set(&unset, &table[i], "");
	/* the flags are read first for --config, and last so that they win */
	flags = unset;
	if (take_args(&flags, argc, argv, e))
		return -1;
	*ret = unset;
	if (*flags.config)
		file = flags.config;
	role = flags.command && sv_eq(sv_of(flags.command), SV("role"));
	if (!role && file && *file && take_file(ret, file, e))
		return -1;
	if (!role)
		take_env(ret);
	ret->nargs = 0;
	if (take_args(ret, argc, argv, e) || check_values(ret, e))
		return -1;
	return find_state_dir(ret, e);
}

/* One per row, so that roles share what they are given and no argument is cut. */
unsigned options_argv(const struct options *o, char **ret, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(table) && n < max; i++) {
		const struct option_row *row = &table[i];
		struct buf b; /* lives as long as the process */
		const char *value = "1";

		if (row->value)
			value = row->at == offsetof(struct options, state)
					? o->state_dir
					: text_at(o, row->at);
		else if (!*((const bool *)(const void *)((const char *)o + row->at)))
			continue;
		if (!*value || row->at == offsetof(struct options, config))
			continue;
		buf_init(&b, 1 << 20);
		buf_fmt(&b, "--%s=%s", row->name, value);
		if (!b.failed)
			ret[n++] = b.p;
	}
	return n;
}
