/*
 * Makes filters with the libseccomp of this machine and prints their BPF programs.
 *
 * Each line of the input is one set of rules, all numbers in hexadecimal:
 *
 *     ARCHITECTURE[,...] DEFAULT SYSCALL OPTIMIZE [r ACTION [s SYSCALL | n NAME] [c INDEX OPERATOR VALUE VALUE_TWO]...]...
 *
 * DEFAULT and ACTION are the values that the filter returns, OPERATOR is a value of `enum scmp_compare`, SYSCALL is a
 * number of the native architecture, for all rules or for one. ARCHITECTURE is an `SCMP_ARCH_` value; without the native
 * one the filter does not cover it. A rule with a NAME that the library does not know is left out, as runtimes do.
 *
 * The first line of the output is `version` and that of the library. Each other line belongs
 * to a line of the input:
 *
 *     bpf HEX      the program, eight bytes per instruction
 *     error N      a function of libseccomp returned -N
 *     limit        it used too much processor time
 *     signal N     the process died by a signal
 *
 * Every set has a process of its own with limits, because libseccomp does not return for some sets.
 */
#define _GNU_SOURCE
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 6, MICROSECONDS = 300000 };

static uint64_t number(void)
{
	char *word = strtok(NULL, " \n");
	if (word == NULL)
		exit(99);
	return strtoull(word, NULL, 16);
}

static int filter(char *line, int to)
{
	int rc = 0;
	char *word = strtok(line, " \n");
	int native = 0;
	char *architectures = word;
	scmp_filter_ctx ctx = seccomp_init(number());
	if (ctx == NULL)
		return 22;
	int syscall = number();
	uint32_t optimize = number();
	while (rc == 0 && *architectures != 0) {
		uint32_t architecture = strtoul(architectures, &architectures, 16);
		architectures += *architectures == ',';
		if (architecture == seccomp_arch_native())
			native = 1;
		else
			rc = seccomp_arch_add(ctx, architecture);
	}
	if (rc == 0 && !native)
		rc = seccomp_arch_remove(ctx, seccomp_arch_native());
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, optimize);
	word = strtok(NULL, " \n");
	while (rc == 0 && word != NULL) {
		struct scmp_arg_cmp compared[ARGUMENTS];
		unsigned int count = 0;
		int of = syscall, known = 1;
		uint32_t action = number();
		word = strtok(NULL, " \n");
		if (word != NULL && *word == 's') {
			of = number();
			word = strtok(NULL, " \n");
		} else if (word != NULL && *word == 'n') {
			of = seccomp_syscall_resolve_name(strtok(NULL, " \n"));
			word = strtok(NULL, " \n");
			known = of != __NR_SCMP_ERROR;
		}
		while (word != NULL && *word == 'c' && count < ARGUMENTS) {
			compared[count].arg = number();
			compared[count].op = number();
			compared[count].datum_a = number();
			compared[count].datum_b = number();
			count++;
			word = strtok(NULL, " \n");
		}
		if (known)
			rc = seccomp_rule_add_array(ctx, action, of, count, compared);
	}
	if (rc == 0)
		rc = seccomp_export_bpf(ctx, to);
	return -rc;
}

int main(void)
{
	char line[65536];
	int file = memfd_create("bpf", 0);
	const struct itimerval processor = { { 0, 0 }, { 0, MICROSECONDS } };
	const struct rlimit memory = { 512 << 20, 512 << 20 }, core = { 0, 0 };

	printf("version %u.%u.%u\n", seccomp_version()->major, seccomp_version()->minor, seccomp_version()->micro);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		int status;
		if (ftruncate(file, 0) != 0 || lseek(file, 0, SEEK_SET) != 0)
			return 1;
		fflush(stdout);
		pid_t child = fork();
		if (child < 0)
			return 1;
		if (child == 0) {
			setrlimit(RLIMIT_AS, &memory);
			setrlimit(RLIMIT_CORE, &core);
			setitimer(ITIMER_PROF, &processor, NULL);
			_exit(filter(line, file));
		}
		if (waitpid(child, &status, 0) != child)
			return 1;
		if (WIFSIGNALED(status)) {
			int by = WTERMSIG(status);
			if (by == SIGPROF)
				puts("limit");
			else
				printf("signal %x\n", by);
		} else if (WEXITSTATUS(status) != 0) {
			printf("error %x\n", WEXITSTATUS(status));
		} else {
			unsigned char byte[8];
			printf("bpf ");
			lseek(file, 0, SEEK_SET);
			while (read(file, byte, sizeof(byte)) == sizeof(byte))
				for (int i = 0; i < 8; i++)
					printf("%02x", byte[i]);
			printf("\n");
		}
	}
	return 0;
}
