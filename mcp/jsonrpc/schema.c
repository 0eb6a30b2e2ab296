/* schema.c: values against the subset of JSON Schema that schemas/ use, with errors that teach.
 *
 * Recursion follows the schema, which is ours and cannot refer to itself, never the value. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "mcp/jsonrpc/scan.h"
#include "sandbox/base/mem.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>

/* Where in the value we are; frames live on the stack, innermost first. */
struct field {
	const struct field *up;
	const char *name; /* NULL for an item of an array */
	size_t index;
};

struct check {
	bool coerce;
	struct err *e;
};

static int check(const struct cJSON *schema, struct cJSON *v, const struct field *at,
		 const struct check *c);

/* --- words for errors -------------------------------------------------------------------------- */

/* A line of bounded length; what does not fit is cut. */
struct line {
	char s[300];
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void say(struct line *l, const char *fmt,
						      ...)
{
	va_list ap;
	int k;

	va_start(ap, fmt);
	k = vsnprintf(l->s + l->n, sizeof(l->s) - l->n, fmt, ap);
	va_end(ap);
	if (k > 0)
		l->n += (size_t)k < sizeof(l->s) - l->n ? (size_t)k
							: sizeof(l->s) - l->n - 1;
}

/* Text from outside, quoted and short, control characters shown as '?'. */
static void say_quoted(struct line *l, struct sv s)
{
	struct sv shown = rpc_clip(s, 60);
	char text[64];

	for (size_t i = 0; i < shown.n; i++)
		text[i] = (unsigned char)shown.p[i] < 0x20 || shown.p[i] == 0x7f
				  ? '?'
				  : shown.p[i];
	say(l, "\"%.*s%s\"", (int)shown.n, text, shown.n < s.n ? "..." : "");
}

static void say_number(struct line *l, double d)
{
	if (fabs(d) <= 9007199254740992.0 && d == floor(d))
		say(l, "%.0f", d);
	else
		say(l, "%.15g", d);
}

static bool is_plain(const char *name)
{
	size_t n = strlen(name);

	return n && n <= 60 &&
	       strspn(name,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$") ==
		       n;
}

static void say_path(struct line *l, const struct field *at)
{
	if (!at)
		return;
	say_path(l, at->up);
	if (!at->name)
		say(l, "[%zu]", at->index);
	else if (is_plain(at->name))
		say(l, "%s%s", at->up ? "." : "", at->name);
	else {
		say(l, "[");
		say_quoted(l, sv_of(at->name));
		say(l, "]");
	}
}

static void say_value(struct line *l, const struct cJSON *v)
{
	if (cJSON_IsString(v)) {
		say(l, "the string ");
		say_quoted(l, js_str(v));
	} else if (cJSON_IsNumber(v)) {
		say(l, "the number ");
		say_number(l, v->valuedouble);
	} else {
		say(l, "%s",
		    cJSON_IsBool(v)	? (cJSON_IsTrue(v) ? "true" : "false")
		    : cJSON_IsArray(v)	? "an array"
		    : cJSON_IsObject(v) ? "an object"
					: "null");
	}
}

static void say_literal(struct line *l, const struct cJSON *v)
{
	if (cJSON_IsString(v))
		say_quoted(l, js_str(v));
	else if (cJSON_IsNumber(v))
		say_number(l, v->valuedouble);
	else
		say_value(l, v);
}

static void say_bounds(struct line *l, const struct cJSON *schema, const char *min_word,
		       const char *max_word, const char *unit)
{
	const struct cJSON *min = js_get(schema, min_word),
			   *max = js_get(schema, max_word);

	if (min && max) {
		say(l, " %s ", *unit ? "of" : "from");
		say_number(l, min->valuedouble);
		say(l, " to ");
		say_number(l, max->valuedouble);
	} else if (min || max) {
		say(l, " %sat %s ", *unit ? "of " : "", min ? "least" : "most");
		say_number(l, (min ? min : max)->valuedouble);
	}
	if (min || max)
		say(l, "%s", unit);
}

static void say_choices(struct line *l, const struct cJSON *list)
{
	const struct cJSON *v;

	say(l, "one of ");
	cJSON_ArrayForEach(v, list)
	{
		say_literal(l, v);
		say(l, "%s", v->next ? ", " : "");
	}
}

static void say_expected(struct line *l, const struct cJSON *schema)
{
	struct sv type = js_str(js_get(schema, "type"));
	const struct cJSON *literal = js_get(schema, "const");

	if (literal)
		say_literal(l, literal);
	else if (js_get(schema, "enum"))
		say_choices(l, js_get(schema, "enum"));
	else if (sv_eq(type, SV("string"))) {
		say(l, "a string");
		say_bounds(l, schema, "minLength", "maxLength", " characters");
	} else if (sv_eq(type, SV("array"))) {
		say(l, "an array");
		say_bounds(l, schema, "minItems", "maxItems", " items");
	} else if (sv_eq(type, SV("object"))) {
		say(l, "an object");
		say_bounds(l, schema, "minProperties", "maxProperties", " fields");
	} else if (sv_eq(type, SV("integer")) || sv_eq(type, SV("number"))) {
		say(l, "%s", type.p[0] == 'i' ? "an integer" : "a number");
		say_bounds(l, schema, "minimum", "maximum", "");
	} else {
		say(l, "%s",
		    sv_eq(type, SV("boolean")) ? "true or false"
		    : sv_eq(type, SV("null"))  ? "null"
					       : "what the schema allows");
	}
}

static int wrong(const struct cJSON *schema, const struct cJSON *v,
		 const struct field *at, const struct check *c)
{
	struct line l = {.n = 0};

	say_path(&l, at);
	say(&l, "%sgot ", at ? ": " : "");
	say_value(&l, v);
	say(&l, ", expected ");
	say_expected(&l, schema);
	err_set(c->e, ERR_INVALID, "%s", l.s);
	if (cJSON_IsNull(v) && at && at->name)
		return err_fix(c->e, "leave the field out instead of sending null");
	return -1;
}

/* --- types ------------------------------------------------------------------------------------- */

static bool is_of_type(const struct cJSON *v, struct sv type)
{
	int64_t whole;

	if (sv_eq(type, SV("string")))
		return cJSON_IsString(v);
	if (sv_eq(type, SV("integer")))
		return !js_int(v, &whole);
	if (sv_eq(type, SV("number")))
		return cJSON_IsNumber(v) && isfinite(v->valuedouble);
	if (sv_eq(type, SV("boolean")))
		return cJSON_IsBool(v);
	if (sv_eq(type, SV("array")))
		return cJSON_IsArray(v);
	if (sv_eq(type, SV("object")))
		return cJSON_IsObject(v);
	return cJSON_IsNull(v) && sv_eq(type, SV("null"));
}

/* Puts what the string v spells in v's place if that is of the type wanted. The node stays, so
 * that pointers to it and its place in the tree do. */
static bool coerce_string(struct cJSON *v, struct sv type)
{
	struct cJSON *spelt;
	bool fits;

	if (!cJSON_IsString(v) || sv_eq(type, SV("string")) || sv_eq(type, SV("null")))
		return false;
	spelt = rpc_json_parse(js_str(v), NULL);
	fits = spelt && is_of_type(spelt, type);
	if (fits) {
		mem_free(v->valuestring);
		v->valuestring = NULL;
		v->type = (v->type & ~0xff) | (spelt->type & 0xff);
		v->valueint = spelt->valueint;
		v->valuedouble = spelt->valuedouble;
		v->child = spelt->child;
		spelt->child = NULL;
	}
	cJSON_Delete(spelt);
	return fits;
}

static bool same(const struct cJSON *a, const struct cJSON *b)
{
	if ((a->type & 0xff) != (b->type & 0xff))
		return false;
	if (cJSON_IsNumber(a))
		return !(a->valuedouble < b->valuedouble) &&
		       !(a->valuedouble > b->valuedouble);
	if (cJSON_IsArray(a) || cJSON_IsObject(a))
		return cJSON_Compare(a, b, 1);
	return sv_eq(js_str(a), js_str(b));
}

/* --- one kind of value each -------------------------------------------------------------------- */

static bool within(const struct cJSON *schema, double n, const char *min_word,
		   const char *max_word)
{
	const struct cJSON *min = js_get(schema, min_word),
			   *max = js_get(schema, max_word);

	return !(min && n < min->valuedouble) && !(max && n > max->valuedouble);
}

static bool among_literals(const struct cJSON *schema, const struct cJSON *v)
{
	const struct cJSON *literal = js_get(schema, "const"),
			   *list = js_get(schema, "enum"), *x;

	if (literal && !same(literal, v))
		return false;
	if (!list)
		return true;
	cJSON_ArrayForEach(x, list)
	{
		if (same(x, v))
			return true;
	}
	return false;
}

static double code_points(struct sv s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return (double)n;
}

static int check_array(const struct cJSON *schema, struct cJSON *v,
		       const struct field *at, const struct check *c)
{
	const struct cJSON *items = js_get(schema, "items");
	struct field in = {.up = at};
	struct cJSON *x;

	if (!within(schema, cJSON_GetArraySize(v), "minItems", "maxItems"))
		return wrong(schema, v, at, c);
	for (x = items ? v->child : NULL; x; x = x->next, in.index++)
		if (check(items, x, &in, c))
			return -1;
	return 0;
}

static int unknown_field(const struct cJSON *schema, const struct field *at,
			 const struct check *c)
{
	const struct cJSON *known = js_first(js_get(schema, "properties"));
	struct line l = {.n = 0}, names = {.n = 0};

	say_path(&l, at);
	err_set(c->e, ERR_INVALID, "%s: there is no such field", l.s);
	if (!known)
		return err_fix(c->e, "send no fields here");
	for (; known; known = known->next)
		say(&names, "%s%s", known->string, known->next ? ", " : "");
	return err_fix(c->e, "known fields: %s", names.s);
}

static int missing_field(const struct cJSON *schema, const struct field *at,
			 const struct check *c)
{
	const struct cJSON *property = js_get(js_get(schema, "properties"), at->name);
	struct line l = {.n = 0}, want = {.n = 0};

	say_path(&l, at);
	err_set(c->e, ERR_INVALID, "%s: this field is required", l.s);
	if (!js_get(property, "type") && !js_get(property, "enum") &&
	    !js_get(property, "const"))
		return err_fix(c->e, "add it");
	say_expected(&want, property);
	return err_fix(c->e, "add it: %s", want.s);
}

static int check_names(const struct cJSON *schema, const struct cJSON *v,
		       const struct field *at, const struct check *c)
{
	const struct cJSON *properties = js_get(schema, "properties"), *x;
	struct field in = {.up = at};

	if (cJSON_IsFalse(js_get(schema, "additionalProperties")))
		cJSON_ArrayForEach(x, v)
		{
			in.name = x->string;
			if (!js_get(properties, x->string))
				return unknown_field(schema, &in, c);
		}
	cJSON_ArrayForEach(x, js_get(schema, "required"))
	{
		in.name = x->valuestring;
		if (!js_get(v, x->valuestring))
			return missing_field(schema, &in, c);
	}
	return 0;
}

static int check_object(const struct cJSON *schema, struct cJSON *v,
			const struct field *at, const struct check *c)
{
	const struct cJSON *properties = js_get(schema, "properties");
	const struct cJSON *others = js_get(schema, "additionalProperties");
	struct field in = {.up = at};
	struct cJSON *x;

	if (check_names(schema, v, at, c))
		return -1;
	if (!within(schema, cJSON_GetArraySize(v), "minProperties", "maxProperties"))
		return wrong(schema, v, at, c);
	cJSON_ArrayForEach(x, v)
	{
		const struct cJSON *property = js_get(properties, x->string);

		in.name = x->string;
		if (!property)
			property = others;
		if (property && check(property, x, &in, c))
			return -1;
	}
	return 0;
}

static int lint_keywords(const struct cJSON *schema, struct err *e);

static int check(const struct cJSON *schema, struct cJSON *v, const struct field *at,
		 const struct check *c)
{
	const struct cJSON *type = js_get(schema, "type");

	if (cJSON_IsTrue(schema))
		return 0;
	if (lint_keywords(schema, c->e))
		return -1;
	if (type && !is_of_type(v, js_str(type)) &&
	    !(c->coerce && coerce_string(v, js_str(type))))
		return wrong(schema, v, at, c);
	if (!among_literals(schema, v) ||
	    (cJSON_IsString(v) &&
	     !within(schema, code_points(js_str(v)), "minLength", "maxLength")) ||
	    (cJSON_IsNumber(v) &&
	     !within(schema, v->valuedouble, "minimum", "maximum")))
		return wrong(schema, v, at, c);
	if (cJSON_IsArray(v))
		return check_array(schema, v, at, c);
	return cJSON_IsObject(v) ? check_object(schema, v, at, c) : 0;
}

int rpc_schema_check(const struct cJSON *schema, struct cJSON *value, bool coerce,
		     struct err *e)
{
	const struct check c = {.coerce = coerce, .e = e};

	return check(schema, value, NULL, &c);
}

/* --- the schemas themselves -------------------------------------------------------------------- */

enum form {
	ANNOTATION,
	TYPE_NAME,
	ANYTHING,
	LIST,
	NAME_LIST,
	SCHEMA,
	SCHEMA_OR_BOOL,
	SCHEMA_MAP,
	COUNT,
	NUMBER,
};

static const struct keyword {
	const char *name;
	enum form form;
} keywords[] = {
	{"type", TYPE_NAME},
	{"enum", LIST},
	{"const", ANYTHING},
	{"properties", SCHEMA_MAP},
	{"required", NAME_LIST},
	{"additionalProperties", SCHEMA_OR_BOOL},
	{"items", SCHEMA},
	{"minimum", NUMBER},
	{"maximum", NUMBER},
	{"minLength", COUNT},
	{"maxLength", COUNT},
	{"minItems", COUNT},
	{"maxItems", COUNT},
	{"minProperties", COUNT},
	{"maxProperties", COUNT},
	{"title", ANNOTATION},
	{"description", ANNOTATION},
	{"default", ANNOTATION},
	{"examples", ANNOTATION},
	{"format", ANNOTATION},
	{"deprecated", ANNOTATION},
	{"readOnly", ANNOTATION},
	{"writeOnly", ANNOTATION},
	{"contentEncoding", ANNOTATION},
	{"contentMediaType", ANNOTATION},
	{"$schema", ANNOTATION},
	{"$id", ANNOTATION},
	{"$comment", ANNOTATION},
};

static const struct keyword *keyword_of(const char *name)
{
	static const struct keyword extension = {"x-", ANNOTATION};

	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (!strcmp(keywords[i].name, name))
			return &keywords[i];
	return sv_starts(sv_of(name), SV("x-")) ? &extension : NULL;
}

static bool are_names(const struct cJSON *list)
{
	const struct cJSON *x;

	cJSON_ArrayForEach(x, list)
	{
		if (!cJSON_IsString(x))
			return false;
	}
	return cJSON_IsArray(list);
}

static bool has_form(const struct cJSON *v, enum form form)
{
	static const char *const types[] = {"string", "integer", "number", "boolean",
					    "array",  "object",	 "null"};
	int64_t n;

	switch (form) {
	case ANNOTATION:
	case ANYTHING:
		return true;
	case TYPE_NAME:
		for (size_t i = 0; i < ARRAY_LEN(types); i++)
			if (sv_eq(js_str(v), sv_of(types[i])))
				return true;
		return false;
	case LIST:
		return cJSON_IsArray(v) && v->child;
	case NAME_LIST:
		return are_names(v);
	case SCHEMA:
	case SCHEMA_MAP:
		return cJSON_IsObject(v);
	case SCHEMA_OR_BOOL:
		return cJSON_IsObject(v) || cJSON_IsBool(v);
	case COUNT:
		return !js_int(v, &n) && n >= 0;
	case NUMBER:
		return cJSON_IsNumber(v);
	}
	return false;
}

static int lint_keywords(const struct cJSON *schema, struct err *e)
{
	const struct cJSON *m;

	if (!cJSON_IsObject(schema))
		return err_set(e, ERR_INTERNAL, "a schema that is no object");
	cJSON_ArrayForEach(m, schema)
	{
		const struct keyword *k = keyword_of(m->string);

		if (!k)
			return err_set(e, ERR_INTERNAL,
				       "a schema uses the unknown keyword %s",
				       m->string);
		if (!has_form(m, k->form))
			return err_set(e, ERR_INTERNAL,
				       "a schema's %s is of a form not known",
				       m->string);
	}
	return 0;
}

int rpc_schema_lint(const struct cJSON *schema, struct err *e)
{
	const struct cJSON *m, *x;

	if (lint_keywords(schema, e))
		return -1;
	cJSON_ArrayForEach(m, schema)
	{
		enum form form = keyword_of(m->string)->form;

		if ((form == SCHEMA || (form == SCHEMA_OR_BOOL && cJSON_IsObject(m))) &&
		    rpc_schema_lint(m, e))
			return -1;
		for (x = form == SCHEMA_MAP ? m->child : NULL; x; x = x->next)
			if (rpc_schema_lint(x, e))
				return -1;
	}
	return 0;
}

static void keep_known(struct cJSON *schema)
{
	if (!cJSON_IsObject(schema))
		return;
	/* patternProperties and prefixItems narrow what these mean */
	if (js_get(schema, "patternProperties"))
		cJSON_DeleteItemFromObjectCaseSensitive(schema, "additionalProperties");
	if (js_get(schema, "prefixItems"))
		cJSON_DeleteItemFromObjectCaseSensitive(schema, "items");
	for (struct cJSON *m = schema->child, *next; m; m = next) {
		const struct keyword *k = keyword_of(m->string);

		next = m->next;
		if (!k || !has_form(m, k->form)) {
			cJSON_Delete(cJSON_DetachItemViaPointer(schema, m));
			continue;
		}
		if (k->form == SCHEMA || k->form == SCHEMA_OR_BOOL)
			keep_known(m);
		m = k->form == SCHEMA_MAP ? m->child : NULL;
		for (; m; m = m->next) {
			if (cJSON_IsBool(m))
				m->type = (m->type & ~0xff) | cJSON_Object;
			else
				keep_known(m);
		}
	}
}

struct cJSON *rpc_schema_known(const struct cJSON *schema)
{
	struct cJSON *copy = cJSON_Duplicate(schema, 1);

	keep_known(copy);
	return copy;
}
