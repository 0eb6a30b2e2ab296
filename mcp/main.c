/* main.c: the command and the table of roles; the only file that sees every room. How the processes
 * live together is in family.h. */
#include "mcp/auth/auth.h"
#include "mcp/cli_image.h"
#include "mcp/cli_key.h"
#include "mcp/family.h"
#include "mcp/front.h"
#include "mcp/image.h"
#include "mcp/runtimes.h"
#include "mcp/serve.h"
#include "mcp/transport/transport.h"
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/launch/launch.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/supervise.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
/* The leak check runs ptrace at exit, which the roles' filters refuse; unit tests check leaks. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

/* --- roles: what each is when it starts ------------------------------------------------------- */

static int confine_ledger(void *arg)
{
	const struct options *o = arg;
	const char *const dirs[] = {o->state_dir, NULL};
	struct err e = {0};

	if (!launch_role_confine(LAUNCH_LEDGER, dirs, 0, &e))
		return 0;
	log_err("ledger_not_confined", &e);
	return -1;
}

static int be_ledger(struct options *o)
{
	log_open("ledger", o->level);
	return led_main(&(struct led_opts){.sock = 3, .state_dir = o->state_dir},
			confine_ledger, o);
}

/* The image is the last of its descriptors. */
static int keep(struct options *o, unsigned modes, int auth_sock, uint32_t warm_cells)
{
	static struct sup_image image;
	const int dir = auth_sock < 0 ? 5 : auth_sock + 1;
	struct err e = {0};

	log_open("keeper", o->level);
	if (*o->image && image_facts(dir, &image, &e)) {
		log_err("keeper_failed", &e);
		return 1;
	}
	return sup_keeper_main(&(struct sup_keeper_opts){
		.front_sock = 3,
		.ledger_sock = 4,
		.auth_sock = auth_sock,
		.auth_modes = modes,
		.bwrap_path = *o->bwrap ? o->bwrap : NULL,
		.uid_base = o->uid_base_n,
		.uid_count = o->uid_count_n,
		.max_runs = o->max_runs_n,
		.max_queue = o->max_queue_n,
		.max_sessions = o->max_sessions_n,
		.warm_cells = warm_cells,
		.image = *o->image ? &image : NULL,
		.image_dir = dir,
	});
}

static int be_keeper(struct options *o)
{
	return keep(o, SUP_AUTH_LOCAL, -1, o->warm_cells_n);
}

/* Of one run: nothing is made ready for a next. */
static int be_keeper_once(struct options *o)
{
	return keep(o, SUP_AUTH_LOCAL, -1, 0);
}

static int be_keeper_serve(struct options *o)
{
	const unsigned modes = serve_auth_modes(o);

	return keep(o, modes, modes & (SUP_AUTH_OAUTH | SUP_AUTH_CERT) ? 5 : -1,
		    o->warm_cells_n);
}

static int be_auth(struct options *o)
{
	const bool file = *o->oauth_issuer && !auth_jwks_is_url(o->oauth_jwks);
	const bool fetched = *o->oauth_issuer && !file;

	log_open("auth", o->level);
	return auth_main(&(struct auth_opts){
		.config = {.issuer = o->oauth_issuer,
			   .audience = *o->oauth_audience ? o->oauth_audience
							  : o->public_url,
			   .scope = o->oauth_scope,
			   .jwks = o->oauth_jwks},
		.keeper_sock = 3,
		.jwks_fd = file ? 4 : -1,
		.fetch_sock = fetched ? 4 : -1,
		.uid = launch_auth_uid(o->uid_base_n),
	});
}

static int be_fetch(struct options *o)
{
	log_open("fetch", o->level);
	return auth_fetch_main(
		&(struct fetch_opts){.url = o->oauth_jwks,
				     .auth_sock = 3,
				     .uid = launch_fetch_uid(o->uid_base_n)});
}

static int be_front_http(struct options *o)
{
	log_open("front", o->level);
	return front_http(o,
			  &(struct front_http_fds){.keeper = 3, .ready = 4, .rest = 5});
}

static int be_front_stdio(struct options *o)
{
	log_open("front", o->level);
	return front_stdio(
		o, &(struct front_fds){.keeper = 3, .in = 4, .out = 5, .file = -1});
}

static int be_front_run(struct options *o)
{
	log_open("front", o->level);
	return front_run(
		o, &(struct front_fds){.keeper = 3, .in = 4, .out = 5, .file = 6});
}

static int be_front_doctor(struct options *o)
{
	log_open("front", o->level);
	return front_doctor(
		o, &(struct front_fds){.keeper = 3, .in = -1, .out = 5, .file = -1});
}

static const struct {
	const char *name;
	int (*be)(struct options *o);
} role_mains[] = {
	{"ledger", be_ledger},
	{"keeper", be_keeper},
	{"keeper-once", be_keeper_once},
	{"keeper-serve", be_keeper_serve},
	{"auth", be_auth},
	{"fetch", be_fetch},
	{"front-http", be_front_http},
	{"front-stdio", be_front_stdio},
	{"front-run", be_front_run},
	{"front-doctor", be_front_doctor},
};

static int be_role(struct options *o)
{
	for (unsigned i = 0; o->nargs && i < ARRAY_LEN(role_mains); i++)
		if (sv_eq(sv_of(o->args[0]), sv_of(role_mains[i].name)))
			return role_mains[i].be(o);
	return 2;
}

/* --- commands ----------------------------------------------------------------------------------- */

/* io: the front's descriptors from 4 on; taken over. */
static int run_family(const char *front, const struct options *o, const int *io,
		      unsigned n)
{
	struct family_plan p = {
		.front = front,
		.keeper = strcmp(front, "front-stdio") != 0 ? "keeper-once" : "keeper",
		.nfds = n,
		.jwks_fd = -1,
		.ready_fd = -1};

	memcpy(p.fds, io, n * sizeof(*io));
	return family_run(o, &p);
}

static int cmd_stdio(struct options *o)
{
	int io[2] = {-1, -1};
	struct err e = {0};

	if (stdio_take_over(&io[0], &io[1], &e))
		return complain(&e);
	return run_family("front-stdio", o, io, 2);
}

/* The front may open nothing, so the file is opened here. */
static int cmd_run(struct options *o)
{
	struct err e = {0};
	const bool from_stdin = o->nargs && sv_eq(sv_of(o->args[0]), SV("-"));
	int io[3];

	if (!o->nargs) {
		err_set(&e, ERR_INVALID, "run needs a file");
		err_fix(&e, "fumehood run [OPTION...] FILE [ARG...]; - reads the "
			    "program from standard input");
		return complain(&e);
	}
	io[0] = from_stdin ? open("/dev/null", O_RDONLY | O_CLOEXEC)
			   : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	io[1] = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	io[2] = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
			   : open(o->args[0], O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (io[2] < 0) {
		err_sys(&e, "%.200s", o->args[0]);
		err_fix(&e, "name a file that can be read");
		return complain(&e);
	}
	return run_family("front-run", o, io, 3);
}

static int cmd_doctor(struct options *o)
{
	const int io[] = {open("/dev/null", O_RDWR | O_CLOEXEC),
			  fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)};
	struct err e = {0};
	AUTO_FD image = *o->image ? image_open(o, &e) : -1;

	/* servers look at owners, modes and sizes alone: this is where all of it is read */
	if (*o->image && (image < 0 || image_verify(image, &e))) {
		complain(&e);
		return 1;
	}
	return run_family("front-doctor", o, io, 2);
}

static int audit_verify(const struct led_query *q, FILE *out, struct err *e)
{
	return led_audit_verify(q, out, NULL, e);
}

static int cmd_audit(struct options *o)
{
	static const struct {
		const char *name;
		unsigned nargs;
		int (*run)(const struct led_query *q, FILE *out, struct err *e);
	} deeds[] = {{"list", 1, led_audit_list},
		     {"show", 2, led_audit_show},
		     {"verify", 1, audit_verify}};
	const struct led_query q = {.state_dir = o->state_dir,
				    .json = o->json,
				    .limit = o->limit_n,
				    .run_id = sv_of(o->nargs > 1 ? o->args[1] : "")};
	struct err e = {0};

	if (!o->nargs)
		o->args[o->nargs++] = "list";
	for (unsigned i = 0; i < ARRAY_LEN(deeds); i++) {
		int bad;

		if (o->nargs != deeds[i].nargs ||
		    !sv_eq(sv_of(o->args[0]), sv_of(deeds[i].name)))
			continue;
		bad = deeds[i].run(&q, stdout, &e);
		fflush(stdout);
		if (bad)
			complain(&e);
		return bad ? 1 : 0;
	}
	err_set(&e, ERR_INVALID, "wrong arguments: audit %.40s", o->args[0]);
	err_fix(&e, "fumehood audit list, audit show RUN, or audit verify");
	return complain(&e);
}

static int cmd_version(struct options *o)
{
	printf(o->json ? "{\"name\":\"fumehood\",\"version\":\"%s\"}\n"
		       : "fumehood %s\n",
	       FUMEHOOD_VERSION);
	return 0;
}

static int cmd_help(struct options *o)
{
	struct err e = {0};

	return options_help(o->nargs ? o->args[0] : NULL, &e) ? complain(&e) : 0;
}

static const struct {
	const char *name;
	int (*run)(struct options *o);
} commands[] = {
	{"stdio", cmd_stdio},	{"serve", cmd_serve}, {"run", cmd_run},
	{"doctor", cmd_doctor}, {"audit", cmd_audit}, {"key", cli_key},
	{"image", cli_image},	{"help", cmd_help},   {"version", cmd_version},
	{"role", be_role},
};

/* Those that look at the table of languages. */
static bool runs_programs(const char *command)
{
	static const char *const all[] = {"stdio",  "serve", "run",
					  "doctor", "image", "role"};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		if (sv_eq(sv_of(command), sv_of(all[i])))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static struct options o;
	struct err e = {0};

	umask(077);
	if (options_parse(argc, argv, &o, &e) ||
	    (*o.runtimes && o.command && runs_programs(o.command) &&
	     runtimes_load(&o.runtimes, &e)))
		return complain(&e);
	log_open("main", o.level);
	if (!o.command) {
		options_help(NULL, &e);
		return 2;
	}
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		if (sv_eq(sv_of(o.command), sv_of(commands[i].name)))
			return commands[i].run(&o);
	err_set(&e, ERR_INVALID, "there is no command %.40s", o.command);
	err_fix(&e, "`fumehood help` lists them");
	return complain(&e);
}
