/*
 * Prints what one libseccomp knows: argv[1] is its shared object. A row for each name:
 * the name and its number on each architecture of ARCHITECTURES, tab-separated. A number
 * below -99 is libseccomp's own: it knows the name, but this architecture has no such call,
 * or has it only through a multiplexer too (-101 to -224). -1: it does not know the architecture.
 *
 * The names are those of all numbers that the library can name, on every architecture that any
 * version has: tokens are AUDIT_ARCH_* of linux/audit.h, x32's is libseccomp's own.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the columns of linux.tsv. */
static const uint32_t ARCHITECTURES[] = {
    0xc000003e, 0x40000003, 0x4000003e, 0xc00000b7, 0x40000028,
    0xc00000f3, 0x80000016, 0xc0000015, 0xc0000102,
};
/* mips, mips64, mips64n32, little-endian ones, ppc, ppc64, s390, parisc, parisc64, m68k, sh, sheb. */
static const uint32_t OTHERS[] = {
    0x00000008, 0x80000008, 0xa0000008, 0x40000008, 0xc0000008, 0xe0000008, 0x00000014,
    0x80000015, 0x00000016, 0x0000000f, 0x8000000f, 0x00000004, 0x4000002a, 0x0000002a,
};
/* First and last number of each range: its own numbers and the plain ones, x32, ARM's private calls. */
static const int RANGES[][2] = { { -20000, 8000 }, { 0x40000000, 0x40001000 }, { 0x0f0000, 0x0f0100 } };

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))
#define MOST_NAMES 4096

static char *(*name_of)(uint32_t, int);
static int (*number_of)(uint32_t, const char *);
static char *names[MOST_NAMES];
static size_t count;

static int compare(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static void keep(char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) {
            free(name);
            return;
        }
    if (count == MOST_NAMES) exit(3);
    names[count++] = name;
}

static void collect(uint32_t architecture) {
    for (size_t range = 0; range < LENGTH(RANGES); range++)
        for (int number = RANGES[range][0]; number <= RANGES[range][1]; number++) {
            char *name = name_of(architecture, number);
            if (name) keep(name);
        }
}

int main(int argc, char **argv) {
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!library) {
        fprintf(stderr, "%s\n", argc == 2 ? dlerror() : "usage: libseccomp LIBRARY");
        return 2;
    }
    *(void **)&name_of = dlsym(library, "seccomp_syscall_resolve_num_arch");
    *(void **)&number_of = dlsym(library, "seccomp_syscall_resolve_name_arch");
    if (!name_of || !number_of) return 2;
    for (size_t i = 0; i < LENGTH(ARCHITECTURES); i++) collect(ARCHITECTURES[i]);
    for (size_t i = 0; i < LENGTH(OTHERS); i++) collect(OTHERS[i]);
    qsort(names, count, sizeof(*names), compare);
    for (size_t i = 0; i < count; i++) {
        fputs(names[i], stdout);
        for (size_t j = 0; j < LENGTH(ARCHITECTURES); j++) printf("\t%d", number_of(ARCHITECTURES[j], names[i]));
        putchar('\n');
    }
    return 0;
}
