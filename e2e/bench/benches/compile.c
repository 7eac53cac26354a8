/*
 * Compiles a filter for x86_64, i386 and x32 as runc does, and prints the least nanoseconds of processor time that it took.
 *
 * compile ROUNDS <RULES: each line is NAME ACTION [INDEX OPERATOR VALUE VALUE_TWO]..., all numbers in decimal. The default
 * is EPERM.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { RULES = 8192, ARGUMENTS = 6, NAME = 64 };

static struct rule {
	char name[NAME];
	uint32_t action;
	unsigned int count;
	struct scmp_arg_cmp compared[ARGUMENTS];
} rules[RULES];

static int64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static size_t read_rules(void)
{
	char line[1024];
	size_t count = 0;
	while (count < RULES && fgets(line, sizeof(line), stdin) != NULL) {
		struct rule *rule = &rules[count];
		char *name = strtok(line, " \n"), *action = strtok(NULL, " \n"), *index;
		if (name == NULL || action == NULL)
			continue;
		snprintf(rule->name, NAME, "%s", name);
		rule->action = strtoul(action, NULL, 10);
		while (rule->count < ARGUMENTS && (index = strtok(NULL, " \n")) != NULL) {
			struct scmp_arg_cmp *compared = &rule->compared[rule->count++];
			compared->arg = strtoul(index, NULL, 10);
			compared->op = strtoul(strtok(NULL, " \n"), NULL, 10);
			compared->datum_a = strtoull(strtok(NULL, " \n"), NULL, 10);
			compared->datum_b = strtoull(strtok(NULL, " \n"), NULL, 10);
		}
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	size_t count = read_rules();
	int file = memfd_create("bpf", 0);
	int64_t least = INT64_MAX;
	for (int round = argc > 1 ? atoi(argv[1]) : 1; round > 0; round--) {
		int64_t start = now();
		scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(1));
		if (ctx == NULL)
			return 1;
		seccomp_arch_add(ctx, SCMP_ARCH_X86);
		seccomp_arch_add(ctx, SCMP_ARCH_X32);
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		for (size_t i = 0; i < count; i++) {
			int number = seccomp_syscall_resolve_name(rules[i].name);
			if (number == __NR_SCMP_ERROR)
				continue;
			if (seccomp_rule_add_array(ctx, rules[i].action, number, rules[i].count, rules[i].compared) != 0)
				return 1;
		}
		if (seccomp_export_bpf(ctx, file) != 0)
			return 1;
		int64_t took = now() - start;
		least = took < least ? took : least;
		seccomp_release(ctx);
		lseek(file, 0, SEEK_SET);
	}
	printf("%" PRId64 "\n", least);
	return 0;
}
