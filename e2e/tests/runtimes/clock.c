/*
 * Asks clocks for the time, as every program with a C library does, and prints what became of it as the probe does.
 *
 * Each argument is the number of a clock for clock_gettime, or `gettimeofday` or `time`.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static int ask(const char *clock)
{
	struct timespec now;
	struct timeval today;

	if (strcmp(clock, "gettimeofday") == 0)
		return gettimeofday(&today, NULL);
	if (strcmp(clock, "time") == 0)
		return time(NULL) == (time_t)-1 ? -1 : 0;
	return clock_gettime(atoi(clock), &now);
}

int main(int count, char **clocks)
{
	for (int index = 1; index < count; index++) {
		int error = ask(clocks[index]) == 0 ? 0 : errno;
		printf("%d returns %d\n", index - 1, -error);
	}
	puts("done");
	return 42;
}
