/* t_suite.c: the verdicts of JSONTestSuite (test_parsing), case by case after its list.
 *
 * y_ must be taken, n_ refused; for i_, where a parser may choose, the table says what this one
 * does. Where it refuses a y_ on purpose, the case says why. */
#include "mcp/jsonrpc/jsonrpc.h"

#include "tests/lib/tap.h"

#include <cjson/cJSON.h>

enum verdict { BY_NAME, TAKEN, REFUSED };

struct test_case {
	const char *name;
	const char *text;
	size_t n;
	enum verdict verdict; /* where the name does not decide */
	const char *why;
	unsigned times; /* text is repeated so often (0: once), */
	const char *tail; /* then this is, as often */
};

#define C(name, text)                                                                  \
	{                                                                              \
		name, text, sizeof(text) - 1, BY_NAME, NULL, 0, NULL                   \
	}
#define NOT(name, text, why)                                                           \
	{                                                                              \
		name, text, sizeof(text) - 1, REFUSED, why, 0, NULL                    \
	}
#define CAN(name, text)                                                                \
	{                                                                              \
		name, text, sizeof(text) - 1, TAKEN, NULL, 0, NULL                     \
	}
#define MANY(name, text, times, tail)                                                  \
	{                                                                              \
		name, text, sizeof(text) - 1, REFUSED, "it nests deeper than 64",      \
			times, tail                                                    \
	}

static const char lone[] = "half of a surrogate pair is no character";
static const char utf8[] = "it is not UTF-8";
static const char twice[] =
	"which of two equal names counts is left open, so neither does";
static const char nul[] = "NUL would cut the string in C";

/* clang-format off */
static const struct test_case cases[] = {
	C("y_array_arraysWithSpaces", "[[]   ]"),
	C("y_array_empty-string", "[\"\"]"),
	C("y_array_empty", "[]"),
	C("y_array_ending_with_newline", "[\"a\"]\n"),
	C("y_array_false", "[false]"),
	C("y_array_heterogeneous", "[null, 1, \"1\", {}]"),
	C("y_array_null", "[null]"),
	C("y_array_with_1_and_newline", "[1\n]"),
	C("y_array_with_leading_space", " [1]"),
	C("y_array_with_several_null", "[1,null,null,null,2]"),
	C("y_array_with_trailing_space", "[2] "),
	C("y_number", "[123e65]"),
	C("y_number_0e+1", "[0e+1]"),
	C("y_number_0e1", "[0e1]"),
	C("y_number_after_space", "[ 4]"),
	C("y_number_double_close_to_zero", "[-0.00000000000000000000000000000000000000"
	  "0000000000000000000000000000000000000001]"),
	C("y_number_int_with_exp", "[20e1]"),
	C("y_number_minus_zero", "[-0]"),
	C("y_number_negative_int", "[-123]"),
	C("y_number_negative_one", "[-1]"),
	C("y_number_negative_zero", "[-0]"),
	C("y_number_real_capital_e", "[1E22]"),
	C("y_number_real_capital_e_neg_exp", "[1E-2]"),
	C("y_number_real_capital_e_pos_exp", "[1E+2]"),
	C("y_number_real_exponent", "[123e45]"),
	C("y_number_real_fraction_exponent", "[123.456e78]"),
	C("y_number_real_neg_exp", "[1e-2]"),
	C("y_number_real_pos_exponent", "[1e+2]"),
	C("y_number_simple_int", "[123]"),
	C("y_number_simple_real", "[123.456789]"),
	C("y_object", "{\"asd\":\"sdf\", \"dfg\":\"fgh\"}"),
	C("y_object_basic", "{\"asd\":\"sdf\"}"),
	NOT("y_object_duplicated_key", "{\"a\":\"b\",\"a\":\"c\"}", twice),
	NOT("y_object_duplicated_key_and_value", "{\"a\":\"b\",\"a\":\"b\"}", twice),
	C("y_object_empty", "{}"),
	C("y_object_empty_key", "{\"\":0}"),
	NOT("y_object_escaped_null_in_key", "{\"foo\\u0000bar\": 42}", nul),
	C("y_object_extreme_numbers", "{ \"min\": -1.0e+28, \"max\": 1.0e+28 }"),
	C("y_object_long_strings", "{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}],"
	  " \"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"),
	C("y_object_simple", "{\"a\":[]}"),
	C("y_object_string_unicode", "{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430\"}"),
	C("y_object_with_newlines", "{\n\"a\": \"b\"\n}"),
	C("y_string_1_2_3_bytes_UTF-8_sequences", "[\"\\u0060\\u012a\\u12AB\"]"),
	C("y_string_accepted_surrogate_pair", "[\"\\uD801\\udc37\"]"),
	C("y_string_accepted_surrogate_pairs", "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"),
	C("y_string_allowed_escapes", "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
	C("y_string_backslash_and_u_escaped_zero", "[\"\\\\u0000\"]"),
	C("y_string_backslash_doublequotes", "[\"\\\"\"]"),
	C("y_string_comments", "[\"a/*b*/c/*d//e\"]"),
	C("y_string_double_escape_a", "[\"\\\\a\"]"),
	C("y_string_double_escape_n", "[\"\\\\n\"]"),
	C("y_string_escaped_control_character", "[\"\\u0012\"]"),
	C("y_string_escaped_noncharacter", "[\"\\uFFFF\"]"),
	C("y_string_in_array", "[\"asd\"]"),
	C("y_string_in_array_with_leading_space", "[ \"asd\"]"),
	C("y_string_last_surrogates_1_and_2", "[\"\\uDBFF\\uDFFF\"]"),
	C("y_string_nbsp_uescaped", "[\"new\\u00A0line\"]"),
	C("y_string_nonCharacterInUTF-8_U+10FFFF", "[\"\xf4\x8f\xbf\xbf\"]"),
	C("y_string_nonCharacterInUTF-8_U+FFFF", "[\"\xef\xbf\xbf\"]"),
	NOT("y_string_null_escape", "[\"\\u0000\"]", nul),
	C("y_string_one-byte-utf-8", "[\"\\u002c\"]"),
	C("y_string_pi", "[\"\xcf\x80\"]"),
	C("y_string_reservedCharacterInUTF-8_U+1BFFF", "[\"\xf0\x9b\xbf\xbf\"]"),
	C("y_string_simple_ascii", "[\"asd \"]"),
	C("y_string_space", "\" \""),
	C("y_string_surrogates_U+1D11E_MUSICAL_SYMBOL_G_CLEF", "[\"\\uD834\\uDd1e\"]"),
	C("y_string_three-byte-utf-8", "[\"\\u0821\"]"),
	C("y_string_two-byte-utf-8", "[\"\\u0123\"]"),
	C("y_string_u+2028_line_sep", "[\"\xe2\x80\xa8\"]"),
	C("y_string_u+2029_par_sep", "[\"\xe2\x80\xa9\"]"),
	C("y_string_uEscape", "[\"\\u0061\\u30af\\u30EA\\u30b9\"]"),
	C("y_string_uescaped_newline", "[\"new\\u000Aline\"]"),
	C("y_string_unescaped_char_delete", "[\"\x7f\"]"),
	C("y_string_unicode", "[\"\\uA66D\"]"),
	C("y_string_unicodeEscapedBackslash", "[\"\\u005C\"]"),
	C("y_string_unicode_2", "[\"\xe2\x8d\x82\xe3\x88\xb4\xe2\x8d\x82\"]"),
	C("y_string_unicode_U+10FFFE_nonchar", "[\"\\uDBFF\\uDFFE\"]"),
	C("y_string_unicode_U+1FFFE_nonchar", "[\"\\uD83F\\uDFFE\"]"),
	C("y_string_unicode_U+200B_ZERO_WIDTH_SPACE", "[\"\\u200B\"]"),
	C("y_string_unicode_U+2064_invisible_plus", "[\"\\u2064\"]"),
	C("y_string_unicode_U+FDD0_nonchar", "[\"\\uFDD0\"]"),
	C("y_string_unicode_U+FFFE_nonchar", "[\"\\uFFFE\"]"),
	C("y_string_unicode_escaped_double_quote", "[\"\\u0022\"]"),
	C("y_string_utf8", "[\"\xe2\x82\xac\xf0\x9d\x84\x9e\"]"),
	C("y_string_with_del_character", "[\"a\x7f" "a\"]"),
	C("y_structure_lonely_false", "false"),
	C("y_structure_lonely_int", "42"),
	C("y_structure_lonely_negative_real", "-0.1"),
	C("y_structure_lonely_null", "null"),
	C("y_structure_lonely_string", "\"asd\""),
	C("y_structure_lonely_true", "true"),
	C("y_structure_string_empty", "\"\""),
	C("y_structure_trailing_newline", "[\"a\"]\n"),
	C("y_structure_true_in_array", "[true]"),
	C("y_structure_whitespace_array", " [] "),

	C("n_array_1_true_without_comma", "[1 true]"),
	C("n_array_a_invalid_utf8", "[a\xe5]"),
	C("n_array_colon_instead_of_comma", "[\"\": 1]"),
	C("n_array_comma_after_close", "[\"\"],"),
	C("n_array_comma_and_number", "[,1]"),
	C("n_array_double_comma", "[1,,2]"),
	C("n_array_double_extra_comma", "[\"x\",,]"),
	C("n_array_extra_close", "[\"x\"]]"),
	C("n_array_extra_comma", "[\"\",]"),
	C("n_array_incomplete", "[\"x\""),
	C("n_array_incomplete_invalid_value", "[x"),
	C("n_array_inner_array_no_comma", "[3[4]]"),
	C("n_array_invalid_utf8", "[\xff]"),
	C("n_array_items_separated_by_semicolon", "[1:2]"),
	C("n_array_just_comma", "[,]"),
	C("n_array_just_minus", "[-]"),
	C("n_array_missing_value", "[   , \"\"]"),
	C("n_array_newlines_unclosed", "[\"a\",\n4\n,1,"),
	C("n_array_number_and_comma", "[1,]"),
	C("n_array_number_and_several_commas", "[1,,]"),
	C("n_array_spaces_vertical_tab_formfeed", "[\"\va\"\\f]"),
	C("n_array_star_inside", "[*]"),
	C("n_array_unclosed", "[\"\""),
	C("n_array_unclosed_trailing_comma", "[1,"),
	C("n_array_unclosed_with_new_lines", "[1,\n1\n,1"),
	C("n_array_unclosed_with_object_inside", "[{}"),
	C("n_incomplete_false", "[fals]"),
	C("n_incomplete_null", "[nul]"),
	C("n_incomplete_true", "[tru]"),
	C("n_multidigit_number_then_00", "123\0"),
	C("n_number_++", "[++1234]"),
	C("n_number_+1", "[+1]"),
	C("n_number_+Inf", "[+Inf]"),
	C("n_number_-01", "[-01]"),
	C("n_number_-1.0.", "[-1.0.]"),
	C("n_number_-2.", "[-2.]"),
	C("n_number_-NaN", "[-NaN]"),
	C("n_number_.-1", "[.-1]"),
	C("n_number_.2e-3", "[.2e-3]"),
	C("n_number_0.1.2", "[0.1.2]"),
	C("n_number_0.3e+", "[0.3e+]"),
	C("n_number_0.3e", "[0.3e]"),
	C("n_number_0.e1", "[0.e1]"),
	C("n_number_0_capital_E+", "[0E+]"),
	C("n_number_0_capital_E", "[0E]"),
	C("n_number_0e+", "[0e+]"),
	C("n_number_0e", "[0e]"),
	C("n_number_1.0e+", "[1.0e+]"),
	C("n_number_1.0e-", "[1.0e-]"),
	C("n_number_1.0e", "[1.0e]"),
	C("n_number_1_000", "[1 000.0]"),
	C("n_number_1eE2", "[1eE2]"),
	C("n_number_2.e+3", "[2.e+3]"),
	C("n_number_2.e-3", "[2.e-3]"),
	C("n_number_2.e3", "[2.e3]"),
	C("n_number_9.e+", "[9.e+]"),
	C("n_number_Inf", "[Inf]"),
	C("n_number_NaN", "[NaN]"),
	C("n_number_U+FF11_fullwidth_digit_one", "[\xef\xbc\x91]"),
	C("n_number_expression", "[1+2]"),
	C("n_number_hex_1_digit", "[0x1]"),
	C("n_number_hex_2_digits", "[0x42]"),
	C("n_number_infinity", "[Infinity]"),
	C("n_number_invalid+-", "[0e+-1]"),
	C("n_number_invalid-negative-real", "[-123.123foo]"),
	C("n_number_invalid-utf-8-in-bigger-int", "[123\xe5]"),
	C("n_number_invalid-utf-8-in-exponent", "[1e1\xe5]"),
	C("n_number_invalid-utf-8-in-int", "[0\xe5]"),
	C("n_number_minus_infinity", "[-Infinity]"),
	C("n_number_minus_sign_with_trailing_garbage", "[-foo]"),
	C("n_number_minus_space_1", "[- 1]"),
	C("n_number_neg_int_starting_with_zero", "[-012]"),
	C("n_number_neg_real_without_int_part", "[-.123]"),
	C("n_number_neg_with_garbage_at_end", "[-1x]"),
	C("n_number_real_garbage_after_e", "[1ea]"),
	C("n_number_real_with_invalid_utf8_after_e", "[1e\xe5]"),
	C("n_number_real_without_fractional_part", "[1.]"),
	C("n_number_starting_with_dot", "[.123]"),
	C("n_number_with_alpha", "[1.2a-3]"),
	C("n_number_with_alpha_char", "[1.8011670033376514H-308]"),
	C("n_number_with_leading_zero", "[012]"),
	C("n_object_bad_value", "[\"x\", truth]"),
	C("n_object_bracket_key", "{[: \"x\"}"),
	C("n_object_comma_instead_of_colon", "{\"x\", null}"),
	C("n_object_double_colon", "{\"x\"::\"b\"}"),
	C("n_object_emoji", "{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}"),
	C("n_object_garbage_at_end", "{\"a\":\"a\" 123}"),
	C("n_object_key_with_single_quotes", "{key: 'value'}"),
	C("n_object_lone_continuation_byte_in_key_and_trailing_comma", "{\"\xb9\":\"0\",}"),
	C("n_object_missing_colon", "{\"a\" b}"),
	C("n_object_missing_key", "{:\"b\"}"),
	C("n_object_missing_semicolon", "{\"a\" \"b\"}"),
	C("n_object_missing_value", "{\"a\":"),
	C("n_object_no-colon", "{\"a\""),
	C("n_object_non_string_key", "{1:1}"),
	C("n_object_non_string_key_but_huge_number_instead", "{9999E9999:1}"),
	C("n_object_repeated_null_null", "{null:null,null:null}"),
	C("n_object_several_trailing_commas", "{\"id\":0,,,,,}"),
	C("n_object_single_quote", "{'a':0}"),
	C("n_object_trailing_comma", "{\"id\":0,}"),
	C("n_object_trailing_comment", "{\"a\":\"b\"}/**/"),
	C("n_object_trailing_comment_open", "{\"a\":\"b\"}/**//"),
	C("n_object_trailing_comment_slash_open", "{\"a\":\"b\"}//"),
	C("n_object_trailing_comment_slash_open_incomplete", "{\"a\":\"b\"}/"),
	C("n_object_two_commas_in_a_row", "{\"a\":\"b\",,\"c\":\"d\"}"),
	C("n_object_unquoted_key", "{a: \"b\"}"),
	C("n_object_unterminated-value", "{\"a\":\"a"),
	C("n_object_with_single_string", "{ \"foo\" : \"bar\", \"a\" }"),
	C("n_object_with_trailing_garbage", "{\"a\":\"b\"}#"),
	C("n_single_space", " "),
	C("n_string_1_surrogate_then_escape", "[\"\\uD800\\\"]"),
	C("n_string_1_surrogate_then_escape_u", "[\"\\uD800\\u\"]"),
	C("n_string_1_surrogate_then_escape_u1", "[\"\\uD800\\u1\"]"),
	C("n_string_1_surrogate_then_escape_u1x", "[\"\\uD800\\u1x\"]"),
	C("n_string_accentuated_char_no_quotes", "[\xc3\xa9]"),
	C("n_string_backslash_00", "[\"\\\0\"]"),
	C("n_string_escape_x", "[\"\\x00\"]"),
	C("n_string_escaped_backslash_bad", "[\"\\\\\\\"]"),
	C("n_string_escaped_ctrl_char_tab", "[\"\\\t\"]"),
	C("n_string_escaped_emoji", "[\"\\\xf0\x9f\x8c\x80\"]"),
	C("n_string_incomplete_escape", "[\"\\\"]"),
	C("n_string_incomplete_escaped_character", "[\"\\u00A\"]"),
	C("n_string_incomplete_surrogate", "[\"\\uD834\\uDd\"]"),
	C("n_string_incomplete_surrogate_escape_invalid", "[\"\\uD800\\uD800\\x\"]"),
	C("n_string_invalid-utf-8-in-escape", "[\"\\u\xe5\"]"),
	C("n_string_invalid_backslash_esc", "[\"\\a\"]"),
	C("n_string_invalid_unicode_escape", "[\"\\uqqqq\"]"),
	C("n_string_invalid_utf8_after_escape", "[\"\\\xe5\"]"),
	C("n_string_leading_uescaped_thinspace", "[\\u0020\"asd\"]"),
	C("n_string_no_quotes_with_bad_escape", "[\\n]"),
	C("n_string_single_doublequote", "\""),
	C("n_string_single_quote", "['single quote']"),
	C("n_string_single_string_no_double_quotes", "abc"),
	C("n_string_start_escape_unclosed", "[\"\\"),
	C("n_string_unescaped_ctrl_char", "[\"a\0a\"]"),
	C("n_string_unescaped_newline", "[\"new\nline\"]"),
	C("n_string_unescaped_tab", "[\"\t\"]"),
	C("n_string_unicode_CapitalU", "\"\\UA66D\""),
	C("n_string_with_trailing_garbage", "\"\"x"),
	MANY("n_structure_100000_opening_arrays", "[", 100000, ""),
	C("n_structure_U+2060_word_joined", "[\xe2\x81\xa0]"),
	C("n_structure_UTF8_BOM_no_data", "\xef\xbb\xbf"),
	C("n_structure_angle_bracket_.", "<.>"),
	C("n_structure_angle_bracket_null", "[<null>]"),
	C("n_structure_array_trailing_garbage", "[1]x"),
	C("n_structure_array_with_extra_array_close", "[1]]"),
	C("n_structure_array_with_unclosed_string", "[\"asd]"),
	C("n_structure_ascii-unicode-identifier", "a\xc3\xa5"),
	C("n_structure_capitalized_True", "[True]"),
	C("n_structure_close_unopened_array", "1]"),
	C("n_structure_comma_instead_of_closing_brace", "{\"x\": true,"),
	C("n_structure_double_array", "[][]"),
	C("n_structure_end_array", "]"),
	C("n_structure_incomplete_UTF8_BOM", "\xef\xbb{}"),
	C("n_structure_lone-invalid-utf-8", "\xe5"),
	C("n_structure_lone-open-bracket", "["),
	C("n_structure_no_data", ""),
	C("n_structure_null-byte-outside-string", "[\0]"),
	C("n_structure_number_with_trailing_garbage", "2@"),
	C("n_structure_object_followed_by_closing_object", "{}}"),
	C("n_structure_object_unclosed_no_value", "{\"\":"),
	C("n_structure_object_with_comment", "{\"a\":/*comment*/\"b\"}"),
	C("n_structure_object_with_trailing_garbage", "{\"a\": true} \"x\""),
	C("n_structure_open_array_apostrophe", "['"),
	C("n_structure_open_array_comma", "[,"),
	MANY("n_structure_open_array_object", "[{\"\":", 50000, ""),
	C("n_structure_open_array_open_object", "[{"),
	C("n_structure_open_array_open_string", "[\"a"),
	C("n_structure_open_array_string", "[\"a\""),
	C("n_structure_open_object", "{"),
	C("n_structure_open_object_close_array", "{]"),
	C("n_structure_open_object_comma", "{,"),
	C("n_structure_open_object_open_array", "{["),
	C("n_structure_open_object_open_string", "{\"a"),
	C("n_structure_open_object_string_with_apostrophes", "{'a'"),
	C("n_structure_open_open", "[\"\\{[\"\\{[\"\\{[\"\\{"),
	C("n_structure_single_eacute", "\xe9"),
	C("n_structure_single_star", "*"),
	C("n_structure_trailing_#", "{\"a\":\"b\"}#{}"),
	C("n_structure_uescaped_LF_before_string", "[\\u000A\"\"]"),
	C("n_structure_unclosed_array", "[1"),
	C("n_structure_unclosed_array_partial_null", "[ false, nul"),
	C("n_structure_unclosed_array_unfinished_false", "[ true, fals"),
	C("n_structure_unclosed_array_unfinished_true", "[ false, tru"),
	C("n_structure_unclosed_object", "{\"asd\":\"asd\""),
	C("n_structure_unicode-identifier", "\xc3\xa5"),
	C("n_structure_whitespace_U+2060_word_joiner", "\xe2\x81\xa0"),
	C("n_structure_whitespace_formfeed", "[\f]"),

	CAN("i_number_double_huge_neg_exp", "[123.456e-789]"),
	CAN("i_number_huge_exp", "[0.4e00669999999999999999999999999999999999999999999999999999"
	    "999999999999999999999999999999999999999999999999999999999969999999006]"),
	CAN("i_number_neg_int_huge_exp", "[-1e+9999]"),
	CAN("i_number_pos_double_huge_exp", "[1.5e+9999]"),
	CAN("i_number_real_neg_overflow", "[-123123e100000]"),
	CAN("i_number_real_pos_overflow", "[123123e100000]"),
	CAN("i_number_real_underflow", "[123e-10000000]"),
	CAN("i_number_too_big_neg_int", "[-123123123123123123123123123123]"),
	CAN("i_number_too_big_pos_int", "[100000000000000000000]"),
	CAN("i_number_very_big_negative_int", "[-237462374673276894279832749832423479823246327846]"),
	NOT("i_object_key_lone_2nd_surrogate", "{\"\\uDFAA\":0}", lone),
	NOT("i_string_1st_surrogate_but_2nd_missing", "[\"\\uDADA\"]", lone),
	NOT("i_string_1st_valid_surrogate_2nd_invalid", "[\"\\uD888\\u1234\"]", lone),
	NOT("i_string_UTF-16LE_with_BOM", "\xff\xfe[\0\"\0\xe9\0\"\0]\0", utf8),
	NOT("i_string_UTF-8_invalid_sequence", "[\"\xe6\x97\xa5\xd1\x88\xfa\"]", utf8),
	NOT("i_string_UTF8_surrogate_U+D800", "[\"\xed\xa0\x80\"]", utf8),
	NOT("i_string_incomplete_surrogate_and_escape_valid", "[\"\\uD800\\n\"]", lone),
	NOT("i_string_incomplete_surrogate_pair", "[\"\\uDd1ea\"]", lone),
	NOT("i_string_incomplete_surrogates_escape_valid", "[\"\\uD800\\uD800\\n\"]", lone),
	NOT("i_string_invalid_lonely_surrogate", "[\"\\ud800\"]", lone),
	NOT("i_string_invalid_surrogate", "[\"\\ud800abc\"]", lone),
	NOT("i_string_invalid_utf-8", "[\"\xff\"]", utf8),
	NOT("i_string_inverted_surrogates_U+1D11E", "[\"\\uDd1e\\uD834\"]", lone),
	NOT("i_string_iso_latin_1", "[\"\xe9\"]", utf8),
	NOT("i_string_lone_second_surrogate", "[\"\\uDFAA\"]", lone),
	NOT("i_string_lone_utf8_continuation_byte", "[\"\x81\"]", utf8),
	NOT("i_string_not_in_unicode_range", "[\"\xf4\xbf\xbf\xbf\"]", utf8),
	NOT("i_string_overlong_sequence_2_bytes", "[\"\xc0\xaf\"]", utf8),
	NOT("i_string_overlong_sequence_6_bytes", "[\"\xfc\x83\xbf\xbf\xbf\xbf\"]", utf8),
	NOT("i_string_overlong_sequence_6_bytes_null", "[\"\xfc\x80\x80\x80\x80\x80\"]", utf8),
	NOT("i_string_truncated-utf-8", "[\"\xe0\xff\"]", utf8),
	NOT("i_string_utf16BE_no_BOM", "\0[\0\"\0\xe9\0\"\0]", utf8),
	NOT("i_string_utf16LE_no_BOM", "[\0\"\0\xe9\0\"\0]\0", utf8),
	MANY("i_structure_500_nested_arrays", "[", 500, "]"),
	NOT("i_structure_UTF-8_BOM_empty_object", "\xef\xbb\xbf{}", "RFC 8259, 8.1: no BOM is added"),
};
/* clang-format on */

static void run(const struct test_case *t)
{
	bool taken = t->verdict == BY_NAME ? t->name[0] == 'y' : t->verdict == TAKEN;
	struct err e = {.code = ERR_NONE};
	AUTO_BUF b = {0};
	struct cJSON *tree;

	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i < (t->times ? t->times : 1); i++)
		buf_add(&b, t->text, t->n);
	for (unsigned i = 0; i < t->times; i++)
		buf_str(&b, t->tail);
	tree = rpc_json_parse(buf_view(&b), &e);
	ok(taken == (tree != NULL) && taken == (e.code == ERR_NONE), "%s is %s%s%s",
	   t->name, taken ? "taken" : "refused", t->why ? ": " : "",
	   t->why ? t->why : "");
	cJSON_Delete(tree);
}

int main(void)
{
	unsigned y = 0, n = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		y += cases[i].name[0] == 'y';
		n += cases[i].name[0] == 'n';
		run(&cases[i]);
	}
	ok(y == 95 && n == 188, "the list is whole: %u y_ and %u n_", y, n);
	return tap_done();
}
