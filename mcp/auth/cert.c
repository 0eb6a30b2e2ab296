/* cert.c: a client certificate in -> whose it is. */
#include "mcp/auth/cert.h"

#include "mcp/auth/principal.h"

#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>

#define MAX_NAME 1024
/* GeneralName of RFC 5280 section 4.2.1.6: context-specific tags */
#define SAN_DNS 0x82
#define SAN_URI 0x86

static int no(const char **reason, const char *text)
{
	*reason = text;
	return -1;
}

static struct sv view(const mbedtls_x509_buf *b)
{
	return (struct sv){(const char *)b->p, b->len};
}

/* The only name of that tag: 1; 0 there is none; -1 there are several. */
static int san_of(const mbedtls_x509_crt *c, int tag, struct sv *ret)
{
	const mbedtls_x509_sequence *s = &c->subject_alt_names;
	int n = 0;

	for (; s; s = s->next) {
		if (s->buf.tag != tag || !s->buf.p)
			continue;
		*ret = view(&s->buf);
		n++;
	}
	return n > 1 ? -1 : n;
}

/* The same for the common name. Other string types are UTF-16 or worse: such a name counts twice. */
static int common_name_of(const mbedtls_x509_crt *c, struct sv *ret)
{
	int n = 0;

	for (const mbedtls_x509_name *x = &c->subject; x; x = x->next) {
		if (!x->oid.p || MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &x->oid))
			continue;
		n += x->val.tag == MBEDTLS_ASN1_UTF8_STRING ||
				     x->val.tag == MBEDTLS_ASN1_PRINTABLE_STRING ||
				     x->val.tag == MBEDTLS_ASN1_IA5_STRING
			     ? 1
			     : 2;
		*ret = view(&x->val);
	}
	return n > 1 ? -1 : n;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, days_from_civil). */
static int64_t days(int64_t year, int64_t month, int64_t day)
{
	const int64_t y = year - (month <= 2), era = y / 400, yoe = y - era * 400;
	const int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t seconds(const mbedtls_x509_time *t)
{
	return days(t->year, t->mon, t->day) * 86400 + t->hour * 3600 + t->min * 60 +
	       t->sec;
}

static int name_it(const mbedtls_x509_crt *c, struct sup_identity *ret,
		   const char **reason)
{
	struct principal_parts p = {.kind = "cert", .realm = {"", 0}};
	const int uris = san_of(c, SAN_URI, &p.name);
	int n;

	if (uris < 0)
		return no(reason, "more than one URI name");
	if (!uris) {
		n = common_name_of(c, &p.name);
		if (n < 0)
			return no(reason,
				  "more than one common name, or one of an odd type");
		if (!n)
			n = san_of(c, SAN_DNS, &p.name);
		if (n != 1)
			return no(reason, "no name, or more than one");
	}
	/* a URI has a colon, and nothing else has: none may pass for the other */
	p.odd = (sv_find(p.name, ':') >= 0) != (uris > 0);
	if (!p.name.n || p.name.n > MAX_NAME || !sv_valid_utf8(p.name))
		return no(reason, "its name is empty, too long or no UTF-8");
	principal_make(&p, ret->principal);
	return 0;
}

int cert_check(struct sv der, int64_t now_s, struct sup_identity *ret,
	       const char **reason)
{
	struct sup_identity id = {.principal = ""};
	mbedtls_x509_crt c;
	int bad;

	mbedtls_x509_crt_init(&c);
	if (mbedtls_x509_crt_parse_der(&c, (const unsigned char *)der.p, der.n) ||
	    c.raw.len != der.n)
		bad = no(reason, "no certificate");
	else if (seconds(&c.valid_from) > now_s || seconds(&c.valid_to) < now_s)
		bad = no(reason, "not valid now");
	else
		bad = name_it(&c, &id, reason);
	if (!bad) {
		id.expires_us = (uint64_t)seconds(&c.valid_to) * 1000000 + 1000000;
		*ret = id;
	}
	mbedtls_x509_crt_free(&c);
	return bad;
}
