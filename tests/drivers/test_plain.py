"""JavaScript that declares and awaits nothing takes a shorter way: nothing may tell."""
import pytest

PAIRS = [  # code, and the same with something that makes it take the longer way
    "1+1", "{a: 1}", "[1, 2].map((x) => x * 2)", "if (true) 5", "'use strict'; 3", "undefined", "null", "-0",
    "Promise.resolve(4)", "Promise.reject(new Error('no'))", "Promise.reject(5)", "this === globalThis",
    "typeof x", "x = 7; x", "null.x", "throw 5", "throw new RangeError('far')", "JSON.parse('{')", "eval('1 +')",
    "new Function('return 1 +')", "1 +", "a b", "}", "'\\u0061'", "console.log('out'); 3", "(() => null.y)()",
    "\n\nnull.x", "1;\nnosuch", "// nothing", "", "process.exit(3)", "1; process.exit(); 2", "setTimeout(() => {}, 0); 8",
    "[].concat(1).at(0)", "Symbol('s')", "10n ** 20n", "({toString() { throw 1 }})", "/a\\/b/.test('a/b')", "`${1 + 1}`",
    "new Promise((yes) => setTimeout(yes, 5, 'late'))", "new Proxy({}, {get() { throw new Error('got') }})",
]


def longer(code):
    return code + "\n/* let */"


def seen(done, number):
    """All there is to see of a call, without its number."""
    def plain(value):
        return value.replace(f"<call {number}>", "<call>") if isinstance(value, str) else value
    return (done.code, plain(done.out), plain(done.err), done.value,
            done.error and {name: plain(value) for name, value in done.error.items()})


@pytest.mark.parametrize("code", PAIRS)
def test_both_ways_show_the_same(js, code):
    js.run("let warm = 1")
    short = seen(js.run(code), js.calls)
    long = seen(js.run(longer(code)), js.calls)
    if short[4] and code in ("1 +", "}", "a b"):        # where a syntax error lies depends on the text after it
        assert short[4]["type"] == long[4]["type"] == "SyntaxError"
        return
    assert short == long


def test_it_sees_what_the_longer_way_has_declared(js):
    js.run("let a = 1; const b = 2; class C { five() { return 5 } } function f() { return a } var v = 4")
    assert [js.run(code).value for code in ("a + b", "new C().five()", "f()", "v", "a = 9; f()")] == \
        ["3", "5", "1", "4", "9"]
    assert js.run("b = 3").error["type"] == "TypeError"
    assert js.run("g = 6").value == "6" and js.run("let h = g; h").value == "6"
    assert js.run("let a = 20; a").value == "20" and js.run("a").value == "20"


def test_an_error_in_what_an_earlier_call_left_names_that_call(js):
    js.run("function boom() {\n\tnull.x\n}")
    error = js.run("\nboom()").error
    assert (error["type"], error["line"]) == ("TypeError", 2)
    assert "<call 1>:2" in error["traceback"] and "<call 2>:2" in error["traceback"]
    assert "driver.js" not in error["traceback"] and "node:vm" not in error["traceback"]


def test_an_interrupt_and_an_exit_end_it(js):
    js.run("kept = 5")
    for _ in range(3):
        assert js.interrupted("console.log('ready'); while (true);").code == 130
        done = js.run("console.log('a'); process.exit(4); console.log('b')")
        assert (done.code, done.out) == (4, "a\n")
        assert js.run("kept").value == "5"
