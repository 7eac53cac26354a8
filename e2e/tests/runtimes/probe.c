/*
 * Makes system calls under the filter of its container and prints what became of each.
 *
 * Each argument is one call in hexadecimal: i386 (1) or x86_64 (0), the number and six arguments, with a colon between
 * them. With 2 added to the first, the process that has made the call stays for a quarter of a second, with 8 added for 5
 * ms, with 20 added for two seconds. With 4 added, it first loads a filter of its own, which answers the call with the
 * errno that is the call's first argument. With 10 added, it makes the call 10,000 times. With 40 added, the first process
 * makes the call itself, with 80 added, for ten seconds, with 100 added, for a fifth of a second of
 * its processor time, with 200 added, for a fifth of a second, and the value is how often. For each, a line: its index and `returns` with the kernel's value in decimal, `trap`, `thread` or
 * `process` (what was ended), or `signal` and another signal's number. At last, `done`. It exits with 42.
 *
 * No libc: what starts here makes no call but execve, rt_sigaction, clone, wait4, write, exit and exit_group, and without
 * arguments none but execve and exit_group. Each call is made by a second thread of a child, so that a thread that ends is
 * told from a process that ends.
 */

#include <asm/unistd.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/wait.h>

typedef unsigned long word;

static long call(long number, word a, word b, word c, word d, word e, word f)
{
	register word r10 __asm__("r10") = d;
	register word r8 __asm__("r8") = e;
	register word r9 __asm__("r9") = f;
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* The gate of 32-bit programs. rbp is the sixth argument and the compiler's, so it is exchanged around the call. */
static long call_i386(word number, word a, word b, word c, word d, word e, word f)
{
	long result;
	word first = f;
	__asm__ volatile("push %%rbp\n\t"
			 "mov %[f], %%rbp\n\t"
			 "int $0x80\n\t"
			 "pop %%rbp"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), [f] "r"(first)
			 : "r8", "r9", "r10", "r11", "memory");
	return (int)result;
}

static word length(const char *text)
{
	word n = 0;
	while (text[n])
		n++;
	return n;
}

static void line(word index, const char *what, const long *value)
{
	char text[64], digits[24];
	word at = 0, n = 0;
	do
		digits[n++] = '0' + index % 10;
	while (index /= 10);
	while (n)
		text[at++] = digits[--n];
	text[at++] = ' ';
	for (word i = 0; i < length(what); i++)
		text[at++] = what[i];
	if (value) {
		word rest = *value < 0 ? -(word)*value : (word)*value;
		text[at++] = ' ';
		if (*value < 0)
			text[at++] = '-';
		do
			digits[n++] = '0' + rest % 10;
		while (rest /= 10);
		while (n)
			text[at++] = digits[--n];
	}
	text[at++] = '\n';
	call(__NR_write, 1, (word)text, at, 0, 0, 0);
}

/* What the second thread is to do, and what became of it. */
static volatile struct {
	word parts[8];
	long result;
	int done, trapped;
} shared;

static char stack[16384] __attribute__((aligned(16)));

static void end_thread(void)
{
	call(__NR_exit, 0, 0, 0, 0, 0, 0);
}

static void on_sigsys(int signal)
{
	(void)signal;
	shared.trapped = 1;
	end_thread();
}

__attribute__((used)) static void second_thread(void)
{
	volatile word *p = shared.parts;
	for (int left = p[0] & 0x10 ? 10000 : 1; left; left--)
		shared.result = p[0] & 1 ? call_i386(p[1], p[2], p[3], p[4], p[5], p[6], p[7])
				     : call(p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
	shared.done = 1;
	end_thread();
}

/* Returns in the first thread only, once the second has ended, by itself or otherwise (CLONE_VFORK). */
static long run_second_thread(void)
{
	word flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_VFORK;
	word top = (word)(stack + sizeof(stack));
	long result;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call second_thread\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(__NR_clone), "D"(flags), "S"(top), "d"(0)
			 : "rcx", "r11", "memory");
	return result;
}

static long load_filter(word number, word error)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0 /* the number of the call */),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	static struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	code[1].k = (unsigned int)number;
	code[2].k |= (unsigned int)error;
	return call(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, (word)&program, 0, 0, 0);
}

static void child(word index)
{
	const word p = shared.parts[0];
	const long pause[2] = { p & 0x20 ? 2 : 0, p & 0x20 ? 0 : p & 2 ? 250000000 : 5000000 };
	if (p & 4 && load_filter(shared.parts[1], shared.parts[2]) != 0)
		line(index, "no filter", 0);
	else if (run_second_thread() < 0)
		line(index, "no thread", 0);
	else if (shared.trapped)
		line(index, "trap", 0);
	else if (shared.done)
		line(index, "returns", (const long *)&shared.result);
	else
		line(index, "thread", 0);
	if (p & (2 | 8 | 0x20))
		call(__NR_nanosleep, (word)pause, 0, 0, 0, 0, 0);
	call(__NR_exit_group, 0, 0, 0, 0, 0, 0);
}

static long for_time(word clock, long nanoseconds)
{
	const volatile word *p = shared.parts;
	long end[2], now[2], count = 0;
	call(__NR_clock_gettime, clock, (word)end, 0, 0, 0, 0);
	end[1] += nanoseconds;
	end[0] += end[1] / 1000000000;
	end[1] %= 1000000000;
	do {
		for (int left = 100; left; left--, count++)
			call(p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
		call(__NR_clock_gettime, clock, (word)now, 0, 0, 0, 0);
	} while (now[0] < end[0] || (now[0] == end[0] && now[1] < end[1]));
	return count;
}

static void parse(const char *text)
{
	word part = 0;
	for (word i = 0; i < 8; i++)
		shared.parts[i] = 0;
	for (; *text; text++) {
		if (*text == ':')
			part++;
		else if (part < 8)
			shared.parts[part] = shared.parts[part] << 4 | (word)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
	}
}

__attribute__((used)) static int run(word *start)
{
	/* struct sigaction of the kernel: handler, flags, restorer, mask. The handler does not return. */
	word action[4] = { (word)on_sigsys, 0x04000000 /* SA_RESTORER */, (word)end_thread, 0 };
	const char **arguments = (const char **)(start + 1);

	if (start[0] > 1)
		call(__NR_rt_sigaction, 31 /* SIGSYS */, (word)action, 0, 8, 0, 0);
	for (word index = 1; index < start[0]; index++) {
		int status = 0;
		long pid;
		parse(arguments[index]);
		if (shared.parts[0] & 0x380) {
			const int is_long = shared.parts[0] & 0x80;
			/* CLOCK_MONOTONIC and CLOCK_PROCESS_CPUTIME_ID */
			long count = for_time(shared.parts[0] & 0x100 ? 2 : 1, is_long ? 10000000000 : 200000000);
			line(index - 1, "returns", &count);
			continue;
		}
		if (shared.parts[0] & 0x40) {
			const volatile word *p = shared.parts;
			long result = call(p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
			line(index - 1, "returns", &result);
			continue;
		}
		pid = call(__NR_clone, 17 /* SIGCHLD */, 0, 0, 0, 0, 0);
		if (pid == 0)
			child(index - 1);
		if (pid < 0 || call(__NR_wait4, (word)pid, (word)&status, __WALL, 0, 0, 0) != pid) {
			line(index - 1, "no child", 0);
		} else if ((status & 0x7f) == 31) {
			line(index - 1, "process", 0);
		} else if (status & 0x7f) {
			long signal = status & 0x7f;
			line(index - 1, "signal", &signal);
		}
	}
	if (start[0] > 1)
		call(__NR_write, 1, (word)"done\n", 5, 0, 0, 0);
	call(__NR_exit_group, 42, 0, 0, 0, 0, 0);
	return 0;
}

__asm__(".globl _start\n"
	"_start:\n\t"
	"xor %ebp, %ebp\n\t"
	"mov %rsp, %rdi\n\t"
	"and $-16, %rsp\n\t"
	"call run\n\t"
	"hlt\n");
