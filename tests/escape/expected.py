"""What the attacks of probes/ are expected to meet, where that is not simply
"blocked inside, open outside". `python3 expected.py` prints the README's table."""

# Attacks that succeed inside, on purpose. Asserted to be open, so that a change is noticed.
STAYS_OPEN = {
    "F-07.setuid_on_own_file":
        "the bit has no effect: every writable mount is nosuid, no_new_privs is set, and no file "
        "leaves the sandbox with its mode",
    "F-14.flock_shared_inode":
        "at level standard every sandbox sees the host's /usr, and locks on its files are shared: two "
        "sandboxes that both want to can signal each other; the level with an own root image closes it",
    "F-15.inotify_shared_folder":
        "as F-14: a watch on /usr/bin tells that somebody opened a file there, not who or why",
    "F-15.dnotify_shared_folder": "as F-15.inotify_shared_folder, by fcntl()",
    "PR-06.boot_id": "tells one boot of the host from another; nothing is reachable with it",
    "PR-06.stat": "load and uptime of the host; programs read it to count CPUs",
    "PR-06.uptime": "uptime of the host",
    "PR-06.version": "kernel version, also given by uname()",
    "PR-06.loadavg": "load of the host",
    "PR-06.meminfo": "memory of the host; allocators and runtimes read it at start",
    "PR-06.cpuinfo": "processor model, also given by the cpuid instruction",
    "PR-06.vmstat": "memory counters of the host",
    "N-06.setuid_files":
        "at level standard /usr is the host's, with its set-user-id programs; "
        "they gain nothing (N-06.setuid_runs_as_root is blocked)",
    "S-11.writable_code": "JIT compilers (Node) need memory that is writable and executable",
    "S-11.run_from_memory": "as writable code: whoever runs code needs no file for it",
    "D-04.terminals":
        "the kernel counts the pseudo-terminals of all sandboxes together (kernel.pty.max): one can "
        "use up those not reserved for the host (kernel.pty.reserve) until its deadline, or the end of "
        "its session",
    "K-08.dumpable": "a program may make itself dumpable; pid 1 and the guest stay undumpable",
}

# Attacks that may succeed as real root outside, on this very host: each looked at for harm.
# Everything else is tried as an ordinary user, in a user namespace and in a plain bubblewrap only.
ROOT_MAY = {
    "F-03.write_program", "F-03.chmod_program", "F-03.add_program", "F-04.shadow", "F-04.gshadow",
    "F-04.root_home", "F-08.char_device", "F-08.block_device", "F-10.open_by_handle",
    "F-14.lease_shared_inode", "PR-01.timer_list", "PR-01.mtrr", "PR-01.schedstat",
    "PR-02.kcore", "PR-02.kmsg", "PR-02.slabinfo", "PR-02.vmallocinfo", "PR-02.pagetypeinfo",
    "PR-02.kpagecount", "PR-02.dev_mem", "PR-02.dev_kmsg", "PR-03.sysrq_trigger",
    "PR-03.core_pattern", "PR-03.hostname", "PR-03.overcommit", "PR-03.ip_forward",
    "PR-03.binfmt_misc", "PR-03.mtrr", "PR-03.irq_affinity", "PR-04.last_pid",
    "S-09.kexec_load", "S-09.kexec_file_load", "S-09.init_module", "S-09.finit_module",
    "S-09.delete_module", "S-09.swapon", "S-09.swapoff", "S-09.acct", "S-09.iopl", "S-09.ioperm",
    "S-09.vhangup", "S-09.syslog", "S-09.setgroups", "S-10.userfaultfd", "S-12.mlockall",
    "K-03.bpf_program", "K-03.bpf_map", "K-04.perf_event", "T-06.settimeofday", "T-08.fifo",
    "T-08.real_time_attr", "T-08.nice", "T-08.io_priority",
    "X-04.packet", "X-04.packet_dgram", "X-04.xdp",
    "X-04.raw_icmp", "X-04.raw6", "X-08.force_receive_buffer", "X-08.force_send_buffer",
    "X-08.socket_mark",
}

# Filled by the tests: the attacks of NO_CONTROL that in fact had none on this host.
without_control = {}

ABSENT = {"ENOENT"}
NO_FAMILY = {"EAFNOSUPPORT"}
NO_CALL = {"ENOSYS"}

# Where a host has nothing to attack, the attack cannot succeed outside either. That is accepted only
# with the very answer given here, from every control; an id that is open on one host and has no
# control on another may be in both worlds.
NO_CONTROL = {
    "F-04.boot": ("this host has an empty /boot", {"empty", "ENOENT"}),
    "F-04.mnt": ("this host has an empty /mnt", {"empty", "ENOENT"}),
    "F-04.home": ("this host has an empty /home", {"empty", "ENOENT"}),
    "F-04.docker_socket": ("no docker here", ABSENT),
    "F-04.host_unix_socket": ("no D-Bus here", ABSENT),
    "F-04.machine_id": ("no machine-id here", ABSENT | {"empty"}),
    "F-04.link_out": ("no machine-id here", ABSENT),
    "F-04.fstab": ("no fstab here", ABSENT | {"empty"}),
    "F-11.statmount": ("this kernel is older than 6.8", NO_CALL),
    "F-11.listmount": ("this kernel is older than 6.8", NO_CALL),
    "F-11.fanotify": ("this kernel has no unprivileged fanotify", NO_CALL | {"EPERM"}),
    "F-11.quotactl_fd": ("this kernel has no quota", NO_CALL),
    "PR-01.config.gz": ("this kernel does not show its configuration", ABSENT),
    "PR-01.modules": ("this kernel has no modules", ABSENT),
    "PR-01.sched_debug": ("this kernel shows it in debugfs only", ABSENT),
    "PR-01.schedstat": ("this kernel keeps no schedstat", ABSENT),
    "PR-01.iomem": ("this kernel does not show it to us", {"empty", "EACCES"}),
    "PR-01.ioports": ("this kernel does not show it to us", {"empty", "EACCES"}),
    "PR-01.mtrr": ("this processor has no MTRR", ABSENT | {"EPERM", "empty"}),
    "PR-01.pressure/cpu": ("this kernel has no PSI", ABSENT),
    "PR-01.bus/pci/devices": ("this machine has no PCI", ABSENT | {"empty"}),
    "PR-01.fs/ext4/vda/mb_groups": ("no ext4 on vda here", ABSENT | {"EACCES"}),
    "PR-01.irq/0/spurious": ("this kernel numbers its interrupts otherwise", ABSENT),
    "PR-02.kcore": ("this kernel has no kcore", ABSENT),
    "PR-02.dev_mem": ("this machine has no /dev/mem", ABSENT),
    "PR-02.vmallocinfo": ("this kernel does not show it", ABSENT),
    "PR-02.pagetypeinfo": ("this kernel does not show it", ABSENT),
    "PR-03.sysrq_trigger": ("this kernel has no sysrq", ABSENT),
    "PR-03.binfmt_misc": ("binfmt_misc is not mounted here", ABSENT),
    "PR-03.mtrr": ("this processor has no MTRR", ABSENT),
    "PR-03.irq_affinity": ("this kernel numbers its interrupts otherwise", ABSENT),
    "PR-03.own_attr": ("this kernel has no security module with attributes", ABSENT | {"EINVAL"}),
    "PR-04.last_pid": ("this kernel has no checkpoint/restore", ABSENT),
    "PR-09.cgroup_path": ("these tests run in a root cgroup themselves", {"only /"}),
    "S-01.int80": ("this kernel has no 32-bit entry", {"killed by SIGSEGV", "ENOSYS"}),
    "S-02.x32": ("this kernel is built without x32", NO_CALL),
    "S-04.unknown_calls": ("no kernel has these yet: inside and outside must agree",
                           {"all ENOSYS"}),
    "S-04.newer_calls": ("this kernel has none of these", {"all refused"}),
    "S-09.kexec_load": ("this kernel has no kexec", NO_CALL),
    "S-09.kexec_file_load": ("this kernel has no kexec", NO_CALL),
    "S-09.init_module": ("this kernel has no modules", NO_CALL),
    "S-09.finit_module": ("this kernel has no modules", NO_CALL),
    "S-09.delete_module": ("this kernel has no modules", NO_CALL),
    "S-09.iopl": ("this kernel has no port access", NO_CALL),
    "S-09.ioperm": ("this kernel has no port access", NO_CALL),
    "S-10.memfd_secret": ("secret memory is switched off here", NO_CALL),
    "S-10.modify_ldt": ("this kernel has no LDT", NO_CALL),
    "K-02.io_uring_setup": ("io_uring is switched off here", NO_CALL | {"EPERM"}),
    "K-04.perf_event": ("perf is switched off here", NO_CALL | {"EACCES", "EPERM"}),
    "K-08.core_scheduling": ("this kernel has no core scheduling", NO_CALL),
    "X-02.vsock": ("no vsock in this kernel", NO_FAMILY),
    "X-02.vsock_datagram": ("no vsock in this kernel", NO_FAMILY | {"ESOCKTNOSUPPORT"}),
    "X-05.mptcp": ("no MPTCP in this kernel", {"EPROTONOSUPPORT"}),
    "X-05.mptcp6": ("no MPTCP in this kernel", {"EPROTONOSUPPORT"}),
    "X-05.smc_protocol": ("no SMC in this kernel", {"EPROTONOSUPPORT"}),
    "X-04.sctp": ("no SCTP in this kernel", {"EPROTONOSUPPORT"}),
    "X-04.dccp": ("no DCCP in this kernel", {"ESOCKTNOSUPPORT", "EPROTONOSUPPORT"}),
    "X-04.udplite": ("no UDP-Lite in this kernel", {"EPROTONOSUPPORT"}),
    "X-06.metadata_service": ("this host has no route to it either",
                              {"ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED"}),
    "X-06.interfaces": ("this host has nothing but lo", {"only lo"}),
    "X-06.routes": ("this host has no route", {"none"}),
    "X-08.out_of_band_unix": ("this kernel has no MSG_OOB for AF_UNIX", {"EOPNOTSUPP"}),
}
for _tag in ("alg key rds rxrpc tipc can bluetooth xdp qipcrtr smc kcm ax25 x25 ipx appletalk llc "
             "pppox phonet nfc mctp").split():
    NO_CONTROL["X-04." + _tag] = ("not in this kernel", NO_FAMILY)
for _tag in "selinux audit connector xfrm netfilter sock_diag crypto".split():
    NO_CONTROL["X-03.netlink_" + _tag] = ("not in this kernel", {"EPROTONOSUPPORT"})
for _tag in "vda kvm fuse net/tun vsock vhost-vsock mem kmsg console loop-control userfaultfd mapper/control".split():
    NO_CONTROL["D-02." + _tag] = ("this host has no such device", ABSENT)
for _tag in "block_device".split():
    NO_CONTROL["D-02." + _tag] = ("this host shows no block device", {"none"})

# How an attack must be refused, where programs depend on the very error.
_FALL_BACK = "C libraries and runtimes fall back to older calls on ENOSYS only"
_NO_FAMILY = "resolvers take EAFNOSUPPORT for `this machine has none` and go on"
EXACTLY = {
    "S-01.int80": ("killed by SIGSYS", "an entry the filter cannot judge must not return"),
    "S-02.x32": ("killed by SIGSYS", "an entry the filter cannot judge must not return"),
    "S-04.unknown_calls": ("all ENOSYS", _FALL_BACK),
    "N-01.clone3_user": ("ENOSYS", _FALL_BACK),
    "N-01.unshare_user": ("EPERM", "a refusal, not a missing call"),
    "N-03.open_tree": ("ENOSYS", _FALL_BACK),
    "N-03.move_mount": ("ENOSYS", _FALL_BACK),
    "N-03.fsopen": ("ENOSYS", _FALL_BACK),
    "N-03.fsconfig": ("ENOSYS", _FALL_BACK),
    "N-03.fsmount": ("ENOSYS", _FALL_BACK),
    "N-03.fspick": ("ENOSYS", _FALL_BACK),
    "N-03.mount_setattr": ("ENOSYS", _FALL_BACK),
    "K-02.io_uring_setup": ("ENOSYS", _FALL_BACK),
    "K-02.io_uring_enter": ("ENOSYS", _FALL_BACK),
    "K-02.io_uring_register": ("ENOSYS", _FALL_BACK),
    "K-01.add_key": ("EPERM", "a refusal, not a missing call"),
    "K-05.traceme": ("EPERM", "a refusal, not a missing call"),
    "S-05.tiocsti_high_bits": ("EPERM", "the filter's answer, not the terminal's"),
    "X-02.vsock": ("EAFNOSUPPORT", _NO_FAMILY),
    "X-03.netlink_route": ("EAFNOSUPPORT", _NO_FAMILY),
    "X-04.alg": ("EAFNOSUPPORT", _NO_FAMILY),
    "X-04.packet": ("EAFNOSUPPORT", _NO_FAMILY),
    "X-05.mptcp": ("EPROTONOSUPPORT", "programs then take TCP"),
}

# Attacks that succeed in a session and not in a run of its own, on purpose: what they then say, and why.
OPEN_IN_SESSION = {
    "F-01.any_mount":
        ("a file can be made in /run/fumehood",
         "where the guest leaves each call's code and words for the driver: a tmpfs of the session alone, "
         "bounded, without devices and set-user-id; what a program spoils there are its own session's calls"),
    "F-06.inherited_fd":
        ("fd 3 is socket:",
         "an interpreter's line to the guest and its pipe for outputs: code can take its own driver over, and "
         "then speaks for its own calls only (test_sessions.py)"),
    "PR-07.strangers": ("pid ", "a session is one room: its programs see each other, and nobody else's"),
    "T-04.signal_strangers":
        ("pid ", "the interpreter that started the attack; where Landlock has no scopes (Linux before 6.12), "
                 "others of the same session too"),
}

# The same in a cell.
OPEN_IN_CELL = {
    "T-04.signal_strangers": ("pid 2", "the interpreter that started the attack, which is the program itself"),
}

# Attacks of the threat list that have nothing to be tried on yet.
NOT_REACHABLE = {
    "F-12": "no host process opens a path in a workspace: it is a tmpfs inside the sandbox; of a session's, an "
            "unprivileged process inside does, and hands out a descriptor (test_sessions.py)",
    "PR-10": "masks lie over a procfs mounted fresh in each room; unmounting one is N-03.unmount_mask",
    "X-07": "there is no proxy: no socket leads out of the sandbox at all",
    "X-09": "as X-07",
    "R-09": "there are no persistent workspaces; the size of one file is R-09.file_size",
}


def main():
    print("| attack | why it stays open |\n|---|---|")
    for name, why in STAYS_OPEN.items():
        print(f"| {name} | {why} |")
    for name, (_, why) in OPEN_IN_SESSION.items():
        print(f"| {name}, in a session | {why} |")
    print("\n| not reachable | why |\n|---|---|")
    for name, why in NOT_REACHABLE.items():
        print(f"| {name} | {why} |")


if __name__ == "__main__":
    main()
