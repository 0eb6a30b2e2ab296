/* pipes.c: the pipes between a program and the front. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/supervise/keeper.h"

#include <sys/stat.h>

void pipes_none(struct pipes *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(p->from); i++)
		p->from[i] = p->to[i] = -1;
	p->in_from = p->in_to = -1;
}

/* As root a sandbox has another uid: without the mode, /dev/stdout could not be opened. */
static int open_one(int *from, int *to, mode_t mode, struct err *e)
{
	int p[2];

	if (fd_pipe(p, e))
		return -1;
	*from = p[0];
	*to = p[1];
	return fchmod(p[1], mode) ? err_sys(e, "the mode of a pipe") : 0;
}

int pipes_open(struct pipes *p, unsigned n, bool with_stdin, struct err *e)
{
	int bad = 0;

	pipes_none(p);
	for (unsigned i = 0; i < n && !bad; i++)
		bad = open_one(&p->from[i], &p->to[i], 0622, e);
	if (!bad && with_stdin)
		bad = open_one(&p->in_from, &p->in_to, 0644, e);
	if (bad)
		pipes_close(p);
	return bad;
}

void pipes_close_from(struct pipes *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(p->from); i++)
		fd_close(&p->from[i]);
}

void pipes_close(struct pipes *p)
{
	pipes_close_from(p);
	for (unsigned i = 0; i < ARRAY_LEN(p->to); i++)
		fd_close(&p->to[i]);
	fd_close(&p->in_from);
	fd_close(&p->in_to);
}
