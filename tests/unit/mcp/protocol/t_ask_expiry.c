/* t_ask_expiry.c: a requestState is good for ten minutes and not a moment more. ask.c is compiled in
 * here once more, with a clock of the test's own. */
#include "mcp/protocol/internal.h"
#include "tests/unit/mcp/protocol/more.h"

static uint64_t now_us;

static uint64_t fake_now(void)
{
	return now_us;
}

#define loop_now_us fake_now
#include "mcp/protocol/ask.c"

#define RETRY(state)                                                                   \
	LEGACY("1", "tools/call",                                                      \
	       "\"name\":\"quiz\",\"arguments\":{\"methods\":[\"roots\"]},"            \
	       "\"inputResponses\":{\"roots\":{\"roots\":[]}},\"requestState\":" state \
	       "," MODERN_META("\"roots\":{}", ""))

int main(void)
{
	const uint64_t born_us = 5000000, ten_minutes_us = 600000000;
	char state[4096], text[8192];
	struct rig r;

	rig_open_more(&r);
	now_us = born_us;
	say(&r,
	    LEGACY("1", "tools/call",
		   "\"name\":\"quiz\",\"arguments\":{\"methods\":[\"roots\"]}," MODERN_META(
			   "\"roots\":{}", "")));
	member_of(&r, 0, "requestState", state, sizeof(state));
	snprintf(text, sizeof(text), RETRY("\"%s\""), state);
	now_us = born_us + ten_minutes_us;
	say(&r, text);
	ok(SAYS(&r, "known"), "a state is good for ten minutes");
	now_us++;
	say(&r, text);
	ok(SAYS(&r, "-32602", "\"reason\":\"invalid_request_state\""),
	   "and then no more");
	now_us = UINT64_MAX;
	say(&r, text);
	ok(SAYS(&r, "invalid_request_state"), "ever");
	rig_close(&r);
	return tap_done();
}
