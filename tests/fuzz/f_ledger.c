/* f_ledger.c: a hostile record from the keeper, as the ledger decodes it.
 *
 * What must hold: a refused record says so as the keeper's fault; an accepted one is sound (its
 * encoder makes the same bytes of it) and its body is one line of well-formed UTF-8. */
#include "sandbox/ledger/records.h"

#include "sandbox/base/json.h"
#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ipc_msg m, again;

static void check_body(struct buf *b)
{
	struct sv body = buf_view(b);
	const char *end = NULL;
	struct cJSON *tree;

	must(!b->failed && body.n > 1 && sv_valid_utf8(body));
	for (size_t i = 0; i < body.n; i++)
		must((unsigned char)body.p[i] >= 0x20 && body.p[i] != 0x7f);
	tree = cJSON_ParseWithLengthOpts(body.p, body.n, &end, 0);
	must(tree && end == body.p + body.n);
	cJSON_Delete(tree);
}

static bool intent(struct buf *b, struct err *e)
{
	struct led_intent r;

	if (led_get_intent(&m, &r, e))
		return false;
	led_put_intent(&again, &r);
	led_body_intent(b, &r);
	return true;
}

static bool outcome(struct buf *b, struct err *e)
{
	struct led_outcome r;

	if (led_get_outcome(&m, &r, e))
		return false;
	led_put_outcome(&again, &r);
	led_body_outcome(b, &r);
	return true;
}

static bool event(struct buf *b, struct err *e)
{
	struct led_event r;

	if (led_get_event(&m, &r, e))
		return false;
	led_put_event(&again, &r);
	led_body_event(b, &r);
	return true;
}

static bool session(struct buf *b, struct err *e)
{
	struct led_session r;

	if (led_get_session(&m, &r, e))
		return false;
	led_put_session(&again, &r);
	led_body_session(b, &r);
	return true;
}

static bool session_end(struct buf *b, struct err *e)
{
	struct led_session_end r;

	if (led_get_session_end(&m, &r, e))
		return false;
	led_put_session_end(&again, &r);
	led_body_session_end(b, &r);
	return true;
}

/* A question has no body, so one is put there. */
static bool key_find(struct buf *b, struct err *e)
{
	struct sv id, hash;

	if (led_get_key_find(&m, &id, &hash, e))
		return false;
	must(id.n == LED_KEY_ID_SIZE - 1 && hash.n == LED_HASH_BYTES);
	led_put_key_find(&again, id, (const unsigned char *)hash.p);
	buf_str(b, "{}");
	return true;
}

static bool wrapped(struct buf *b, struct err *e)
{
	struct led_wrapped k;

	if (led_take_wrapped(&m, &k, e))
		return false;
	must(k.tenant.n && k.blob.n <= LED_WRAPPED_MAX);
	led_put_wrapped(&again, &k);
	buf_str(b, "{}");
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF b = {.max = LED_MAX_BODY};
	struct err e = {0};
	bool good;

	if (ipc_parse((struct sv){(const char *)data, size}, &m, &e) != 1)
		return 0;
	ipc_start(&again, m.type, m.id);
	good = m.type == LED_INTENT	     ? intent(&b, &e)
	       : m.type == LED_OUTCOME	     ? outcome(&b, &e)
	       : m.type == LED_KEY_FIND	     ? key_find(&b, &e)
	       : m.type == LED_SESSION_OPEN  ? session(&b, &e)
	       : m.type == LED_SESSION_CLOSE ? session_end(&b, &e)
	       : m.type >= LED_WRAPPED_PUT && m.type <= LED_WRAPPED_DESTROY
		       ? wrapped(&b, &e)
		       : event(&b, &e);
	if (good) {
		must(!again.bad && again.n == m.n && !memcmp(again.data, m.data, m.n));
		check_body(&b);
	} else {
		must(e.code == ERR_INTERNAL && e.cause[0]);
	}
	ipc_finish(&m);
	return 0;
}
