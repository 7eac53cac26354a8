//! Which functions of glibc a program can look up although the name is not a constant where it does so (`dlsym`).
//!
//! The name is then somewhere in the files: in an array, a structure, or a function of another file that passes it on. A
//! name that no file outside of glibc has is not looked up, unless a script can give it: interpreters with functions for
//! this (ctypes, FFI, `.C`) call whatever their scripts name, with whichever arguments.

use memchr::memmem::find_iter;
use object::elf::{DT_STRSZ, DT_STRTAB};

use crate::elf::Elf;
use crate::space::{Object, ObjectId, Space};

/// What interpreters whose scripts can call any function are named, as programs and, after `lib`, as libraries.
const INTERPRETERS: &[&str] = &[
    "bun",
    "clisp",
    "coreclr",
    "deno",
    "dotnet",
    "ecl",
    "gforth",
    "gst",
    "guile",
    "java",
    "julia",
    "jvm",
    "lisp",
    "lua",
    "luahbtex",
    "luajit",
    "luajithbtex",
    "luajittex",
    "luatex",
    "micropython",
    "moar",
    "mono",
    "monosgen",
    "newlisp",
    "node",
    "nodejs",
    "perl",
    "petite",
    "php",
    "pypy",
    "python",
    "R",
    "racket",
    "rakudo",
    "ruby",
    "sbcl",
    "scheme",
    "scilab",
    "squeak",
    "tcl",
    "tclsh",
    "texlua",
    "texluajit",
    "xul",
];
/// Functions that only such an interpreter defines. A program that it is linked into has another name.
const OF_INTERPRETERS: &[&str] = &[
    "JNI_CreateJavaVM",
    "Py_BytesMain",
    "Py_Main",
    "Py_RunMain",
    "Rf_initEmbeddedR",
    "Tcl_CreateInterp",
    "luaopen_ffi",
    "luaopen_package",
    "mono_jit_init",
    "napi_module_register",
    "perl_run",
    "ruby_init",
    "scm_boot_guile",
];

/// What can be looked up by names that are not known.
pub(crate) struct LookedUp<'a> {
    space: &'a Space,
    glibc: ObjectId,
    /// Whether anything outside of glibc looks up a function.
    is_any: bool,
    /// Whether a script can give any name.
    is_interpreter: bool,
}

impl<'a> LookedUp<'a> {
    /// `by_name` is where functions are looked up whose names are not known.
    pub(crate) fn new(space: &'a Space, glibc: ObjectId, by_name: &[u64]) -> Self {
        let is_any = by_name.iter().any(|at| space.at(*at).is_none_or(|(id, _)| id != glibc));
        Self { space, glibc, is_any, is_interpreter: has_interpreter(space) }
    }

    /// Whether it may be one of these functions.
    pub(crate) fn may_have(&self, names: &[&str]) -> bool {
        let mut others = self.space.ids().filter(|id| *id != self.glibc).map(|id| self.space.get(id));
        self.is_any
            && (self.is_interpreter || others.any(|it| names.iter().any(|name| has(it, name.as_bytes()))))
    }
}

/// Whether a script can give the name of any function, and call it with any arguments.
pub(crate) fn has_interpreter(space: &Space) -> bool {
    let mut all = space.ids().map(|id| &space.get(id).elf);
    all.any(|it| is_interpreter(&it.path) || defines_interpreter(it))
}

/// Whether anything that is loaded has a name as text with an end, outside of the names that the loader looks up itself.
pub(crate) fn is_text(space: &Space, name: &[u8]) -> bool {
    let name = [b"\0", name, b"\0"].concat();
    space.ids().any(|id| has(space.get(id), &name))
}

/// Whether what is loaded of an object has a name, outside of the names that the loader looks up itself (`DT_STRTAB`):
/// these are called if code calls them. What follows the name does not matter, because some compilers write texts without
/// an end.
fn has(object: &Object, name: &[u8]) -> bool {
    let elf = &object.elf;
    let (start, size) = elf.dynamic.table(DT_STRTAB, DT_STRSZ).unwrap_or_default();
    let of_loader = start..start.saturating_add(size);
    elf.segments.iter().any(|segment| {
        let bytes = elf.at(segment.address).unwrap_or_default();
        find_iter(bytes, name).any(|at| !of_loader.contains(&(segment.address + at as u64)))
    })
}

/// Whether a file is an interpreter or has one, by its name, which may have a version.
fn is_interpreter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.strip_prefix("lib").unwrap_or(name);
    let end = name.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(name.len());
    // `gst` is Smalltalk, and what begins with it and a hyphen is mostly of GStreamer.
    INTERPRETERS.contains(&&name[..end]) && !name.starts_with("gst-")
}

/// Whether a file has an interpreter, by the functions that it defines, as far as it has their names.
fn defines_interpreter(elf: &Elf) -> bool {
    let is_defined =
        |name: &[u8]| [&elf.symbols, &elf.names].into_iter().any(|it| !it.named(elf, name).is_empty());
    OF_INTERPRETERS.iter().any(|it| is_defined(it.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_known_by_their_names_and_those_of_their_libraries() {
        let those = [
            "/usr/bin/python3.11",
            "/usr/lib/libpython3.11.so.1.0",
            "/usr/lib/libR.so",
            "/usr/bin/node",
            "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2",
            "/usr/lib/jvm/lib/server/libjvm.so",
            "/usr/bin/micropython",
            "/usr/bin/luahbtex",
            "/usr/lib/libmoar.so",
            "/usr/lib/firefox-esr/libxul.so",
        ];
        assert!(those.into_iter().all(is_interpreter));
        let others =
            ["/usr/sbin/nginx", "/usr/bin/pythonista", "/usr/lib/libResource.so", "/usr/bin/gst-launch-1.0"];
        assert!(!others.into_iter().any(is_interpreter));
    }
}
