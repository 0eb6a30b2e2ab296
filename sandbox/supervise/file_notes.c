/* file_notes.c: uploads, deletions and downloads in the audit record.
 *
 * They are told of after they were done and nobody waits for the ledger: what a program in the sandbox does to the same
 * files is not recorded either. A file is read in many pieces, so reads of one file in a row are one. What comes
 * by a pipe goes past this process and has no hash here, nor has what would take long to hash. */
#include "sandbox/base/fd.h"
#include "sandbox/base/log.h"
#include "sandbox/ledger/ledger.h"
#include "sandbox/supervise/keeper.h"

#include <inttypes.h>
#include <sodium.h>
#include <sys/mman.h>

#define HASH_BYTES ((int64_t)4 << 20)
#define PATH_SHOWN 240

void file_hash(struct ask *a)
{
	const int64_t n = a->op == SUP_FILE_WRITE && fd_is_sealed(a->data_fd)
				  ? fd_size(a->data_fd)
				  : -1;
	void *p = NULL;

	if (n < 0 || n > HASH_BYTES)
		return;
	if (n)
		p = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, a->data_fd, 0);
	if (p == MAP_FAILED)
		return;
	crypto_hash_sha256(a->hash, n ? p : (const void *)"", (unsigned long long)n);
	a->hashed = true;
	if (n)
		munmap(p, (size_t)n);
}

static bool is_read_again(const struct ask *a)
{
	unsigned char hash[32];

	if (a->op != SUP_FILE_READ)
		return false;
	crypto_hash_sha256(hash, (const unsigned char *)a->path, a->path_n);
	if (!memcmp(hash, a->session->last_read, sizeof(hash)))
		return true;
	memcpy(a->session->last_read, hash, sizeof(hash));
	return false;
}

/* Paths can be longer than what a record takes: then their start. */
static void describe(const struct ask *a, uint64_t size, char *dst, size_t max)
{
	static const char *const done[SUP_FILE_OP_COUNT] = {
		[SUP_FILE_READ] = "read",
		[SUP_FILE_WRITE] = "written",
		[SUP_FILE_DELETE] = "deleted",
	};
	const struct sv path = {a->path, a->path_n};
	char shown[PATH_SHOWN], hex[2 * sizeof(a->hash) + 1] = "";

	log_esc(path, shown, sizeof(shown));
	if (a->hashed)
		sodium_bin2hex(hex, sizeof(hex), a->hash, sizeof(a->hash));
	snprintf(dst, max, "%s %" PRIu64 " bytes%s%s: %s", done[a->op], size,
		 a->hashed ? " sha256 " : "", hex, shown);
}

void file_note(const struct ask *a, uint64_t size)
{
	char detail[400];
	struct ipc_msg m;

	if (a->op == SUP_FILE_LIST || is_read_again(a))
		return;
	describe(a, size, detail, sizeof(detail));
	ipc_start(&m, LED_EVENT, 0);
	led_put_event(&m, &(struct led_event){.kind = SV("file"),
					      .run_id = sv_of(a->session->id),
					      .principal = sv_of(a->principal),
					      .detail = sv_of(detail)});
	if (keeper_ask_ledger(a->k, &m))
		log_msg(LOG_ERROR, "event=file_not_recorded session=%s",
			a->session->id);
}
