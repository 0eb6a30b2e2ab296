# driver.sh: runs the bash of a session, call after call, in one shell.
#
# Theory of operation.  The guest starts us with its socket as 3 and a pipe as 4; the files of a
# call lie beside this one.  A line `run N` comes in, N.code is sourced at the top level (in a
# function `declare` would make locals), and `end N STATUS` goes out.
#
# What ends a shell for good -- `exit`, `set -e`, `set -u`, ${x:?}, an interrupt -- is to end a
# call only.  Nothing in bash takes back such an end, but the EXIT trap is still run in a shell
# that knows everything.  So ours has a subshell write that down as commands (declare -p and its
# kin), becomes a new bash, and reads it back: the same process, with the same children, files,
# umask and limits.  Only the table of jobs is lost: what runs in the background goes on, but
# `wait` does not know it any more.
#
# An EXIT trap of the code would be in the way of ours.  `trap` is therefore a function that
# keeps it, and it runs at the end of the call that set it, as at the end of a script.
#
# The loop at the end has no body but the code.  Whatever that does to a loop (`break`,
# `continue`) or to the shell leads to one of two places: the loop's condition or the EXIT trap.
#
# The guest's socket is kept as 96, since people use the low numbers, and CLOEXEC.  bash has no
# command for that, but a duplicate inherits the flag (unless it is 0, 1 or 2), and the copy that
# bash keeps of a descriptor closed for a while has it.

_fumehood_driver=$0
_fumehood_home=${0%/*}
_fumehood_call=0            # the number of the call
_fumehood_phase=idle        # or running (the code), or ending (the code's EXIT trap)
_fumehood_status=0          # of the last command; the next call begins with it as its $?
_fumehood_again=            # there was a shell before this one, and a call that ended it
_fumehood_on_exit=          # the code's EXIT trap
_fumehood_trace=            # the code has set -x
_fumehood_options=          # of the shell before this one
_fumehood_traps=            # its traps
_fumehood_command=          # what the loop does next
_fumehood_args=()

# say STATUS: makes it $?.
_fumehood_say() {
	return "$1"
}

_fumehood_on_interrupt() {
	[[ $_fumehood_phase == idle ]] || exit 130
}

# A signal that kills a shell would leave it by way of the EXIT trap too.
_fumehood_on_kill() {
	builtin trap - EXIT "$1"
	builtin kill -s "$1" "$$"
}

# Prints, once for each, the local variables in force.  $1: a value that none has.  A name means
# a global one if `declare -g` changes what it says; but that is wrong about arrays, so the last
# of several arrays is taken for global.  For a subshell: nothing is left in order.
_fumehood_locals() {
	local _fumehood_name _fumehood_count
	while IFS= builtin read -r _fumehood_name; do
		case $_fumehood_name in
		_ | _fumehood_* | BASH* | FUNCNAME | LINENO | *RANDOM | *SECONDS | EPOCHREALTIME | \
			DIRSTACK | GROUPS | HISTCMD | PIPESTATUS | PPID | UID | EUID | SHELLOPTS) continue ;;
		esac
		[[ ! -R $_fumehood_name ]] || continue
		if [[ ${!_fumehood_name@a} == *[aA]* ]]; then
			_fumehood_count=0
			while builtin declare -p "$_fumehood_name" &>/dev/null &&
				builtin unset -v "$_fumehood_name" 2>/dev/null; do
				((_fumehood_count++ == 0)) || builtin printf '%s\n' "$_fumehood_name"
			done
			continue
		fi
		builtin declare -g "$_fumehood_name=$1" 2>/dev/null || continue
		until [[ ${!_fumehood_name-} == "$1" ]]; do
			builtin unset -v "$_fumehood_name" 2>/dev/null || break
			builtin printf '%s\n' "$_fumehood_name"
		done
	done < <(\builtin compgen -v)
}

# All that this shell knows, as commands; functions last, since only they could be misread.
_fumehood_state() {
	local _fumehood_name
	while IFS= builtin read -r _fumehood_name; do
		builtin unset -v "$_fumehood_name"
	done < <(_fumehood_locals 7046029254386353131)
	builtin unset -v POSIXLY_CORRECT        # with it, an attempt on a read-only variable is the end
	builtin declare -p
	builtin alias -p
	# functions were read once already: aliases of the code are not to change them now
	builtin printf 'unset -f trap\n%s\nshopt -s extglob\nshopt -u expand_aliases\n' "$_fumehood_traps"
	builtin declare -f
	while IFS=' ' builtin read -r _ _ _fumehood_name; do
		builtin printf 'declare -fx %s\n' "$_fumehood_name"
	done < <(\builtin declare -Fx)
}

# The EXIT trap: the next shell ends the call.
_fumehood_on_end() {
	_fumehood_status=$?
	_fumehood_options=$(\builtin shopt -p; \builtin set +o)       # what stands in $( ) or <( ) is
	_fumehood_traps=$(\builtin trap -p)        # read only now, with the aliases of the code
	_fumehood_again=yes
	builtin set +eux +o posix
	exec 98< <(_fumehood_state 2>/dev/null) <&96
	builtin unset -v BASH_ENV POSIXLY_CORRECT
	exec "$BASH" --norc --noprofile "$_fumehood_driver" again
}

# The EXIT trap of the code belongs to its call, that of the shell to us.  All else is bash's.
trap() {
	local _fumehood_action=${1-} _fumehood_name _fumehood_others=()
	if [[ $BASHPID != "$$" ]]; then
		builtin trap "$@"
		return
	fi
	case $_fumehood_action in
	-l) builtin trap -l && return ;;
	-p | '')
		(($# < 2)) || [[ $_fumehood_action == '' ]] || _fumehood_action=-p
		if (($# == 0)) || [[ $_fumehood_action == -p ]]; then
			[[ -z $_fumehood_on_exit ]] ||
				builtin printf "trap -- '%s' EXIT\n" "${_fumehood_on_exit//\'/\'\\\'\'}"
			builtin trap -p "${@:2}" | while IFS= builtin read -r _fumehood_name; do
				[[ $_fumehood_name == *" '_fumehood_on_"* ]] || builtin printf '%s\n' "$_fumehood_name"
			done
			return 0
		fi
		;;
	--) shift && _fumehood_action=${1-} ;;
	esac
	if (($# == 1)); then        # one word alone: a signal to reset
		_fumehood_action=-
	else
		shift
	fi
	for _fumehood_name in "$@"; do
		case ${_fumehood_name^^} in
		EXIT | SIGEXIT | 0) _fumehood_on_exit=${_fumehood_action#-} ;;
		*) _fumehood_others+=("$_fumehood_name") ;;
		esac
	done
	((${#_fumehood_others[@]} == 0)) || builtin trap -- "$_fumehood_action" "${_fumehood_others[@]}"
}

# What the loop is to do next, as _fumehood_command.  Fails when the guest is gone.
_fumehood_next() {
	local _fumehood_left=$? _fumehood_line= _fumehood_part
	_fumehood_trace=
	if [[ $- == *x* ]]; then
		builtin set +x
		_fumehood_trace='set -x; '
	fi
	if [[ $_fumehood_phase == running && ! $_fumehood_again ]]; then
		_fumehood_status=$_fumehood_left
	fi
	_fumehood_again=
	if [[ $_fumehood_phase == running && $_fumehood_on_exit ]]; then
		_fumehood_phase=ending
		_fumehood_compose "{ $_fumehood_on_exit"$'\n}'
		_fumehood_on_exit=
		return 0
	fi
	if [[ $_fumehood_phase != idle ]]; then
		_fumehood_phase=idle
		builtin printf 'end %d %d\n' "$_fumehood_call" "$_fumehood_status" >&96
	fi
	until IFS= builtin read -r -u 96 _fumehood_part; do
		(($? > 128)) || return 1        # not the end: TMOUT of the code, or a signal
		_fumehood_line+=$_fumehood_part # which has taken what was there of the order
	done
	_fumehood_line+=$_fumehood_part
	_fumehood_call=${_fumehood_line#run }
	_fumehood_phase=running
	_fumehood_prepare "$_fumehood_home/$_fumehood_call"
	return 0
}

# The surroundings of a call, and its command.  $1: its files, but for their suffixes.
_fumehood_prepare() {
	local _fumehood_pair _fumehood_folder
	if [[ -e $1.in ]]; then
		exec <"$1.in"
	else
		exec </dev/null
	fi
	_fumehood_args=()
	[[ ! -e $1.args ]] || builtin mapfile -d '' -t _fumehood_args <"$1.args"
	if [[ -e $1.env ]]; then
		while IFS= builtin read -r -d '' _fumehood_pair; do
			builtin export "$_fumehood_pair"
		done <"$1.env"
	fi
	if [[ -e $1.cwd ]]; then
		IFS= builtin read -r -d '' _fumehood_folder <"$1.cwd"
		if ! builtin cd -- "$_fumehood_folder"; then      # again, in the open, in place of the code
			_fumehood_command="builtin cd -- ${_fumehood_folder@Q}"
			return
		fi
	fi
	_fumehood_compose ". ${1@Q}.code"
	_fumehood_command="set -- \"\${_fumehood_args[@]}\"; $_fumehood_command"
}

# compose COMMAND: it is to find the $? and the set -x that the one before it left.
_fumehood_compose() {
	_fumehood_command=$1
	((_fumehood_status == 0)) ||
		_fumehood_command="_fumehood_say $_fumehood_status || $_fumehood_command"
	_fumehood_command=$_fumehood_trace$_fumehood_command
}

# keep FD: the guest's socket moves from FD to 96.
_fumehood_keep() {
	local copy=10
	while [[ -e /dev/fd/$copy ]]; do
		((++copy))
	done
	builtin eval "{ exec 96<&$copy; } $1<&-"
	builtin eval "exec $1<&-"
}

# In one piece, so that it is parsed before any alias of the code is back.
{
	BASH_ARGV0=bash
	shopt -s expand_aliases
	builtin trap _fumehood_on_interrupt INT
	for _fumehood_command in HUP ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM TERM XCPU XFSZ VTALRM SYS; do
		builtin trap "_fumehood_on_kill $_fumehood_command" "$_fumehood_command"
	done
	if [[ $1 == again ]]; then
		_fumehood_keep 0
		exec </dev/null
		. /dev/fd/98 2>/dev/null
		exec 98<&-
	else
		_fumehood_keep 3
		exec 4>&-           # there are no rich results of bash
		printf 'up\n' >&96
	fi
	builtin trap _fumehood_on_end EXIT
	eval "$_fumehood_options"
	while { _fumehood_next; } 2>/dev/null; do
		eval "$_fumehood_command"
	done
	if [[ $_fumehood_phase == idle ]]; then
		builtin trap - EXIT
	fi
	exit
}
