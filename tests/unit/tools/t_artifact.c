/* t_artifact.c: files go in and out whole or not at all, piece by piece, and are what they are said to be. */
#include "tests/unit/tools/fake.h"
#include "tools/artifact.h"

#include <signal.h>
#include <sys/mman.h>

#define IN "\"session_id\":\"" SES_ID "\""
/* SHA-256 of "abc" and of nothing, FIPS 180-2 */
#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static int file_of(struct sv bytes)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	must(fd >= 0 && !fd_write_all(fd, bytes.p, bytes.n));
	return fd;
}

static void give(struct sv bytes)
{
	fake_file(&(struct sup_file_done){.size = bytes.n,
					  .mtime_ns = 1767323045000000000,
					  .fd = file_of(bytes)});
}

/* --- download ------------------------------------------------------------------------------------- */

static void download(struct keeper *k, struct called *c, const char *more,
		     struct sv file)
{
	char args[256];

	snprintf(args, sizeof(args), "{" IN ",\"path\":\"a/b\"%s}", more);
	must(!call_start(c, k, "artifact_download", args) &&
	     fake.question.kind == FAKE_FILE);
	give(file);
	keeper_until_ended(k, c);
}

static void test_text(struct keeper *k)
{
	struct called c;

	download(k, &c, "", SV("abc"));
	ok(fake.question.file.op == SUP_FILE_READ &&
		   !strcmp(fake.question.path, "a/b") &&
		   !strcmp(fake.question.id, SES_ID) &&
		   !strcmp(fake.question.credential, "cred"),
	   "the keeper is asked for the file, in the caller's name");
	ok(is_of_schema(&c) && !strcmp(text_of(&c, "content"), "abc") &&
		   !strcmp(text_of(&c, "encoding"), "text") &&
		   !strcmp(text_of(&c, "sha256"), SHA_ABC) &&
		   !strcmp(text_of(&c, "mime_type"), "text/plain") &&
		   int_of(&c, "size") == 3 &&
		   !strcmp(text_of(&c, "modified_at"), "2026-01-02T03:04:05Z") &&
		   js_is_true(js_get(c.structured, "eof")) &&
		   !js_get(c.structured, "next_offset"),
	   "text comes as text, with what it is");
	ok(says(&c.text, SHA_ABC) && says(&c.text, "untrusted data"),
	   "also in the text, marked");
	called_finish(&c);
	download(k, &c, "", SV(""));
	ok(is_of_schema(&c) && !strcmp(text_of(&c, "sha256"), SHA_EMPTY) &&
		   !int_of(&c, "length"),
	   "an empty file is empty");
	called_finish(&c);
}

static void test_bytes(struct keeper *k)
{
	struct called c;

	download(k, &c, "", SV("a\xff\0b"));
	ok(is_of_schema(&c) && !strcmp(text_of(&c, "encoding"), "base64") &&
		   !strcmp(text_of(&c, "content"), "Yf8AYg==") &&
		   !strcmp(text_of(&c, "mime_type"), "application/octet-stream"),
	   "what is no text comes in base64");
	called_finish(&c);
	download(k, &c, ",\"encoding\":\"base64\"", SV("abc"));
	ok(!strcmp(text_of(&c, "content"), "YWJj"), "or what is wanted so");
	called_finish(&c);
	download(k, &c, ",\"encoding\":\"text\"", SV("a\xff"));
	ok(c.failed && c.err.code == ERR_INVALID && strstr(c.err.remediation, "base64"),
	   "text that is none is refused");
	called_finish(&c);
}

static void test_image(struct keeper *k)
{
	static const char png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1rest";
	struct called c;

	download(k, &c, "", (struct sv){png, sizeof(png) - 1});
	ok(is_of_schema(&c) && says(&c.content, "\"type\":\"image\"") &&
		   c.plain_n == c.content.n - 1 && !says(&c.text, "iVBOR"),
	   "a picture is shown");
	called_finish(&c);
	download(k, &c, ",\"offset\":1", (struct sv){png, sizeof(png) - 1});
	ok(is_of_schema(&c) && !c.content.n &&
		   !strcmp(text_of(&c, "mime_type"), "image/png") &&
		   !js_get(c.structured, "sha256"),
	   "a part of one is not");
	called_finish(&c);
}

/* Pieces of any length put together are the file. */
static void test_pieces(struct keeper *k)
{
	static const char file[] = "h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
	const struct sv whole = {file, sizeof(file) - 1};

	for (unsigned length = 1; length < 12; length++) {
		AUTO_BUF got = {0};
		int64_t offset = 0;
		bool text = true;

		buf_init(&got, 100);
		while (offset >= 0 && offset < (int64_t)whole.n) {
			char more[64];
			struct called c;

			snprintf(more, sizeof(more), ",\"offset\":%d,\"length\":%u",
				 (int)offset, length);
			download(k, &c, more, whole);
			text = text && !strcmp(text_of(&c, "encoding"), "text") &&
			       is_of_schema(&c);
			buf_str(&got, text_of(&c, "content"));
			offset = int_of(&c, "next_offset");
			called_finish(&c);
		}
		ok(text && sv_eq(buf_view(&got), whole), "in pieces of %u", length);
	}
}

static void test_download_ends(struct keeper *k)
{
	struct called c;

	download(k, &c, ",\"offset\":4", SV("abc"));
	ok(c.failed && c.err.code == ERR_INVALID, "past its end there is nothing");
	called_finish(&c);
	download(k, &c, ",\"offset\":3", SV("abc"));
	ok(is_of_schema(&c) && !int_of(&c, "length") &&
		   js_is_true(js_get(c.structured, "eof")),
	   "at its end there is nothing more");
	called_finish(&c);
	must(!call_start(&c, k, "artifact_download", "{" IN ",\"path\":\"x\"}"));
	fake_file(&(struct sup_file_done){.size = 100, .fd = file_of(SV("abc"))});
	keeper_until_ended(k, &c);
	ok(is_of_schema(&c) && int_of(&c, "length") == 3 &&
		   !js_get(c.structured, "sha256") &&
		   !js_is_true(js_get(c.structured, "eof")),
	   "of a file that has become shorter what is there, and no hash");
	called_finish(&c);
	must(!call_start(&c, k, "artifact_download", "{" IN ",\"path\":\"x\"}"));
	fake_file(&(struct sup_file_done){.size = 3, .fd = file_of(SV("abcdef"))});
	keeper_until_ended(k, &c);
	ok(!strcmp(text_of(&c, "content"), "abc") &&
		   !strcmp(text_of(&c, "sha256"), SHA_ABC),
	   "of one that has become longer what it was");
	called_finish(&c);
}

/* 100 MiB, and one byte more; sparse, so that it costs little. */
static void test_large(struct keeper *k)
{
	static const uint64_t sizes[] = {ARTIFACT_MAX_BYTES, ARTIFACT_MAX_BYTES + 1};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		int fd = memfd_create("large", MFD_CLOEXEC);
		unsigned turns = 0;
		struct called c;

		must(fd >= 0 && !ftruncate(fd, (off_t)sizes[i]));
		must(!call_start(&c, k, "artifact_download",
				 "{" IN ",\"path\":\"x\",\"length\":99999999}"));
		fake_file(&(struct sup_file_done){.size = sizes[i], .fd = fd});
		while (!c.ended) {
			keeper_turn(k);
			turns++;
		}
		ok(int_of(&c, "length") == ARTIFACT_MAX_PAGE_BYTES &&
			   is_of_schema(&c) &&
			   !strcmp(text_of(&c, "sha256"),
				   i ? ""
				     : "20492a4d0d84f8beb1767f6616229f85d44c2827b64bdbfb260ee12fa1109e0e"),
		   "a file of %llu bytes", (unsigned long long)sizes[i]);
		/* sixty at a time must not keep another call waiting for long */
		ok(i || turns > 50,
		   "is hashed in small pieces, with turns of the loop between: %u",
		   turns);
		called_finish(&c);
	}
}

static void test_download_cancelled(struct keeper *k)
{
	int fd = memfd_create("large", MFD_CLOEXEC);
	struct called c;

	must(!call_start(&c, k, "artifact_download", "{" IN ",\"path\":\"x\"}"));
	c.call.tool->cancel(&c.call);
	ok(c.ended == 1 && fake.question.kind == FAKE_NOTHING,
	   "a call that is cancelled while it asks ends");
	called_finish(&c);
	must(fd >= 0 && !ftruncate(fd, (off_t)ARTIFACT_MAX_BYTES));
	must(!call_start(&c, k, "artifact_download", "{" IN ",\"path\":\"x\"}"));
	fake_file(&(struct sup_file_done){.size = ARTIFACT_MAX_BYTES, .fd = fd});
	ok(!c.ended, "one is hashing");
	ok(!((struct artifact *)c.call.state)->content.p,
	   "and holds no piece meanwhile: there may be hundreds");
	c.call.tool->cancel(&c.call);
	ok(c.ended == 1 && fcntl(fd, F_GETFD) < 0,
	   "and ends too, with its descriptor closed");
	keeper_turn(k);
	called_finish(&c);
}

/* --- upload --------------------------------------------------------------------------------------- */

static void test_upload(struct keeper *k)
{
	struct called c;

	must(!call_start(&c, k, "artifact_upload",
			 "{" IN ",\"path\":\"a/b\",\"content\":\"abc\"}"));
	ok(fake.question.file.op == SUP_FILE_WRITE && !fake.question.file.keep &&
		   fake.question.file.min_bytes == 3 &&
		   fake.question.file.max_bytes == 3 &&
		   fd_holds(fake.question.file.data_fd, "abc"),
	   "content goes sealed, with its length");
	fd_close(&fake.question.file.data_fd);
	fake_file(&(struct sup_file_done){.size = 3, .fd = -1});
	ok(is_of_schema(&c) && int_of(&c, "size") == 3 &&
		   !strcmp(text_of(&c, "sha256"), SHA_ABC) &&
		   !strcmp(text_of(&c, "mime_type"), "text/plain"),
	   "and what it is comes back");
	called_finish(&c);
	must(!call_start(
		&c, k, "artifact_upload",
		"{" IN
		",\"path\":\"b\",\"content\":\"Yf8A\",\"encoding\":\"base64\",\"overwrite\":false}"));
	ok(fake.question.file.keep && fake.question.file.min_bytes == 3,
	   "bytes in base64; what is there stays");
	fd_close(&fake.question.file.data_fd);
	fake_fails(ERR_INVALID, "it exists");
	ok(c.failed && c.err.code == ERR_INVALID, "a refusal is an error");
	called_finish(&c);
}

/* What a sandbox would read from the pipe of the upload under way. */
static void drain(struct keeper *k, struct buf *ret)
{
	int fd = fake.question.file.data_fd;
	ssize_t n;

	must(!fd_set_nonblock(fd));
	for (;;) {
		char bytes[10000];

		n = read(fd, bytes, sizeof(bytes));
		if (n > 0)
			buf_add(ret, bytes, (size_t)n);
		else if (!n)
			break;
		else
			keeper_turn(k);
	}
	fd_close(&fake.question.file.data_fd);
}

static void test_append(struct keeper *k)
{
	AUTO_BUF old = {0};
	AUTO_BUF got = {0};
	unsigned char sha[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(sha) + 1];
	struct called c;

	buf_init(&old, 1 << 20);
	buf_init(&got, 1 << 20);
	for (unsigned i = 0; i < 60000; i++)
		buf_fmt(&old, "%u\n", i);
	must(!call_start(&c, k, "artifact_upload",
			 "{" IN
			 ",\"path\":\"a\",\"content\":\"tail\",\"offset\":300000}"));
	ok(fake.question.file.op == SUP_FILE_READ, "the file that is there is opened");
	give(buf_view(&old));
	ok(fake.question.kind == FAKE_FILE && fake.question.file.op == SUP_FILE_WRITE &&
		   fake.question.file.min_bytes == 300004 &&
		   fake.question.file.max_bytes == 300004,
	   "then the new one is written, of a length told beforehand");
	drain(k, &got);
	ok(got.n == 300004 && !memcmp(got.p, old.p, 300000) &&
		   sv_ends(buf_view(&got), SV("tail")),
	   "it is the old one up to there, and the content");
	fake_file(&(struct sup_file_done){.size = 300004, .fd = -1});
	crypto_hash_sha256(sha, (unsigned char *)got.p, got.n);
	sodium_bin2hex(hex, sizeof(hex), sha, sizeof(sha));
	ok(is_of_schema(&c) && !strcmp(text_of(&c, "sha256"), hex) &&
		   int_of(&c, "size") == 300004,
	   "and its hash is of all of it");
	called_finish(&c);
}

static void test_append_faults(struct keeper *k)
{
	AUTO_BUF got = {0};
	struct called c;
	int fd;

	must(!call_start(&c, k, "artifact_upload",
			 "{" IN ",\"path\":\"a\",\"content\":\"x\",\"offset\":4}"));
	give(SV("abc"));
	ok(c.failed && c.err.code == ERR_INVALID && strstr(c.err.cause, "3 bytes"),
	   "an offset past the end is refused");
	called_finish(&c);
	must(!call_start(&c, k, "artifact_upload",
			 "{" IN ",\"path\":\"a\",\"content\":\"x\",\"offset\":4}"));
	fake_file(&(struct sup_file_done){.size = 4, .fd = file_of(SV("ab"))});
	buf_init(&got, 100);
	drain(k, &got);
	ok(sv_eq(buf_view(&got), SV("ab")),
	   "of a file that has become shorter no more goes, and no content after it");
	fake_fails(ERR_INVALID, "too few bytes");
	ok(c.ended == 1 && c.failed, "so that nothing is written");
	called_finish(&c);
	must(!call_start(&c, k, "artifact_upload",
			 "{" IN ",\"path\":\"a\",\"content\":\"x\",\"offset\":3}"));
	give(SV("abc"));
	fd_close(&fake.question.file.data_fd);
	keeper_turn(k);
	ok(!c.ended, "a sandbox that does not read ends nothing by itself");
	fake_fails(ERR_LOST, "gone");
	ok(c.ended == 1 && c.failed, "its answer does");
	called_finish(&c);
	must(!call_start(&c, k, "artifact_upload",
			 "{" IN ",\"path\":\"a\",\"content\":\"x\",\"offset\":3}"));
	fd = file_of(SV("abc"));
	fake.refuse = true;
	fake_file(&(struct sup_file_done){.size = 3, .fd = fd});
	ok(c.ended == 1 && c.failed && fcntl(fd, F_GETFD) < 0,
	   "nor one that cannot be asked any more");
	called_finish(&c);
	must(!call_start(&c, k, "artifact_upload",
			 "{" IN ",\"path\":\"a\",\"content\":\"x\",\"offset\":3}"));
	give(SV("abc"));
	c.call.tool->cancel(&c.call);
	ok(c.ended == 1 && fake.question.kind == FAKE_NOTHING,
	   "cancelled while it is sent, it ends");
	fd_close(&fake.question.file.data_fd);
	keeper_turn(k);
	called_finish(&c);
}

static void test_bad_arguments(struct keeper *k)
{
	static const struct {
		const char *tool, *args;
		enum err_code code;
	} rows[] = {
		{"artifact_upload", ",\"path\":\"\",\"content\":\"\"", ERR_INVALID},
		{"artifact_upload", ",\"path\":\"/etc/x\",\"content\":\"\"",
		 ERR_INVALID},
		{"artifact_upload", ",\"path\":\"../x\",\"content\":\"\"", ERR_INVALID},
		{"artifact_upload", ",\"path\":\"a/./x\",\"content\":\"\"",
		 ERR_INVALID},
		{"artifact_upload",
		 ",\"path\":\"a\",\"content\":\"*\",\"encoding\":\"base64\"",
		 ERR_INVALID},
		{"artifact_upload",
		 ",\"path\":\"a\",\"content\":\"x\",\"offset\":104857600", ERR_LIMIT},
		{"artifact_upload",
		 ",\"path\":\"a\",\"content\":\"x\",\"offset\":9007199254740992",
		 ERR_LIMIT},
		{"artifact_upload", ",\"path\":\"a\",\"content\":\"x\",\"offset\":-1",
		 ERR_INVALID},
		{"artifact_download", ",\"path\":\"a//b\"", ERR_INVALID},
		{"artifact_download", ",\"path\":\"a\",\"offset\":-1", ERR_INVALID},
		{"artifact_download", ",\"path\":\"a\",\"length\":0", ERR_INVALID},
		{"artifact_delete", ",\"path\":\"a/..\"", ERR_INVALID},
		{"artifact_list", ",\"path\":\"..\"", ERR_INVALID},
		{"artifact_list", ",\"offset\":100000", ERR_INVALID},
		{"artifact_list", ",\"limit\":0", ERR_INVALID},
	};
	unsigned asked = fake.asked;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char args[256];
		struct called c;

		snprintf(args, sizeof(args), "{" IN "%s}", rows[i].args);
		ok(call_start(&c, k, rows[i].tool, args) == -1 &&
			   c.err.code == rows[i].code && !c.call.state &&
			   fake.asked == asked,
		   "%s refuses %s: %s", rows[i].tool, rows[i].args, c.err.cause);
		called_finish(&c);
	}
}

static void test_delete(struct keeper *k)
{
	struct called c;

	must(!call_start(&c, k, "artifact_delete", "{" IN ",\"path\":\"a\"}"));
	ok(fake.question.file.op == SUP_FILE_DELETE && !strcmp(fake.question.path, "a"),
	   "a file is deleted");
	fake_file(&(struct sup_file_done){.is_dir = true, .fd = -1});
	ok(is_of_schema(&c) && !strcmp(text_of(&c, "type"), "folder"),
	   "and what it was is told");
	called_finish(&c);
}

static void test_no_memory(struct keeper *k)
{
	struct called c;
	long n = 1;

	for (; n < 100; n++) {
		must(!call_start(&c, k, "artifact_download",
				 "{" IN ",\"path\":\"a\"}"));
		mem_fail_after(n);
		give(SV("a\xff"));
		mem_fail_after(0);
		keeper_until_ended(k, &c);
		if (!c.failed)
			break;
		must(c.ended == 1 && c.err.code == ERR_LIMIT);
		called_finish(&c);
	}
	ok(n > 3 && n < 100, "each of %ld allocations may fail", n - 1);
	called_finish(&c);
}

int main(void)
{
	struct keeper k;

	/* as the server does: a sandbox may stop reading */
	signal(SIGPIPE, SIG_IGN);
	fake_init(&k);
	test_text(&k);
	test_bytes(&k);
	test_image(&k);
	test_pieces(&k);
	test_download_ends(&k);
	test_large(&k);
	test_download_cancelled(&k);
	test_upload(&k);
	test_append(&k);
	test_append_faults(&k);
	test_bad_arguments(&k);
	test_delete(&k);
	test_no_memory(&k);
	fake_finish(&k);
	return tap_done();
}
