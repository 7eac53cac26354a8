//! Facts about single calls that are known in another way than from the extracts.

#![allow(clippy::unwrap_used, reason = "this file is a test")]

use syscalls::{Architecture, ArgumentType, Group, Libseccomp, Register, Release, Syscall};

/// Values that were measured in another way, so that a wrong column does not go unnoticed.
#[test]
fn known_numbers_are_right() {
    use Architecture::{Aarch64, Arm, I386, Loongarch64, Ppc64le, Riscv64, S390x, X32, X86_64};
    use ArgumentType::{Int, Pointer, Short, Word};
    let call = |name| Syscall::from_name(name).unwrap();
    for (name, architecture, number) in [
        ("execve", X86_64, Some(59)),
        ("execve", I386, Some(11)),
        ("execve", X32, Some(0x4000_0000 + 520)),
        ("execve", Aarch64, Some(221)),
        ("execve", Arm, Some(11)),
        ("execve", Riscv64, Some(221)),
        ("execve", S390x, Some(11)),
        ("execve", Ppc64le, Some(11)),
        ("execve", Loongarch64, Some(221)),
        ("open", Aarch64, None),
        ("set_tls", Arm, Some(0xf_0005)),
        ("clone3", X86_64, Some(435)),
        ("memfd_secret", X86_64, Some(447)),
        ("memfd_secret", Arm, None),
    ] {
        assert_eq!(call(name).number(architecture), number, "{name} on {architecture}");
    }
    for (name, arguments) in [
        ("openat", Some(&[Int, Pointer, Int, Short][..])),
        ("clone", Some(&[Word, Word, Pointer, Pointer, Word])),
        ("getpid", Some(&[])),
        ("capset", Some(&[Pointer, Pointer])),
        ("socketcall", None),
    ] {
        assert_eq!(call(name).arguments(), arguments, "{name}");
    }
    assert_eq!(call("socket").parameters(), ["domain", "type", "protocol"]);
    assert_eq!(call("ioctl").parameters(), ["fd", "op"]);
    assert!(call("getpid").parameters().is_empty());
    assert_eq!(call("clone").group(), Group::Processes);
    assert_eq!(call("openat2").appeared_in().unwrap().to_string(), "5.6");
    assert_eq!(call("accept4").appeared_in().unwrap().to_string(), "2.6.28");
    assert_eq!(call("afs_syscall").appeared_in(), None);
    assert!(Release::new(5, 10, 0) > Release::new(5, 6, 0) && Release::new(2, 6, 39) < Release::new(3, 0, 0));
}

#[test]
fn registers_are_those_of_the_architecture() {
    use Architecture::{Aarch64, Arm, I386, Ppc64le, S390x, X32, X86_64};
    use ArgumentType::{Int, Pointer, Short, Wide, Word};
    use Register::{LowerHalf, Unused, UpperHalf, Whole};
    let of = |name, architecture| Syscall::from_name(name).unwrap().registers(architecture);
    let mmap = [Word, Word, Word, Word, Int, Word].map(Whole);
    for architecture in [X86_64, X32, Aarch64, Ppc64le] {
        assert_eq!(of("mmap", architecture), Some(mmap.to_vec()), "{architecture}");
        let pread64 = [Int, Pointer, Word, Wide].map(Whole);
        assert_eq!(of("pread64", architecture), Some(pread64.to_vec()), "{architecture}");
    }
    // The old mmap takes the address of a structure.
    for architecture in [I386, S390x] {
        assert_eq!(of("mmap", architecture), Some(vec![Whole(Pointer)]), "{architecture}");
    }
    assert_eq!((of("mmap2", I386), of("mmap2", Arm)), (Some(mmap.to_vec()), Some(mmap.to_vec())));
    assert_eq!((of("mmap2", X86_64), of("mmap", Arm)), (None, None));
    // 64 bits in two registers, on ARM from an even one on.
    let (fd, path, size) = (Whole(Int), Whole(Pointer), Whole(Word));
    for (name, i386, arm) in [
        (
            "pread64",
            vec![fd, path, size, LowerHalf, UpperHalf],
            vec![fd, path, size, Unused, LowerHalf, UpperHalf],
        ),
        ("ftruncate64", vec![fd, LowerHalf, UpperHalf], vec![fd, Unused, LowerHalf, UpperHalf]),
        ("truncate64", vec![path, LowerHalf, UpperHalf], vec![path, Unused, LowerHalf, UpperHalf]),
        (
            "fallocate",
            vec![fd, fd, LowerHalf, UpperHalf, LowerHalf, UpperHalf],
            vec![fd, fd, LowerHalf, UpperHalf, LowerHalf, UpperHalf],
        ),
        ("readahead", vec![fd, LowerHalf, UpperHalf, size], vec![fd, Unused, LowerHalf, UpperHalf, size]),
        (
            "fanotify_mark",
            vec![fd, fd, LowerHalf, UpperHalf, fd, path],
            vec![fd, fd, LowerHalf, UpperHalf, fd, path],
        ),
    ] {
        assert_eq!((of(name, I386), of(name, Arm)), (Some(i386), Some(arm)), "{name}");
    }
    let six = vec![fd, fd, LowerHalf, UpperHalf, LowerHalf, UpperHalf];
    assert_eq!(of("arm_sync_file_range", Arm), Some(six.clone()));
    assert_eq!(of("arm_fadvise64_64", Arm), Some(six));
    let six = vec![fd, LowerHalf, UpperHalf, LowerHalf, UpperHalf, fd];
    assert_eq!((of("sync_file_range", I386), of("fadvise64_64", I386)), (Some(six.clone()), Some(six)));
    assert_eq!(of("fadvise64", I386), Some(vec![fd, LowerHalf, UpperHalf, size, fd]));
    // The order of clone's last arguments; calls of x32 that take the offset in one register.
    assert_eq!(of("clone", X86_64).unwrap()[3], Whole(Pointer));
    assert_eq!(of("clone", Aarch64).unwrap()[3], Whole(Word));
    assert_eq!(of("preadv2", X32), None);
    // Users and groups of 16 bits.
    assert_eq!((of("setuid", I386), of("setuid32", I386)), (Some(vec![Whole(Short)]), Some(vec![fd])));
    assert_eq!(of("setuid", X86_64), Some(vec![fd]));
}

#[test]
fn a_library_covers_only_calls_that_it_knows_on_that_architecture() {
    let call = |name| Syscall::from_name(name).unwrap();
    let (old, debian, newest) = (Libseccomp::V2_5_4, Libseccomp::V2_5_4Debian12, Libseccomp::V2_6_1);
    assert!(!call("cachestat").known_to(old) && call("cachestat").known_to(debian));
    assert!(!call("listns").known_to(Libseccomp::V2_6_0) && call("listns").known_to(newest));
    // Debian's patch gives it no number on x32.
    assert!(call("map_shadow_stack").resolved_by(debian, Architecture::X86_64));
    assert!(!call("map_shadow_stack").resolved_by(debian, Architecture::X32));
    assert!(!call("memfd_secret").resolved_by(newest, Architecture::Loongarch64));
    assert!(!call("read").resolved_by(old, Architecture::Loongarch64));
    assert!(!call("open").resolved_by(newest, Architecture::Aarch64));
    // A later version never forgets a name.
    for call in Syscall::all() {
        let known: Vec<_> = Libseccomp::ALL.into_iter().map(|library| call.known_to(library)).collect();
        assert!(known.is_sorted(), "{}: {known:?}", call.name());
    }
}

/// `docs/explanation/runtimes.md` has a table of them.
#[test]
fn each_libseccomp_knows_the_names_that_the_documentation_says() {
    let unknown_to = |library: Libseccomp| {
        let calls = Syscall::all().filter(|call| !call.known_to(library));
        let mut numbers: Vec<_> = calls.filter_map(|call| call.number(Architecture::X86_64)).collect();
        numbers.sort_unstable();
        numbers
    };
    let number = |name| Syscall::from_name(name).unwrap().number(Architecture::X86_64).unwrap();
    let (uretprobe, uprobe) = (number("uretprobe"), number("uprobe"));
    for (library, last) in [(Libseccomp::V2_5_4, 450), (Libseccomp::V2_5_4Debian12, 456)] {
        let unknown = unknown_to(library);
        assert_eq!(unknown[..3], [uretprobe, uprobe, last + 1], "{library}");
        assert!(
            Syscall::all()
                .filter_map(|it| it.number(Architecture::X86_64))
                .all(|it| it <= last || unknown.contains(&it))
        );
    }
    let mut newer =
        ["file_getattr", "file_setattr", "listns", "open_tree_attr", "rseq_slice_yield", "uprobe"]
            .map(number);
    newer.sort_unstable();
    assert_eq!(unknown_to(Libseccomp::V2_6_0), newer);
    assert_eq!(unknown_to(Libseccomp::V2_6_1), [0; 0]);
}

#[test]
fn every_architecture_of_the_specification_with_a_table_is_found_by_its_name() {
    for architecture in Architecture::ALL {
        assert_eq!(Architecture::from_oci_name(architecture.oci_name()), Some(architecture));
        assert_eq!(Architecture::ALL[architecture as usize], architecture);
    }
    assert_eq!(Architecture::from_oci_name("SCMP_ARCH_MIPS"), None);
}
