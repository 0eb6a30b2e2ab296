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

/* Where a command stands in `commands`; an option has the bits of those it is for. */
enum { STDIO, SERVE, KEY, IMAGE, RUN, DOCTOR, AUDIT, VERSION, HELP, COMMANDS };
#define BIT(command) (1u << (command))
#define SERVERS (BIT(STDIO) | BIT(SERVE))
#define SANDBOX (SERVERS | BIT(RUN) | BIT(DOCTOR))
#define ALL (BIT(COMMANDS) - 1)

/* clang-format off */
#define AT(member) offsetof(struct options, member)
static const struct option_row {
	const char *name, *value, *help; /* no help: for tests, not listed */
	unsigned commands;
	size_t at;			 /* of a const char *, or a bool when value is NULL */
} table[] = {
	{"state", "DIR", "the folder of the record, the keys and the images", SANDBOX | BIT(KEY) | BIT(IMAGE) | BIT(AUDIT), AT(state)},
	{"config", "FILE", "JSON file with any of these options as keys", ALL, AT(config)},
	{"log-level", "LEVEL", "error, warn (default), info or debug", ALL, AT(log_level)},
	{"json", NULL, "output for machines", BIT(KEY) | BIT(IMAGE) | BIT(RUN) | BIT(DOCTOR) | BIT(AUDIT) | BIT(VERSION), AT(json)},
	{"bwrap", "PATH", "the bubblewrap to use", SANDBOX | BIT(IMAGE), AT(bwrap)},
	{"image", "NAME", "packages for the programs, see `fumehood help image`", SANDBOX, AT(image)},
	{"python", "LIST", "packages of PyPI: 'numpy pandas==3.*'", BIT(IMAGE), AT(python)},
	{"javascript", "LIST", "packages of npm: 'lodash @types/node@24'", BIT(IMAGE), AT(javascript)},
	{"uid-base", "N", "as root: first host uid for sandboxes (1900000000)", SANDBOX | BIT(IMAGE), AT(uid_base)},
	{"uid-count", "N", "as root: how many of them (256)", SANDBOX | BIT(IMAGE), AT(uid_count)},
	{"max-runs", "N", "sandboxes at the same time (16)", SERVERS, AT(max_runs)},
	{"max-queue", "N", "calls that may wait for one (1024)", SERVERS, AT(max_queue)},
	{"max-sessions", "N", "at the same time (64); a quarter for each caller of serve", SERVERS, AT(max_sessions)},
	{"warm-cells", "N", "copies of interpreters that wait for runs (24); 0: none", SERVERS, AT(warm_cells)},
	{"runtimes", "FILE", "more languages: rows as of schemas/runtimes.json", SANDBOX, AT(runtimes)},
	{"promote-ms", "N", "a call that runs longer is answered `running` (45000)", SERVERS, AT(promote_ms)},
	{"confirm", NULL, "ask the user before each run; refuse clients that cannot", SERVERS, AT(confirm)},
	{"language", "NAME", "instead of going by the file's ending", BIT(RUN), AT(language)},
	{"timeout-ms", "N", "wall clock limit, 100 to 300000 (10000)", BIT(RUN), AT(timeout_ms)},
	{"limit", "N", "how many of the newest rows (20)", BIT(AUDIT), AT(limit)},
	{"expires", "DAYS", "how long a new key is good (for ever)", BIT(KEY), AT(expires)},
	{"root-key", "FILE", "the root key of what is kept (root.key in the state folder)", BIT(KEY), AT(root_key)},
	{"passphrase", NULL, "key root init, rotate: it is made of one", BIT(KEY), AT(passphrase)},
	{"listen", "LIST", "ADDRESS:PORT or unix:PATH, ... (127.0.0.1:8080)", BIT(SERVE), AT(listen)},
	{"tls-cert", "FILE", "certificate chain, PEM", BIT(SERVE), AT(tls_cert)},
	{"tls-key", "FILE", "its private key, PEM", BIT(SERVE), AT(tls_key)},
	{"tls-client-ca", "FILE", "who signs client certificates, PEM", BIT(SERVE), AT(tls_client_ca)},
	{"tls-client-required", NULL, "no connection without one", BIT(SERVE), AT(tls_client_required)},
	{"public-url", "URL", "what clients call it, https://host/mcp", BIT(SERVE), AT(public_url)},
	{"allow-host", "LIST", "more names in Host that are this server", BIT(SERVE), AT(allow_host)},
	{"allow-origin", "LIST", "web pages that may call it", BIT(SERVE), AT(allow_origin)},
	{"oauth-issuer", "URL", "whose tokens are taken", BIT(SERVE), AT(oauth_issuer)},
	{"oauth-audience", "URI", "for whom they must be made (public-url)", BIT(SERVE), AT(oauth_audience)},
	{"oauth-jwks", "FILE|URL", "the keys they are signed with", BIT(SERVE), AT(oauth_jwks)},
	{"oauth-scope", "SCOPE", "what they must allow (code:run)", BIT(SERVE), AT(oauth_scope)},
	{"max-connections", "N", "at the same time (16384)", BIT(SERVE), AT(max_connections)},
	{"drain-ms", "N", "after SIGTERM, for calls that run (10000)", BIT(SERVE), AT(drain_ms)},
	{"insecure-no-auth", NULL, "whoever reaches it may use it", BIT(SERVE), AT(insecure_no_auth)},
	{"insecure-no-auth-anywhere", NULL, "also from other hosts", BIT(SERVE), AT(insecure_no_auth_anywhere)},
	{"insecure-plaintext", NULL, "other hosts without TLS: a proxy does it", BIT(SERVE), AT(insecure_plaintext)},
	{"conformance-fixtures", NULL, "offer what the conformance suite calls", SERVERS, AT(conformance_fixtures)},
	{"keepalive-ms", "N", NULL, SERVERS, AT(keepalive_ms)},
	{"image-unfinished", NULL, NULL, BIT(RUN), AT(image_unfinished)},
};
#undef AT

#define WRONG "2      the command line is wrong"
static const struct command_row {
	const char *name, *args, *help;
	unsigned max_args;
	const char *const about;	/* lines */
	const char *const examples[4];
	const char *const exits[5];
} commands[] = {
	[STDIO] = {"stdio", "", "serve MCP on standard input and output", 0,
		"Speaks every MCP revision from 2024-11-05 to 2026-07-28 with the client that starts it, and ends\n"
		"with its input.\n",
		{"claude mcp add fumehood -- /usr/local/bin/fumehood stdio",
		 "systemd-run --user --scope -p Delegate=yes fumehood stdio    # with cgroups, not as root"},
		{"0      its input has ended", "1      it could not serve, or lost a process of its own", WRONG}},
	[SERVE] = {"serve", "", "serve MCP over HTTP", 0,
		"Serves /mcp over HTTP/1.1 and HTTP/2, with TLS or without, to whoever has an API key, an access\n"
		"token of --oauth-issuer or a certificate of --tls-client-ca. SIGTERM ends it in order.\n",
		{"fumehood key create laptop && fumehood serve",
		 "fumehood serve --listen unix:/run/user/1000/fumehood.sock",
		 "fumehood serve --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem \\\n"
		 "      --public-url https://mcp.example.org/mcp"},
		{"0      ended by a signal", "1      it could not serve, or lost a process of its own", WRONG}},
	[KEY] = {"key", "create NAME | list | revoke NAME | root WHAT", "API keys for serve, and the root key", 2,
		"A key is printed once and kept as a hash. Servers that run know of a change within a second.\n"
		"root init makes the key that encrypts what is kept, root rotate another one, while no server runs;\n"
		"root show says which it is.\n",
		{"fumehood key create laptop --expires 90", "fumehood key list",
		 "fumehood key revoke laptop    # or the beginning of the key: fh_ and its ID",
		 "fumehood key root init --passphrase"},
		{"0      done", "1      not done", WRONG}},
	[IMAGE] = {"image", "create NAME | list | show NAME | remove NAME", "packages for the programs that run", 2,
		"create installs packages with this host's pip and npm into a folder that the sandboxes of a server\n"
		"with --image NAME see read-only. None of their code runs outside a sandbox. What had the name is\n"
		"replaced when all is done; a server keeps the image it was started with.\n",
		{"fumehood image create data --python 'numpy pandas matplotlib'",
		 "fumehood image create js --javascript 'lodash@4'",
		 "fumehood image show data    # what is in it, and whether it is still as it was made"},
		{"0      done, and intact", "1      not done, or not intact", WRONG}},
	[RUN] = {"run", "FILE [ARG...]", "run a program; - is standard input", OPTIONS_MAX_ARGS,
		"Options come before FILE: what follows it is the program's.\n",
		{"fumehood run --timeout-ms 2000 script.sh one two",
		 "echo 'print(6*7)' | fumehood run --language python -"},
		{"N      the program's own", "128+N  signal N ended it", "124    its time was over",
		 "125    something else ended it, or it could not be started", WRONG}},
	[DOCTOR] = {"doctor", "", "try what holds on this host, say how to fix the rest", 0,
		"Tries escapes from inside a sandbox and prints what holds.\n",
		{"fumehood doctor", "fumehood doctor --json"},
		{"0      all holds", "1      something is open, or there is no sandbox", WRONG,
		 "3      something is degraded"}},
	[AUDIT] = {"audit", "list | show RUN | verify", "read the record", 2,
		"list prints the newest rows, show all that is known of a run (the beginning of its id will do),\n"
		"verify recomputes the chain of hashes.\n",
		{"fumehood audit list --limit 5", "fumehood audit show run_98fb", "fumehood audit verify --json"},
		{"0      done, and intact", "1      no such run, no record, or it is not intact", WRONG}},
	[VERSION] = {"version", "", "print the version", 0, "", {"fumehood version --json"}, {"0      always", WRONG}},
	[HELP] = {"help", "[COMMAND]", "print this, or all about a command", 1, "", {"fumehood help serve", "fumehood serve --help"},
		{"0      there is such a command", WRONG}},
};
#undef WRONG
/* clang-format on */
_Static_assert(ARRAY_LEN(table) <= OPTIONS_MAX_FLAGS,
	       "options_argv's callers have room");
_Static_assert(ARRAY_LEN(commands) == COMMANDS, "one row per command");

/* --- help --------------------------------------------------------------------------------------- */

static const struct command_row *find_command(const char *name)
{
	for (unsigned i = 0; i < COMMANDS; i++)
		if (sv_eq(sv_of(name), sv_of(commands[i].name)))
			return &commands[i];
	return NULL;
}

/* The options that have one of these bits; an option of one command says so where all are listed. */
static void list_options(unsigned bits)
{
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		const struct option_row *row = &table[i];
		const char *only = "";
		char flag[64];

		if (!row->help || !(row->commands & bits))
			continue;
		for (unsigned c = 0; c < COMMANDS; c++)
			if (row->commands == BIT(c) && bits == ALL)
				only = commands[c].name;
		snprintf(flag, sizeof(flag), "--%s %s", row->name,
			 row->value ? row->value : "");
		printf("  %-29s%s%s%s\n", flag, only, *only ? ": " : "", row->help);
	}
}

static void print_lines(const char *title, const char *const *lines, unsigned max)
{
	printf("\n%s:\n", title);
	for (unsigned i = 0; i < max && lines[i]; i++)
		printf("  %s\n", lines[i]);
}

static void help_command(const struct command_row *c)
{
	printf("usage: fumehood %s [OPTION...]%s%s\n\n%s%s%s\noptions:\n", c->name,
	       *c->args ? " " : "", c->args, *c->about ? "" : c->help, c->about,
	       *c->about ? "" : "\n");
	list_options(BIT((unsigned)(c - commands)));
	print_lines("examples", c->examples, ARRAY_LEN(c->examples));
	print_lines("exit status", c->exits, ARRAY_LEN(c->exits));
}

static void help_all(void)
{
	printf("fumehood runs code nobody has read, and lets nothing out.\n\n"
	       "usage: fumehood COMMAND [OPTION...]\n\n");
	for (unsigned i = 0; i < COMMANDS; i++)
		printf("  %-8s%-46s%s\n", commands[i].name, commands[i].args,
		       commands[i].help);
	printf("\noptions (`fumehood help COMMAND` lists those of one, with examples):\n");
	list_options(ALL);
	printf("\nEach is also a variable (--max-runs: FUMEHOOD_MAX_RUNS) and a key of the "
	       "config file (max-runs).\nA flag comes before a variable, and that before "
	       "the file.\n\n"
	       "first steps:  fumehood doctor;  echo 'print(6*7)' | fumehood run --language "
	       "python -\n");
}

int options_help(const char *command, struct err *e)
{
	const struct command_row *c = command ? find_command(command) : NULL;

	if (command && !c) {
		err_set(e, ERR_INVALID, "there is no command %.40s", command);
		return err_fix(e, "`fumehood help` lists them");
	}
	if (c)
		help_command(c);
	else
		help_all();
	return 0;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* -1: value is neither yes nor no. A word that is guessed wrong could turn a protection off. */
static int set(struct options *o, const struct option_row *row, const char *value)
{
	static const struct {
		const char *word;
		bool yes;
	} words[] = {{"1", true},   {"true", true}, {"yes", true},
		     {"on", true},  {"0", false},   {"false", false},
		     {"no", false}, {"off", false}, {"", false}};
	char *at = (char *)o + row->at;

	if (row->value) {
		*(const char **)(void *)at = value;
		return 0;
	}
	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (sv_eq(sv_of(value), sv_of(words[i].word))) {
			*(bool *)(void *)at = words[i].yes;
			return 0;
		}
	return -1;
}

/* where: "--", or "" for a variable, whose name it is then. */
static int neither(const char *where, const char *name, const char *value,
		   struct err *e)
{
	err_set(e, ERR_INVALID, "%s%s=%.40s says neither yes nor no", where, name,
		value);
	return err_fix(e, "use 1 or 0, true or false, yes or no, on or off");
}

static const struct option_row *find(struct sv name)
{
	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (sv_eq(name, sv_of(table[i].name)))
			return &table[i];
	return NULL;
}

static int unknown(const char *flag, struct err *e)
{
	err_set(e, ERR_INVALID, "there is no option %.100s", flag);
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
	if (!row)
		return unknown(argv[*i], e);
	if (row->value && !value && *i + 1 < argc &&
	    !sv_starts(sv_of(argv[*i + 1]), SV("--")))
		value = argv[++*i];
	if (row->value && !value) {
		err_set(e, ERR_INVALID, "--%s needs a value", row->name);
		return err_fix(e, "--%s %s: %s", row->name, row->value, row->help);
	}
	if (set(o, row, value ? value : "1"))
		return neither("--", row->name, value, e);
	return 0;
}

/* As most programs have it: --help after a command is about that one. */
static bool take_common(struct options *o, struct sv a)
{
	const bool help = sv_eq(a, SV("--help")) || sv_eq(a, SV("-h"));

	if (!help && !sv_eq(a, SV("--version")))
		return false;
	o->nargs = help && o->command;
	o->args[0] = o->command;
	o->command = help ? "help" : "version";
	return true;
}

/* Roles are told the front's name before what the command was given. */
static int take_arg(struct options *o, const char *a, struct err *e)
{
	const unsigned more = sv_eq(sv_of(o->command), SV("role"));

	if (o->nargs == OPTIONS_MAX_ARGS + more) {
		err_set(e, ERR_LIMIT, "more than %d arguments", OPTIONS_MAX_ARGS);
		return err_fix(e, "give the program fewer, or a file with them");
	}
	o->args[o->nargs++] = a;
	return 0;
}

static int take_args(struct options *o, int argc, char **argv, struct err *e)
{
	bool only_args = false;

	for (int i = 1; i < argc; i++) {
		const struct sv a = sv_of(argv[i]);

		if (!only_args && sv_eq(a, SV("--"))) {
			only_args = true;
		} else if (!only_args && take_common(o, a)) {
			return 0;
		} else if (!only_args && sv_starts(a, SV("--"))) {
			if (take_flag(o, argc, argv, &i, e))
				return -1;
		} else if (!only_args && a.n > 1 && *a.p == '-') {
			return unknown(argv[i], e);
		} else if (!o->command) {
			o->command = argv[i];
		} else {
			if (take_arg(o, argv[i], e))
				return -1;
			/* what follows FILE is the program's */
			only_args |= sv_eq(sv_of(o->command), SV("run"));
		}
	}
	return 0;
}

static int check_args(const struct options *o, struct err *e)
{
	const struct command_row *c = o->command ? find_command(o->command) : NULL;

	if (!c || o->nargs <= c->max_args)
		return 0;
	err_set(e, ERR_INVALID, "%s takes no argument \"%.100s\"", c->name,
		o->args[c->max_args]);
	return err_fix(e, "`fumehood help %s` says what it takes", c->name);
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
	if (!schema)
		return -1;
	if (fd_read_file(path, &b, e))
		return err_fix(e, "name a file that can be read, with --config or "
				  "FUMEHOOD_CONFIG");
	tree = rpc_json_parse(buf_view(&b), e);
	bad = !tree || rpc_schema_check(schema, tree, false, e);
	cJSON_Delete(schema);
	if (bad)
		return err_fix(e, "correct %.200s; `man fumehood` lists its keys",
			       path);
	for (const struct cJSON *v = js_first(tree); v; v = js_next(v)) {
		const struct option_row *row = find(js_name(v));
		const char *text = text_of(v);

		if (!row || !text || set(o, row, text))
			return err_set(e, ERR_INTERNAL,
				       "the config schema and the options differ");
	}
	return 0;
}

/* max-runs: FUMEHOOD_MAX_RUNS */
static const char *variable_of(const struct option_row *row, char dst[64])
{
	snprintf(dst, 64, "FUMEHOOD_%s", row->name);
	for (char *p = dst; *p; p++)
		*p = (char)(*p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? *p - 32 : *p);
	return dst;
}

static int take_env(struct options *o, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		char name[64];
		const char *value = getenv(variable_of(&table[i], name));

		if (value && set(o, &table[i], value))
			return neither("", name, value, e);
	}
	return 0;
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
	{"max-runs", OF(max_runs), 1, 256, 16},
	{"max-queue", OF(max_queue), 0, 4096, 1024},
	{"max-sessions", OF(max_sessions), 1, 1024, 0},
	{"warm-cells", OF(warm_cells), 0, 64, 24},
	{"timeout-ms", OF2(timeout_ms, timeout_n), 100, 300000, -1},
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

	if (*text && (sv_to_i64(sv_of(text), &n) || n < row->min || n > row->max)) {
		err_set(e, ERR_INVALID, "--%s %.40s is no number from %lld to %lld",
			row->name, text, (long long)row->min, (long long)row->max);
		return err_fix(e,
			       "correct the option, its variable or the config file");
	}
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
	if (*o->log_level && log_level_of(sv_of(o->log_level), &o->level)) {
		err_set(e, ERR_INVALID, "there is no --log-level %.20s", o->log_level);
		return err_fix(e, "use error, warn, info or debug");
	}
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
			*(const char **)(void *)((char *)&unset + table[i].at) = "";
	/* the flags are read first for --config, and last so that they win */
	flags = unset;
	if (take_args(&flags, argc, argv, e) || check_args(&flags, e))
		return -1;
	*ret = flags;
	if (flags.command && sv_eq(sv_of(flags.command), SV("help")))
		return 0; /* whatever is wrong in variables and file: it says how */
	*ret = unset;
	if (*flags.config)
		file = flags.config;
	role = flags.command && sv_eq(sv_of(flags.command), SV("role"));
	if (!role && file && *file && take_file(ret, file, e))
		return -1;
	if (!role && take_env(ret, e))
		return -1;
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
