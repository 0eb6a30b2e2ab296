/* f_ipc.c: a hostile record, read field by field in an order the bytes themselves choose.
 *
 * What must hold: nothing is read outside the record; a bad record stays bad and gives zeros; the
 * end is reached only when every byte was consumed; what one side puts the other gets. */
#include "sandbox/base/ipc.h"

#include "sandbox/base/mem.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ipc_msg m, copy;

static bool inside(struct sv s)
{
	return s.n == 0 || (s.p >= m.data && s.n <= (size_t)(m.data + m.n - s.p));
}

static void get_one(unsigned kind)
{
	char text[17];
	uint32_t at = m.at;
	bool bad = m.bad;
	struct sv s;

	switch (kind % 6) {
	case 0:
		must(!ipc_get_u32(&m) || !bad);
		break;
	case 1:
		must(!ipc_get_u64(&m) || !bad);
		break;
	case 2:
		must(!ipc_get_i64(&m) || !bad);
		break;
	case 3:
		s = ipc_get_sv(&m, kind >> 3);
		must(s.n <= kind >> 3 && inside(s) && (!s.n || !bad));
		break;
	case 4:
		ipc_get_cstr(&m, text, sizeof(text));
		must(memchr(text, '\0', sizeof(text)) && (!text[0] || !bad));
		break;
	default:
		must(ipc_take_fd(&m) == -1 && m.bad);
	}
	must(m.at >= at && m.at <= m.n && (m.bad || !bad));
	must(!m.bad || !ipc_end(&m));
}

/* What can be read as strings to the end is written again and must be the same bytes. */
static void round_trip(struct sv bytes)
{
	struct err e = {.code = ERR_NONE};

	if (ipc_parse(bytes, &m, &e) < 0)
		return;
	ipc_start(&copy, m.type, m.id);
	while (m.at < m.n && !m.bad) {
		struct sv s = ipc_get_sv(&m, SIZE_MAX);

		if (!m.bad)
			ipc_put_sv(&copy, s);
	}
	must(ipc_end(&m) == !m.bad);
	if (!m.bad)
		must(!copy.bad && copy.n == m.n && !memcmp(copy.data, m.data, m.n));
	ipc_finish(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {.code = ERR_NONE};
	size_t steps = size ? data[0] % 32 : 0;
	struct sv order, bytes;

	/* the first byte: how many fields; then their kinds; then the record */
	if (size < 1 + steps)
		return 0;
	order = (struct sv){(const char *)data + 1, steps};
	bytes = (struct sv){order.p + steps, size - 1 - steps};
	if (ipc_parse(bytes, &m, &e) < 0) {
		must(e.code == ERR_INTERNAL && e.cause[0]);
	} else {
		must(m.n == bytes.n - 16 && !m.nfds);
		for (size_t i = 0; i < order.n; i++)
			get_one((unsigned char)order.p[i]);
		ipc_finish(&m);
	}
	round_trip(bytes);
	return 0;
}
