"""Forty steps in bash; each builds on those before it."""
from steps import Step

WORDS = "".join(f"w{i * 31 % 97} {i}\n" for i in range(3000))

STEPS = [
    Step("x=41; rows=(3 1 2); declare -A map=([one]=1 [two]=2)"),
    Step("echo $((x + 1))"),
    Step("printf '%s\\n' \"${rows[@]}\" | sort; printf '%5.2f|%-4s|%q\\n' 3.14159 ab 'a b'"),
    Step("area() { local r=$1; echo $((r * r * 3)); }; area 2"),
    Step("for r in 1 2 3; do area $r; done; type -t area; r=${r:-unset}; echo $r"),
    Step("echo \"${!map[@]}\" | tr ' ' '\\n' | sort; echo ${map[two]} ${#rows[@]} ${rows[-1]}"),
    Step("echo before; false; echo \"after $?\"; nope; echo $?"),
    Step("echo $x; (exit 5)"),
    Step("echo \"last was $?\""),
    Step("if then"),
    Step("echo one; echo 'not closed"),
    Step("echo $((1 / 0)); echo not here"),
    Step("echo \"status $?, x $x\""),
    Step("echo 'αβγ 🙂 שלום é'; s=日本語; echo ${#s} ${s:1:1} ${s^^}; printf '\\u00e9\\n'"),
    Step("read -r name; read -r age; rest=$(cat); echo \"$name|$age|$rest\"", stdin="Åsa\n37\nmore\nlines"),
    Step("total=0; while read -r n; do total=$((total + n)); echo so far $total; done",
         background=["1\n2\n", "3\n", "4\n5\n"]),
    Step("echo $total $name"),
    Step("mkdir out; printf '\\x00\\x01\\xff' > out/ünïcode.bin; echo '{\"k\": 1}' > out/data.json; ls out",
         download=["out/ünïcode.bin", "out/data.json"]),
    Step("sort words.txt | cut -d' ' -f1 | uniq -c | sort -k1,1nr -k2 | head -5; wc -l < words.txt; "
         "awk '{ s += $2 } END { print s, s / NR }' words.txt", upload={"words.txt": WORDS.encode()}),
    Step("for ((i = 0; i < 60000; i++)); do echo \"$i $((i * i)) some more words\"; done"),     # 1.9 MiB
    Step("echo to err >&2; echo to out; ls /does/not/exist; echo $?"),
    Step("echo turning; i=0; while :; do i=$((i + 1)); done", cancel="turning"),
    Step("((i > 0)) && echo $x"),
    Step("echo asleep; sleep 60; echo never", timeout="asleep"),
    Step("echo \"$? $x ${rows[*]}\""),
    Step("(echo waiting; exec sleep 60) | cat; echo never", cancel="waiting"),
    Step("alias hi='echo hello'; shopt -s expand_aliases nullglob; echo *.nothing"),
    Step("hi there; shopt -q nullglob && echo on"),
    Step("set -- a 'b c' d; echo $# \"$2\"; shift; echo $1", alike=("stdout", "exit")),
    Step("counter() { ((n++)); echo $n; }; n=5; counter; counter"),
    Step("echo $n; n=$(counter); echo $n"),
    Step("diff <(printf '1\\n2\\n') <(printf '1\\n3\\n'); echo $?"),
    Step("set -o pipefail; false | true; echo $?; set +o pipefail; false | true; echo $? ${PIPESTATUS[0]}"),
    Step("trap 'echo on exit' USR1; kill -USR1 $$; trap - USR1; echo done"),
    Step("case $name in Å*) echo starts;; *) echo no;; esac; [[ $name =~ ^(.)s(.)$ ]] && echo ${BASH_REMATCH[2]}"),
    Step("cat <<END\n$x $((2 ** 40)) ${name/s/S}\nEND\ncat <<'END'\n$x\nEND"),
    Step("f() { return 3; }; f; echo $?; f || echo handled; ! f; echo $?"),
    Step("(x=2; cd /; echo $x); echo $x ${PWD##*/}"),
    Step("mkdir -p deep/er; cd deep; export STAYS=yes; ls"),
    Step("echo ${PWD##*/} $OLDPWD | cut -d/ -f1; bash -c 'echo $STAYS'; python3 -c 'print(6 * 7)'"),
    Step("exit 9", outside="(exit 9)"),             # it would be the end of the one outside
    Step("set -e; false; echo not here", outside="(exit 1)"),
    Step("set +e; echo $x; f; echo $?"),
    Step("unset x; echo \"[$x]\" ${x-unset} ${x:=new}; readonly R=1; R=2; echo not here"),
    Step("echo $x $R; coproc cat; echo to coproc >&${COPROC[1]}; read -r -u ${COPROC[0]} got; echo $got",
         alike=("stdout", "exit")),                 # an interactive bash names the job
    Step("sleep 30 & pid=$!; kill $pid; wait $pid 2>/dev/null; echo $?", alike=("stdout", "exit")),
    Step("mapfile -t lines < ../words.txt; echo ${#lines[@]} \"${lines[10]}\"; printf '%s\\n' \"${lines[@]:0:2}\""),
    Step("printf '%s;' $x $name $total ${rows[@]} $n $STAYS ${PWD##*/} \"$(area 3)\"; ls .."),
]
