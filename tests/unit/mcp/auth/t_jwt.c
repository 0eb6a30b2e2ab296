/* Which tokens are believed: the list of RFC 8725 and what has gone wrong elsewhere. */
#include "mcp/auth/jwt.h"

#include "tokens.h"

#define NOW 1700000000
#define ISSUER "https://id.example/tenant"
#define AUDIENCE "https://box.example/mcp"
/* the members of a good token but exp, with a comma behind */
#define WHO "\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"sub\":\"alice\","
#define GOOD "{" WHO "\"exp\":1700000600,\"scope\":\"profile code:run\"}"
#define HEAD "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"JWT\"}"

static struct keys k, other;
static struct jwks *set;
static const struct jwt_policy policy = {
	.issuer = {ISSUER, sizeof(ISSUER) - 1},
	.audience = {AUDIENCE, sizeof(AUDIENCE) - 1},
	.scope = {"code:run", 8},
};
static struct jwt_result last;

static enum jwt_verdict check(struct sv token)
{
	return jwt_check(set, &policy, token, NOW, &last);
}

static enum jwt_verdict check_text(const char *header, const char *payload)
{
	AUTO_BUF b = {.max = 1 << 16};

	make_token(&b, &k, BY_ED, header, payload);
	return check(buf_view(&b));
}

/* Nothing of it may be believed, or even be left in the result. */
static void bad(struct sv token, const char *what)
{
	enum jwt_verdict v = check(token);

	ok((v == JWT_BAD || v == JWT_NO_KEY) && !last.id.principal[0] && last.reason[0],
	   "refused: %s (%s)", what, last.reason);
}

static void bad_header(const char *header)
{
	AUTO_BUF b = {.max = 1 << 16};

	make_token(&b, &k, BY_ED, header, GOOD);
	bad(buf_view(&b), header);
}

static void bad_payload(const char *payload)
{
	AUTO_BUF b = {.max = 1 << 16};

	make_token(&b, &k, BY_ED, HEAD, payload);
	bad(buf_view(&b), payload);
}

static void good_ones(void)
{
	static const struct {
		enum signer by;
		const char *header;
	} heads[] = {
		{BY_ED, HEAD},
		{BY_ED, "{\"alg\":\"Ed25519\",\"kid\":\"k\",\"typ\":\"at+jwt\"}"},
		{BY_ED, "{\"typ\":\"application/AT+JWT\",\"alg\":\"EdDSA\"}"},
		{BY_EC, "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"jwt\"}"},
		{BY_RSA, "{\"alg\":\"RS256\",\"kid\":\"k\"}"},
		{BY_PSS, "{\"alg\":\"PS256\",\"kid\":\"k\",\"x5t\":\"AAAA\"}"},
	};
	AUTO_BUF b = {.max = 1 << 16};

	for (unsigned i = 0; i < ARRAY_LEN(heads); i++) {
		make_token(&b, &k, heads[i].by, heads[i].header, GOOD);
		ok(check(buf_view(&b)) == JWT_GOOD &&
			   !strcmp(last.id.principal,
				   "oauth:id.example/tenant#alice") &&
			   last.id.expires_us == (uint64_t)1700000660 * 1000000,
		   "good: %s -> %s", heads[i].header, last.id.principal);
	}
}

/* RFC 8725 sections 3.1, 3.2, 3.10. */
static void algorithms(void)
{
	static const char *const names[] = {
		"none",	 "None",  "NONE",  "nOnE",   "",      " none",
		"none ", "HS256", "HS384", "HS512",  "hs256", "RS256 ",
		"rs256", "RS1",	  "RS512", "ES256K", "ES384", "eddsa",
		"Ed448", "ES256", "RS256", "PS256", /* known, but the signature is not of that type */
	};
	char header[128];

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\"}",
			 names[i]);
		bad_header(header);
	}
	bad_header("{\"kid\":\"k\"}");
	bad_header("{\"alg\":null}");
	bad_header("{\"alg\":[\"EdDSA\"]}");
	bad_header("{\"ALG\":\"EdDSA\"}");
	bad_header("{\"alg\":\"EdDSA\",\"alg\":\"none\"}");
	/* a name may be written in more than one way, and is the same */
	bad_header("{\"alg\":\"EdDSA\",\"\\u0061lg\":\"none\"}");
	bad_header("{\"\\u0061lg\":\"none\",\"alg\":\"EdDSA\"}");
	bad_header("{\"alg\":\"EdDSA\\u0000\"}");
	bad_header("{\"alg\\u0000\":\"EdDSA\"}");
	ok(check_text("{\"\\u0061lg\":\"EdDSA\"}", GOOD) == JWT_GOOD,
	   "the control, escaped once, is good");
}

static void without_signature(void)
{
	AUTO_BUF b = {.max = 1 << 16};

	make_token(&b, &k, BY_ED, "{\"alg\":\"none\"}", GOOD);
	while (b.p[b.n - 1] != '.')
		b.n--;
	bad(buf_view(&b), "alg none, no signature, RFC 7519 section 6");
	b.n--;
	bad(buf_view(&b), "nor the last dot");
	make_token(&b, &k, BY_ED, HEAD, GOOD);
	while (b.p[b.n - 1] != '.')
		b.n--;
	bad(buf_view(&b), "alg EdDSA, no signature");
}

/* The public key as the secret of an HMAC, in each of the forms it comes in. */
static void public_key_as_secret(void)
{
	AUTO_BUF b = {.max = 1 << 16}, jwk = {.max = 1 << 16};
	unsigned char n[1024], e[4], mac[32];
	crypto_auth_hmacsha256_state st;
	const size_t bytes = rsa_public(&k, n, e);

	add_rsa_jwk(&jwk, &k, "");
	for (unsigned i = 0; i < 3; i++) {
		const struct sv secret =
			i == 0	 ? buf_view(&jwk)
			: i == 1 ? (struct sv){(const char *)n, bytes}
				 : (struct sv){(const char *)k.ed_public, 32};

		make_token(&b, &k, BY_ED, "{\"alg\":\"HS256\",\"kid\":\"k\"}", GOOD);
		while (b.p[b.n - 1] != '.')
			b.n--;
		crypto_auth_hmacsha256_init(&st, (const unsigned char *)secret.p,
					    secret.n);
		crypto_auth_hmacsha256_update(&st, (const unsigned char *)b.p, b.n - 1);
		crypto_auth_hmacsha256_final(&st, mac);
		add_base64(&b, mac, sizeof(mac));
		bad(buf_view(&b), "HS256 with a public key as secret");
	}
}

/* By another key, which the header brings along or points to. */
static void key_in_header(void)
{
	AUTO_BUF b = {.max = 1 << 16}, jwk = {.max = 1 << 16}, head = {.max = 1 << 16};

	add_ed_jwk(&jwk, &other, "");
	buf_fmt(&head, "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"jwk\":%s}", buf_cstr(&jwk));
	make_token(&b, &other, BY_ED, buf_cstr(&head), GOOD);
	bad(buf_view(&b), "the header brings the key (CVE-2018-0114)");
	make_token(
		&b, &other, BY_ED,
		"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"jku\":\"https://evil.example/jwks\"}",
		GOOD);
	bad(buf_view(&b), "the header says where the key is");
	make_token(
		&b, &other, BY_ED,
		"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"x5u\":\"https://evil.example/c\","
		"\"x5c\":[\"AAAA\"]}",
		GOOD);
	bad(buf_view(&b), "the header brings a certificate");
	make_token(&b, &other, BY_ED, HEAD, GOOD);
	bad(buf_view(&b), "by another key");
	ok(!strcmp(last.reason, "the signature is not by that key"),
	   "and that is the reason");
}

static void headers(void)
{
	static const char *const kids[] = {
		"",	     "K",	 "k ",		 " k", "../k", "./k",
		"/dev/null", "k\\u0001", "k' OR '1'='1", "kk", "*"};
	char header[128];

	for (unsigned i = 0; i < ARRAY_LEN(kids); i++) {
		snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}",
			 kids[i]);
		bad_header(header);
		ok(!strcmp(last.reason, "no key of that kid and alg"), "for its kid");
	}
	bad_header("{\"alg\":\"EdDSA\",\"kid\":null}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":[\"k\"]}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"kid\":\"k\"}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"crit\":[\"exp\"],\"exp\":1}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"crit\":[]}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"b64\":false}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"logout+jwt\"}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"dpop+jwt\"}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"\"}");
	bad_header("{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":null}");
	bad_header("[]");
	bad_header("\"EdDSA\"");
	bad_header("{\"alg\":\"EdDSA\"} ,");
	bad_header("");
}

static void who(void)
{
	bad_payload("{\"iss\":\"https://id.example\",\"aud\":\"" AUDIENCE
		    "\",\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "/\",\"aud\":\"" AUDIENCE
		    "\",\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{\"iss\":[\"" ISSUER "\"],\"aud\":\"" AUDIENCE
		    "\",\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{\"aud\":\"" AUDIENCE "\",\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{" WHO "\"iss\":\"" ISSUER "\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER
		    "\",\"aud\":\"https://other.example/mcp\",\"sub\":\"a\","
		    "\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "/\",\"sub\":\"a\","
		    "\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER
		    "\",\"aud\":[],\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":[\"" AUDIENCE
		    "\",7],\"sub\":\"a\","
		    "\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":{\"0\":\"" AUDIENCE
		    "\"},\"sub\":\"a\","
		    "\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
		    "\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
		    "\",\"sub\":\"\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
		    "\",\"sub\":7,\"exp\":1700000600}");
	bad_payload("{" WHO "\"sub\":\"root\",\"exp\":1700000600}");
	bad_payload("{" WHO "\"s\\u0075b\":\"root\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
		    "\",\"sub\":\"a\\u0000\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"https://ID.example/tenant\",\"aud\":\"" AUDIENCE
		    "\",\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER
		    "\",\"aud\":\"https://box.example\",\"sub\":\"a\","
		    "\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
		    "/more\",\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":\"x " AUDIENCE
		    "\",\"sub\":\"a\",\"exp\":1700000600}");
	bad_payload("{\"iss\":\"" ISSUER "\",\"aud\":[[\"" AUDIENCE
		    "\"]],\"sub\":\"a\",\"exp\":1700000600}");
	ok(check_text(HEAD,
		      "{\"iss\":\"" ISSUER
		      "\",\"aud\":[\"https://other.example\",\"" AUDIENCE
		      "\"],\"sub\":\"a\",\"exp\":1700000600,\"scope\":\"code:run\"}") ==
		   JWT_GOOD,
	   "one of several audiences is enough");
}

static void times(void)
{
	static const struct {
		const char *claims;
		bool good;
	} rows[] = {
		{"\"exp\":1700000600", true},
		{"\"exp\":1700000600.0", true},
		{"\"exp\":1.7000006e9", true},
		{"\"exp\":1699999941", true}, /* past, within the leeway */
		{"\"exp\":1699999940", false},
		{"\"exp\":0", false},
		{"\"exp\":-1", false},
		{"\"exp\":1700000600.5", false},
		{"\"exp\":\"1700000600\"", false},
		{"\"exp\":null", false},
		{"\"exp\":1e300", false},
		{"\"exp\":1700086460", true}, /* a day and the leeway */
		{"\"exp\":1700086461", false},
		{"\"exp\":9007199254740992", false},
		{"\"iat\":1700000000", false}, /* no exp */
		{"\"exp\":1700000600,\"exp\":1700000600", false},
		{"\"exp\":1700000600,\"nbf\":1700000060", true},
		{"\"exp\":1700000600,\"nbf\":1700000061", false},
		{"\"exp\":1700000600,\"nbf\":\"now\"", false},
		{"\"exp\":1700000600,\"iat\":1700000060", true},
		{"\"exp\":1700000600,\"iat\":1700000061", false},
		{"\"exp\":1700000600,\"iat\":true", false},
	};
	char payload[512];

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(payload, sizeof(payload), "{" WHO "%s,\"scp\":[\"code:run\"]}",
			 rows[i].claims);
		if (rows[i].good)
			ok(check_text(HEAD, payload) == JWT_GOOD, "good: %s",
			   rows[i].claims);
		else
			bad_payload(payload);
	}
}

static void scopes(void)
{
	static const struct {
		const char *claim;
		enum jwt_verdict is;
	} rows[] = {
		{"\"scope\":\"code:run\"", JWT_GOOD},
		{"\"scope\":\"a code:run b\"", JWT_GOOD},
		{"\"scope\":[\"a\",\"code:run\"]", JWT_GOOD},
		{"\"scp\":\"a code:run\"", JWT_GOOD},
		{"\"scp\":[\"code:run\"]", JWT_GOOD},
		{"\"x\":\"code:run\"", JWT_SCOPE},
		{"\"scope\":\"\"", JWT_SCOPE},
		{"\"scope\":\"code:runner code\"", JWT_SCOPE},
		{"\"scope\":\"CODE:RUN\"", JWT_SCOPE},
		{"\"scope\":\"a,code:run\"", JWT_SCOPE},
		{"\"scope\":{\"code:run\":true}", JWT_SCOPE},
		{"\"scope\":[[\"code:run\"]]", JWT_SCOPE},
		{"\"scope\":null", JWT_SCOPE},
	};
	struct jwt_policy two = policy;
	AUTO_BUF b = {.max = 1 << 16};
	char payload[512];

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(payload, sizeof(payload), "{" WHO "\"exp\":1700000600,%s}",
			 rows[i].claim);
		ok(check_text(HEAD, payload) == rows[i].is &&
			   !last.id.principal[0] == (rows[i].is != JWT_GOOD),
		   "%s: %s", rows[i].is == JWT_GOOD ? "granted" : "not granted",
		   rows[i].claim);
	}
	make_token(&b, &k, BY_ED, HEAD,
		   "{" WHO "\"exp\":1700000600,\"scope\":\"a\",\"scp\":[\"b\"]}");
	two.scope = SV("a  b");
	ok(jwt_check(set, &two, buf_view(&b), NOW, &last) == JWT_GOOD,
	   "all that are wanted");
	two.scope = SV("a b c");
	ok(jwt_check(set, &two, buf_view(&b), NOW, &last) == JWT_SCOPE,
	   "not all but one");
	two.scope = SV("");
	ok(jwt_check(set, &two, buf_view(&b), NOW, &last) == JWT_GOOD, "or none");
	ok(check_text(HEAD, "{" WHO "\"exp\":1}") == JWT_BAD,
	   "an old token is no matter of scopes");
}

/* The envelope: one token, one spelling. */
static void spellings(void)
{
	AUTO_BUF good = {.max = 1 << 16}, b = {.max = 1 << 16};
	static const char *const tails[] = {".",  "..", "=",   "==", " ", "\n", "\r\n",
					    ".x", "A",	"%3D", "+",  "/", "~",	"\t"};

	make_token(&good, &k, BY_ED, HEAD, GOOD);
	must(check(buf_view(&good)) == JWT_GOOD);
	for (unsigned i = 0; i < ARRAY_LEN(tails); i++) {
		buf_reset(&b);
		buf_sv(&b, buf_view(&good));
		buf_str(&b, tails[i]);
		bad(buf_view(&b), "something behind it");
		buf_reset(&b);
		buf_str(&b, tails[i]);
		buf_sv(&b, buf_view(&good));
		bad(buf_view(&b), "something before it");
	}
	buf_reset(&b);
	buf_add(&b, "\0", 1);
	bad(buf_view(&b), "a NUL");
	/* 64 bytes are 86 characters; of the last one four bits belong to no byte */
	for (unsigned i = 1; i < 16; i++) {
		static const char digits[] =
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
		char *end = good.p + good.n - 1, was = *end;
		const size_t at = (size_t)(strchr(digits, was) - digits);

		*end = digits[(at & 0x30) | i];
		bad(buf_view(&good), "a signature that is not canonical base64");
		*end = was;
	}
	ok(check(buf_view(&good)) == JWT_GOOD, "the control is still good");
	bad((struct sv){good.p, good.n - 1}, "cut by one");
	for (size_t i = 0; i < good.n; i++) {
		good.p[i] ^= 1;
		if (check(buf_view(&good)) == JWT_GOOD)
			ok(0, "byte %zu may be changed", i);
		good.p[i] ^= 1;
	}
	for (size_t n = 0; n < good.n; n++)
		if (check((struct sv){good.p, n}) == JWT_GOOD)
			ok(0, "it may be cut at %zu", n);
	ok(check(SV("")) == JWT_BAD && check(SV("..")) == JWT_BAD &&
		   check(SV("a.b.c")) == JWT_BAD,
	   "nor what is none");
	bad(SV("e30.e30.e30.e30.e30"), "encrypted (JWE)");
	bad(SV("{\"payload\":\"e30\",\"signatures\":[]}"), "JSON serialization");
}

static void too_long(void)
{
	AUTO_BUF b = {.max = 1 << 20}, p = {.max = 1 << 16};

	for (unsigned i = 0; i < 2; i++) {
		buf_reset(&p);
		buf_str(&p,
			"{" WHO "\"exp\":1700000600,\"scope\":\"code:run\",\"x\":\"");
		while (p.n < (i ? 6000u : 5700u))
			buf_byte(&p, 'x');
		buf_str(&p, "\"}");
		make_token(&b, &k, BY_ED, HEAD, buf_cstr(&p));
		ok((b.n > JWT_MAX_BYTES) == i &&
			   (check(buf_view(&b)) == JWT_GOOD) == !i,
		   "%zu bytes", b.n);
	}
	buf_reset(&p);
	for (unsigned i = 0; i < 2500; i++)
		buf_byte(&p, '[');
	make_token(&b, &k, BY_ED, HEAD, buf_cstr(&p));
	bad(buf_view(&b), "deeply nested");
}

/* A token whose payload is a token (RFC 7519 section 5.2), with and without saying so. */
static void nested(void)
{
	AUTO_BUF inner = {.max = 1 << 16}, outer = {.max = 1 << 16};

	make_token(&inner, &k, BY_ED, HEAD, GOOD);
	must(check(buf_view(&inner)) == JWT_GOOD);
	make_token(&outer, &k, BY_ED,
		   "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"cty\":\"JWT\"}",
		   buf_cstr(&inner));
	bad(buf_view(&outer), "a token in a token");
	make_token(&outer, &k, BY_ED, HEAD, buf_cstr(&inner));
	bad(buf_view(&outer), "nor when it does not say so");
}

static void name_of(const char *sub, char dst[SUP_PRINCIPAL_SIZE])
{
	AUTO_BUF p = {.max = 1 << 16};

	buf_fmt(&p,
		"{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"sub\":\"%s\","
		"\"exp\":1700000600,\"scope\":\"code:run\"}",
		sub);
	must(check_text(HEAD, buf_cstr(&p)) == JWT_GOOD);
	memcpy(dst, last.id.principal, SUP_PRINCIPAL_SIZE);
}

/* On a screen each of these would be another's name, or none. */
static void unseen_names(void)
{
	static const char *const subs[] = {
		"a\\u0085b", "a\\u009bb",	"a\\u00a0",  "\\u202ea", "a\\u2066b",
		"a\\u200b",  "a\\u2028b",	"\\ufeffa",  "a\\u00ad", "a\\u3164",
		"a\\ufe0f",  "a\\udb40\\udc61", " a",	     "a ",	 " ",
		"a\\u0008",  "a\\u061c",	"a\\u3000b", "a\\u2800", "a\\uffff",
	};
	char name[SUP_PRINCIPAL_SIZE], seen[ARRAY_LEN(subs)][SUP_PRINCIPAL_SIZE];
	unsigned twice = 0;

	for (unsigned i = 0; i < ARRAY_LEN(subs); i++) {
		name_of(subs[i], name);
		ok(!strncmp(name, "oauth:id.example/tenant#~", 25), "%s is hashed",
		   subs[i]);
		for (unsigned j = 0; j < i; j++)
			twice += !strcmp(seen[j], name);
		memcpy(seen[i], name, sizeof(name));
	}
	ok(!twice, "each to a name of its own");
	name_of("a b\\u4e2d\\ud83d\\ude00", name);
	ok(!strcmp(name, "oauth:id.example/tenant#a b\344\270\255\360\237\230\200"),
	   "the control, which is seen, is not: %s", name);
}

static void pretending(void)
{
	static const char *const subs[] = {"key:ci",	"cert:x",   "local:0",
					   "anonymous", "#root",    "id.example#a",
					   "../root",	"oauth:x#y"};
	char name[SUP_PRINCIPAL_SIZE];

	for (unsigned i = 0; i < ARRAY_LEN(subs); i++) {
		name_of(subs[i], name);
		ok(!strncmp(name, "oauth:id.example/tenant#", 24) &&
			   !strcmp(name + 24, subs[i]),
		   "whoever calls himself %s is %s", subs[i], name);
	}
}

/* Different subs, different principals: never cut, never mixed up. */
static void names(void)
{
	char a[SUP_PRINCIPAL_SIZE], b[SUP_PRINCIPAL_SIZE], text[1100];

	memset(text, 'x', sizeof(text));
	text[1000] = '\0';
	name_of(text, a);
	text[999] = 'y';
	name_of(text, b);
	ok(!strncmp(a, "oauth:id.example/tenant#~", 25) && strlen(a) == 25 + 43,
	   "a long one is hashed: %s", a);
	ok(strcmp(a, b) != 0, "and the last character counts");
	name_of(a + 24, b); /* somebody whose name is that hash */
	ok(strcmp(a, b) != 0 && strlen(b) == 25 + 43,
	   "a name cannot pass for a hash: %s", b);
	name_of("a\\u001bb", b);
	ok(strstr(b, "#~"), "control characters are not put into a principal");
	unseen_names();
	name_of("J\\u00f6rg#1", b);
	ok(!strcmp(b, "oauth:id.example/tenant#J\303\266rg#1"), "others may: %s", b);
	text[1000] = 'x';
	text[1025] = '\0';
	bad_payload("{}");
}

static void reasons_hold_nothing_of_the_token(void)
{
	ok(check_text("{\"alg\":\"SECRET\"}", GOOD) == JWT_BAD &&
		   !strstr(last.reason, "SECRET"),
	   "no reason repeats what the token says");
}

static void short_of_memory(void)
{
	AUTO_BUF b = {.max = 1 << 16};
	enum jwt_verdict v = JWT_BAD;
	long n = 0;

	make_token(&b, &k, BY_ED, HEAD, GOOD);
	for (n = 1; v != JWT_GOOD && n < 200; n++) {
		mem_fail_after(n);
		v = check(buf_view(&b));
		mem_fail_after(0);
		must(v == JWT_GOOD || v == JWT_BAD);
	}
	ok(v == JWT_GOOD && n > 10, "without memory a token is refused (%ld)", n);
}

int main(void)
{
	AUTO_BUF b = {.max = 1 << 20};

	keys_init(&k, 2048, 65537);
	keys_init(&other, 0, 0);
	buf_str(&b, "{\"keys\":[");
	add_ed_jwk(&b, &k, ",\"kid\":\"k\"");
	buf_byte(&b, ',');
	add_ec_jwk(&b, &k, ",\"kid\":\"k\"");
	buf_byte(&b, ',');
	add_rsa_jwk(&b, &k, ",\"kid\":\"k\"");
	buf_str(&b, "]}");
	set = jwks_parse(buf_view(&b), NULL, NULL);
	must(set);
	good_ones();
	algorithms();
	without_signature();
	public_key_as_secret();
	key_in_header();
	headers();
	who();
	times();
	scopes();
	spellings();
	too_long();
	names();
	pretending();
	nested();
	reasons_hold_nothing_of_the_token();
	short_of_memory();
	jwks_free(set);
	keys_finish(&k);
	keys_finish(&other);
	return tap_done();
}
