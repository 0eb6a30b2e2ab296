/* changes.c: what a call has changed in its session's workspace, on its way from the guest to the front.
 *
 * It comes after the call's end, while the outcome is being recorded; a call that has it coming is answered when both
 * are there, and keeps its interpreter until then: the next call would change more. One whose changes do not come is
 * answered without. But where everything in the room was to be killed before (the session's last), that has not
 * happened then, and the session ends. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/supervise/keeper.h"

#define PATIENCE_MS 10000
#define LAST_PATIENCE_MS 30000

static void tell_changes(struct run *r, const struct guest_changes *c)
{
	struct ipc_msg m;

	ipc_start(&m, SUP_CHANGES, r->id);
	guest_put_changes(&m, c);
	keeper_tell(r->k, &m);
}

/* Nothing more will come. Frees r if it waited for nothing else. */
static void settle(struct run *r)
{
	r->changes_due = false;
	run_tell_ended(r);
	if (!r->recorded)
		return;
	loop_timer_stop(&r->k->loop, &r->timer);
	run_answer(r);
}

void changes_recorded(struct run *r)
{
	if (!r->changes_due) {
		run_answer(r);
		return;
	}
	r->recorded = true;
	loop_timer_set(&r->k->loop, &r->timer,
		       r->keep_files ? LAST_PATIENCE_MS : PATIENCE_MS);
}

void changes_lost(struct run *r)
{
	if (r->changes_due)
		tell_changes(
			r, &(struct guest_changes){.flags = GUEST_NOT_KNOWN, .fd = -1});
	settle(r);
}

/* The guest's look is given up, so that those after it come to their turn. */
void changes_timed_out(struct run *r)
{
	struct session *s = r->session;

	if (s && s->throwaway) {
		log_msg(LOG_ERROR, "event=room_not_cleared session=%s", s->id);
		ses_end(s, SUP_SESSION_DIED, "room_not_cleared");
		return; /* which settles it */
	}
	if (s)
		ses_signal(s, GUEST_KILL, r->id, GUEST_NO_SLOT);
	changes_lost(r);
}

static struct run *find(const struct session *s, uint64_t id)
{
	struct run *r = run_find(s->k, id);

	return r && r->session == s && r->is_call ? r : NULL;
}

bool changes_record(struct session *s, struct ipc_msg *m)
{
	struct run *r = find(s, m->id);
	struct guest_changes c;

	if (guest_get_changes(m, &c))
		return false;
	if (c.fd >= 0 && (!fd_is_sealed(c.fd) || fd_size(c.fd) < 0 ||
			  (uint64_t)fd_size(c.fd) > GUEST_MAX_CHANGES_BYTES)) {
		fd_close(&c.fd);
		return false;
	}
	/* what came too late was told as not known */
	if (r && r->changes_due) {
		const bool keeps = r->keep_files;

		tell_changes(r, &c);
		settle(r); /* r may be gone after it; before the next, which ends sessions and what waits there */
		if (keeps)
			ses_keep(s);
	}
	fd_close(&c.fd);
	return true;
}
