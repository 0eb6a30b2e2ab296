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

static const struct option_row {
	const char *name, *value, *env, *help;
	size_t at; /* of a const char *, or a bool when value is NULL */
} table[] = {
	{"state", "DIR", "FUMEHOOD_STATE", "where the audit log is kept",
	 offsetof(struct options, state)},
	{"config", "FILE", "FUMEHOOD_CONFIG",
	 "JSON file with any of these options as keys",
	 offsetof(struct options, config)},
	{"log-level", "LEVEL", "FUMEHOOD_LOG_LEVEL",
	 "error, warn (default), info or debug", offsetof(struct options, log_level)},
	{"json", NULL, "FUMEHOOD_JSON",
	 "machine-readable output of run, doctor, audit, version",
	 offsetof(struct options, json)},
	{"bwrap", "PATH", "FUMEHOOD_BWRAP", "the bubblewrap to use",
	 offsetof(struct options, bwrap)},
	{"uid-base", "N", "FUMEHOOD_UID_BASE",
	 "as root: first host uid for sandboxes (1900000000)",
	 offsetof(struct options, uid_base)},
	{"uid-count", "N", "FUMEHOOD_UID_COUNT", "as root: how many of them (256)",
	 offsetof(struct options, uid_count)},
	{"max-runs", "N", "FUMEHOOD_MAX_RUNS", "sandboxes at the same time (16)",
	 offsetof(struct options, max_runs)},
	{"max-queue", "N", "FUMEHOOD_MAX_QUEUE", "calls that may wait for one (64)",
	 offsetof(struct options, max_queue)},
	{"language", "NAME", "FUMEHOOD_LANGUAGE",
	 "run: instead of going by the file's ending",
	 offsetof(struct options, language)},
	{"timeout-ms", "N", "FUMEHOOD_TIMEOUT_MS", "run: wall clock limit (10000)",
	 offsetof(struct options, timeout_ms)},
	{"limit", "N", "FUMEHOOD_LIMIT", "audit list: the newest N rows (20)",
	 offsetof(struct options, limit)},
};

static const struct {
	const char *name, *args, *help;
} commands[] = {
	{"stdio", "", "serve MCP on standard input and output"},
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
		printf("  %-8s%-26s%s\n", commands[i].name, commands[i].args,
		       commands[i].help);
	printf("\noptions, also as variables and as keys of the config file:\n");
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		char flag[32];

		snprintf(flag, sizeof(flag), "--%s %s", table[i].name,
			 table[i].value ? table[i].value : "");
		printf("  %-20s%-21s%s\n", flag, table[i].env, table[i].help);
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

static int number(const char *name, const char *text, int64_t min, int64_t max,
		  int64_t *ret, struct err *e)
{
	if (!*text)
		return 0;
	if (sv_to_i64(sv_of(text), ret) || *ret < min || *ret > max)
		return err_set(e, ERR_INVALID,
			       "--%s %.40s: a number from %lld to %lld is wanted", name,
			       text, (long long)min, (long long)max);
	return 0;
}

static int check_numbers(struct options *o, struct err *e)
{
	int64_t uid_base = 0, uid_count = 0, max_runs = 0, max_queue = 0;

	o->timeout_n = -1;
	o->limit_n = 20;
	if (number("uid-base", o->uid_base, 1000, 2000000000, &uid_base, e) ||
	    number("uid-count", o->uid_count, 1, 256, &uid_count, e) ||
	    number("max-runs", o->max_runs, 1, 256, &max_runs, e) ||
	    number("max-queue", o->max_queue, 0, 256, &max_queue, e) ||
	    number("timeout-ms", o->timeout_ms, 0, INT64_MAX, &o->timeout_n, e) ||
	    number("limit", o->limit, 1, 1000000, &o->limit_n, e))
		return -1;
	o->uid_base_n = (uint32_t)uid_base;
	o->uid_count_n = (uint32_t)uid_count;
	o->max_runs_n = (uint32_t)max_runs;
	o->max_queue_n = (uint32_t)max_queue;
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
	static const struct options unset = {.state = "",
					     .config = "",
					     .log_level = "",
					     .bwrap = "",
					     .language = "",
					     .timeout_ms = "",
					     .uid_base = "",
					     .uid_count = "",
					     .max_runs = "",
					     .max_queue = "",
					     .limit = "",
					     .level = LOG_WARN};
	struct options flags = unset;
	const char *file = getenv("FUMEHOOD_CONFIG");

	/* the flags are read first for --config, and last so that they win */
	if (take_args(&flags, argc, argv, e))
		return -1;
	*ret = unset;
	if (*flags.config)
		file = flags.config;
	if (file && *file && take_file(ret, file, e))
		return -1;
	take_env(ret);
	ret->nargs = 0;
	if (take_args(ret, argc, argv, e) || check_numbers(ret, e))
		return -1;
	return find_state_dir(ret, e);
}
