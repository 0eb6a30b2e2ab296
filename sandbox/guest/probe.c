/* probe.c: the doctor's checks: attacks tried from where a program would run.
 *
 * They run after every layer is on, in the process that would become the program. Each line is
 * `name held|open detail`; the host reads them as untrusted text and counts a missing line as
 * open. Nothing here may harm the host should a layer be missing: files are opened, not written. */
#include "sandbox/base/fd.h"
#include "sandbox/base/mem.h"
#include "sandbox/guest/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each attack returns 0 when it got through, else an errno value (never 0). */
static int refused(long r)
{
	return r < 0 ? errno : 0;
}

static int opened(const char *path, int flags)
{
	AUTO_FD fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);

	return refused(fd);
}

static int write_root(void)
{
	return opened("/fumehood-probe", O_CREAT | O_WRONLY);
}

static int write_usr(void)
{
	return opened("/usr/bin/true", O_WRONLY);
}

static int read_shadow(void)
{
	return opened("/etc/shadow", O_RDONLY);
}

static int host_homes(void)
{
	return opened("/root", O_RDONLY) && opened("/home", O_RDONLY) ? ENOENT : 0;
}

static int sys_tree(void)
{
	return opened("/sys/kernel", O_RDONLY);
}

static int core_pattern(void)
{
	return opened("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static int init_memory(void)
{
	return opened("/proc/1/mem", O_RDWR);
}

static int init_kill(void)
{
	return refused(kill(1, SIGTERM));
}

static int user_namespace(void)
{
	return refused(unshare(CLONE_NEWUSER));
}

static int mount_tmpfs(void)
{
	return refused(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
}

static int trace_me(void)
{
	return refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int io_uring(void)
{
	char params[120] = {0};

	return refused(syscall(SYS_io_uring_setup, 1, params));
}

static int bpf_map(void)
{
	unsigned attr[18] = {2, 4, 4,
			     1}; /* BPF_MAP_TYPE_ARRAY, key 4, value 4, 1 entry */

	return refused(syscall(SYS_bpf, 0, attr, sizeof(attr)));
}

static int keyring(void)
{
	return refused(
		syscall(SYS_keyctl, 0, -3, 1)); /* GET_KEYRING_ID, session, create */
}

static int packet_socket(void)
{
	return refused(socket(AF_PACKET, SOCK_RAW, 0));
}

static int netlink_socket(void)
{
	return refused(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int vsock_socket(void)
{
	return refused(socket(40, SOCK_STREAM, 0));
}

static int udp_socket(void)
{
	return refused(socket(AF_INET, SOCK_DGRAM, 0));
}

/* Only lo may exist, and no route: with the interface list empty but for it, nothing leads out. */
static int network_device(void)
{
	char text[4096];
	AUTO_FD fd = open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines <= 3 ? ENODEV : 0; /* two heading lines and lo */
}

static int capabilities(void)
{
	char text[4096];
	AUTO_FD fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	static const char *const none[] = {
		"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"};

	text[n > 0 ? n : 0] = '\0';
	for (unsigned i = 0; i < ARRAY_LEN(none); i++)
		if (!strstr(text, none[i]))
			return 0;
	return EPERM;
}

/* Descriptors beyond the three standard ones: a way to the host's tree (CVE-2024-21626). */
static int inherited_fds(void)
{
	for (int fd = 3; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 0;
	return EBADF;
}

static const struct {
	const char *name;
	int (*attack)(void);
} probes[] = {
	{"capabilities", capabilities},
	{"inherited_fds", inherited_fds},
	{"write_root", write_root},
	{"write_usr", write_usr},
	{"read_shadow", read_shadow},
	{"host_homes", host_homes},
	{"sys_tree", sys_tree},
	{"core_pattern", core_pattern},
	{"init_memory", init_memory},
	{"init_kill", init_kill},
	{"user_namespace", user_namespace},
	{"mount", mount_tmpfs},
	{"ptrace", trace_me},
	{"io_uring", io_uring},
	{"bpf", bpf_map},
	{"keyring", keyring},
	{"packet_socket", packet_socket},
	{"netlink_socket", netlink_socket},
	{"vsock_socket", vsock_socket},
	{"udp_socket", udp_socket},
	{"network_device", network_device},
};

int probe_main(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(probes); i++) {
		int sys = probes[i].attack();

		dprintf(1, "%s %s %s\n", probes[i].name, sys ? "held" : "open",
			sys ? strerror(sys) : "-");
	}
	return 0;
}
