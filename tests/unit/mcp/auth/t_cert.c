/* Which name a client certificate gives, and which give none. */
#include "mcp/auth/cert.h"

#include "tokens.h"

#include <mbedtls/x509_crt.h>

static struct keys k;
static mbedtls_pk_context pk;

struct made {
	const char *subject;
	struct {
		int tag; /* 0x86 URI, 0x82 DNS */
		const char *text;
	} san[3];
	const char *from, *to;
};

/* Self-signed: who signed it was TLS' business. */
static struct sv make(const struct made *m, unsigned char der[4096])
{
	mbedtls_x509write_cert w;
	mbedtls_x509_san_list list[3] = {0};
	unsigned n = 0;
	int bytes;

	mbedtls_x509write_crt_init(&w);
	mbedtls_x509write_crt_set_subject_key(&w, &pk);
	mbedtls_x509write_crt_set_issuer_key(&w, &pk);
	mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
	must(!mbedtls_x509write_crt_set_subject_name(&w, m->subject) &&
	     !mbedtls_x509write_crt_set_issuer_name(&w, "CN=test"));
	must(!mbedtls_x509write_crt_set_serial_raw(&w, (unsigned char[]){1}, 1));
	must(!mbedtls_x509write_crt_set_validity(&w,
						 m->from ? m->from : "20230101000000",
						 m->to ? m->to : "20240229235959"));
	for (; n < 3 && m->san[n].text; n++) {
		union {
			const char *in;
			unsigned char *out;
		} u = {.in = m->san[n].text};

		list[n].node.type = m->san[n].tag & 0x1f;
		list[n].node.san.unstructured_name.p = u.out;
		list[n].node.san.unstructured_name.len = strlen(m->san[n].text);
		list[n].node.san.unstructured_name.tag = m->san[n].tag & 0x1f;
		if (n)
			list[n - 1].next = &list[n];
	}
	if (n)
		must(!mbedtls_x509write_crt_set_subject_alternative_name(&w, list));
	bytes = mbedtls_x509write_crt_der(&w, der, 4096, test_random, NULL);
	must(bytes > 0);
	mbedtls_x509write_crt_free(&w);
	return (struct sv){(const char *)der + 4096 - bytes, (size_t)bytes};
}

#define NOW 1700000000

static void gives(const struct made *m, const char *principal)
{
	unsigned char der[4096];
	struct sup_identity id = {.principal = "untouched"};
	const char *reason = "";
	int bad = cert_check(make(m, der), NOW, &id, &reason);

	if (principal)
		ok(!bad && !strcmp(id.principal, principal), "%s gives %s (%s%s)",
		   m->subject, principal, id.principal, reason);
	else
		ok(bad && reason[0] && !strcmp(id.principal, "untouched"),
		   "%s gives none (%s)", m->subject, reason);
}

static void names(void)
{
	gives(&(struct made){.subject = "C=DE,O=Org,CN=agent-7"}, "cert:agent-7");
	gives(&(struct made){.subject = "CN=x", .san = {{0x86, "spiffe://org/agent"}}},
	      "cert:spiffe://org/agent");
	gives(&(struct made){.subject = "CN=x", .san = {{0x82, "host.example"}}},
	      "cert:x");
	gives(&(struct made){.subject = "O=Org", .san = {{0x82, "host.example"}}},
	      "cert:host.example");
	gives(&(struct made){.subject = "O=Org",
			     .san = {{0x82, "host.example"}, {0x86, "urn:x:1"}}},
	      "cert:urn:x:1");
	gives(&(struct made){.subject = "O=Org"}, NULL);
	gives(&(struct made){.subject = "O=Org",
			     .san = {{0x82, "a.example"}, {0x82, "b.example"}}},
	      NULL);
	gives(&(struct made){.subject = "CN=a",
			     .san = {{0x86, "urn:a"}, {0x86, "urn:b"}}},
	      NULL);
}

/* What the library would not write: patched in; the signature is not looked at here. */
static void odd_names(void)
{
	unsigned char der[4096], *at;
	struct sup_identity id;
	const char *reason = "";
	struct sv c = make(&(struct made){.subject = "CN=a,OU=b"}, der);

	must(!cert_check(c, NOW, &id, &reason));
	at = memmem(c.p, c.n, "\x55\x04\x0b", 3);
	must(at);
	at[2] = 3;
	ok(cert_check(c, NOW, &id, &reason), "two common names give none (%s)", reason);
	c = make(&(struct made){.subject = "CN=ab,O=c"}, der);
	at = memmem(c.p, c.n,
		    "\x55\x04\x03\x0c\x02"
		    "ab",
		    7);
	must(at);
	at[3] = 0x1e;
	ok(cert_check(c, NOW, &id, &reason), "a common name in UTF-16 gives none (%s)",
	   reason);
	at[3] = 0x0c;
	at[5] = 0xff;
	ok(cert_check(c, NOW, &id, &reason), "nor one that is no UTF-8 (%s)", reason);
	at[5] = 0;
	ok(!cert_check(c, NOW, &id, &reason) && !strncmp(id.principal, "cert:~", 6),
	   "a NUL in it is hashed, not the end: %s", id.principal);
}

static void lookalikes(void)
{
	unsigned char der[4096];
	struct sup_identity id, uri;
	char text[3 + 200 + 1] = "";
	const char *reason;
	struct sv c;

	must(!cert_check(make(&(struct made){.subject = "CN=urn:x:1"}, der), NOW, &id,
			 &reason));
	must(!cert_check(
		make(&(struct made){.subject = "O=o", .san = {{0x86, "urn:x:1"}}}, der),
		NOW, &uri, &reason));
	ok(strcmp(id.principal, uri.principal) != 0 &&
		   !strncmp(id.principal, "cert:~", 6),
	   "a common name cannot pass for a URI: %s", id.principal);
	must(!cert_check(make(&(struct made){.subject = "CN=~abc"}, der), NOW, &id,
			 &reason));
	ok(strcmp(id.principal, "cert:~abc") != 0, "nor for a hash: %s", id.principal);
	must(!cert_check(
		make(&(struct made){.subject = "CN=x", .san = {{0x86, "alice"}}}, der),
		NOW, &uri, &reason));
	ok(strcmp(uri.principal, "cert:alice") != 0,
	   "a URI name without a scheme cannot pass for a common name: %s",
	   uri.principal);
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "CN=urn:", 7);
	/* the library writes no such long one: it is another's OU, renamed */
	must(!cert_check(
		make(&(struct made){.subject = "O=o", .san = {{0x86, text + 3}}}, der),
		NOW, &uri, &reason));
	c = make(&(struct made){.subject = text}, der);
	must(!cert_check(c, NOW, &id, &reason));
	ok(!strncmp(id.principal, "cert:~", 6) &&
		   !strncmp(uri.principal, "cert:~", 6) &&
		   strcmp(id.principal, uri.principal) != 0,
	   "nor a common name for a URI that is too long to be shown: %s",
	   id.principal);
}

static void validity(void)
{
	unsigned char der[4096];
	struct sup_identity id;
	const char *reason;
	struct sv c = make(&(struct made){.subject = "CN=a"}, der);

	/* 2024-02-29 23:59:59 is 1709251199 */
	ok(!cert_check(c, 1709251199, &id, &reason) &&
		   id.expires_us == (uint64_t)1709251200 * 1000000,
	   "good until its last second");
	ok(cert_check(c, 1709251200, &id, &reason), "not after it");
	ok(!cert_check(c, 1672531200, &id, &reason), "good from its first");
	ok(cert_check(c, 1672531199, &id, &reason), "not before it");
	gives(&(struct made){.subject = "CN=a", .to = "20231114221319"}, NULL);
	gives(&(struct made){.subject = "CN=a", .to = "99991231235959"}, "cert:a");
}

static void broken(void)
{
	unsigned char der[4096];
	struct sup_identity id;
	const char *reason;
	struct sv c =
		make(&(struct made){.subject = "CN=a", .san = {{0x86, "urn:a"}}}, der);
	char longer[4200];

	for (size_t n = 0; n < c.n; n++)
		if (!cert_check((struct sv){c.p, n}, NOW, &id, &reason))
			ok(0, "cut at %zu it is still one", n);
	memcpy(longer, c.p, c.n);
	longer[c.n] = 0;
	ok(cert_check((struct sv){longer, c.n + 1}, NOW, &id, &reason),
	   "nothing may follow it");
	for (size_t i = 0; i < c.n; i++) { /* must not crash, whatever it says */
		longer[i] ^= 0x40;
		cert_check((struct sv){longer, c.n}, NOW, &id, &reason);
		longer[i] ^= 0x40;
	}
	ok(!cert_check((struct sv){longer, c.n}, NOW, &id, &reason),
	   "the control is one");
}

int main(void)
{
	mbedtls_ecp_group_id group = MBEDTLS_ECP_DP_SECP256R1;

	keys_init(&k, 0, 0);
	mbedtls_pk_init(&pk);
	must(!mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
	must(!mbedtls_ecp_gen_key(group, mbedtls_pk_ec(pk), test_random, NULL));
	names();
	odd_names();
	lookalikes();
	validity();
	broken();
	mbedtls_pk_free(&pk);
	keys_finish(&k);
	return tap_done();
}
