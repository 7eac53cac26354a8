//! One ELF file, as its loader reads it: segments, the dynamic table, symbols with versions, relocations, and where its
//! functions begin and end.
//!
//! Nothing here is trusted: every offset is checked, every count bounded ([`crate::limits`]).

mod dynamic;
mod go;
mod landing;
mod relocations;
mod symbols;
mod unwind;

use object::LittleEndian as LE;
use object::elf;
use object::pod::{Pod, from_bytes, slice_from_bytes};

use crate::error::DeriveError;
use crate::limits;

pub(crate) use dynamic::Dynamic;
pub(crate) use go::Go;
pub(crate) use landing::landing_pads;
pub(crate) use relocations::{Relocation, RelocationKind};
pub(crate) use symbols::{Symbol, SymbolKind, Symbols};
pub(crate) use unwind::Unwound;

/// A part of a file that is mapped into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) address: u64,
    pub(crate) memory: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
}

/// A named section; only those that the loader maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) address: u64,
    pub(crate) size: u64,
    is_code: bool,
}

/// An ELF file.
#[derive(Debug)]
pub(crate) struct Elf {
    /// The path in the root.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    /// Whether it has fixed addresses.
    pub(crate) is_fixed: bool,
    pub(crate) entry: u64,
    /// The end of the headers at the beginning of the file.
    pub(crate) headers: u64,
    pub(crate) interpreter: Option<String>,
    pub(crate) segments: Vec<Segment>,
    /// By address; empty if the file has no section headers.
    pub(crate) sections: Vec<Section>,
    /// What each thread begins with in its own memory: the address and the size.
    pub(crate) thread_data: Option<(u64, u64)>,
    pub(crate) dynamic: Dynamic,
    /// Those that the loader uses.
    pub(crate) symbols: Symbols,
    /// Those for debuggers, if the file has not been stripped. Only defined functions.
    pub(crate) names: Symbols,
    /// Those that were not yet applied.
    pub(crate) relocations: Vec<Relocation>,
    /// By address, without overlaps.
    pub(crate) unwound: Vec<Unwound>,
    /// What is known of it if Go's compiler made it.
    pub(crate) go: Option<Go>,
}

impl Elf {
    /// Reads a file.
    pub(crate) fn parse(path: &str, bytes: Vec<u8>) -> Result<Self, DeriveError> {
        if bytes.len() > limits::OBJECT_BYTES {
            return Err(too_large(path, "bytes", limits::OBJECT_BYTES));
        }
        let header = header(path, &bytes)?;
        let is_fixed = header.e_type.get(LE) == elf::ET_EXEC;
        let headers = program_headers(path, &bytes, header)?;
        let mut file = Self {
            path: path.to_owned(),
            is_fixed,
            entry: header.e_entry.get(LE),
            headers: header.e_phoff.get(LE).saturating_add(size_of_val(headers) as u64),
            interpreter: None,
            segments: segments(path, &bytes, headers)?,
            sections: sections(&bytes, header),
            thread_data: None,
            dynamic: Dynamic::default(),
            symbols: Symbols::default(),
            names: Symbols::default(),
            relocations: Vec::new(),
            unwound: Vec::new(),
            go: None,
            bytes: Vec::new(),
        };
        let of_type = |kind| headers.iter().find(move |it| it.p_type.get(LE) == kind);
        if let Some(found) = of_type(elf::PT_INTERP) {
            let (offset, size) = (found.p_offset.get(LE), found.p_filesz.get(LE));
            let text = slice(&bytes, offset, size).ok_or_else(|| malformed(path, "interpreter", offset))?;
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            file.interpreter = Some(String::from_utf8_lossy(text).into_owned());
        }
        file.thread_data = of_type(elf::PT_TLS).map(|it| (it.p_vaddr.get(LE), it.p_filesz.get(LE)));
        let dynamic = of_type(elf::PT_DYNAMIC).map(|it| (it.p_offset.get(LE), it.p_filesz.get(LE)));
        let unwind = of_type(elf::PT_GNU_EH_FRAME).map(|it| it.p_vaddr.get(LE));
        let names = symbols::debug_range(&bytes, header);
        file.bytes = bytes;
        if let Some((offset, size)) = dynamic {
            file.dynamic = Dynamic::read(&file, offset, size)?;
            file.relocations = relocations::read(&file)?;
            file.symbols = Symbols::dynamic(&file)?;
        }
        if let Some(names) = names {
            file.names = Symbols::debug(&file, names)?;
        }
        file.unwound = unwind::read(&file, unwind)?;
        file.go = go::read(&file);
        Ok(file)
    }

    /// The bytes at an address, up to the end of what the file has of the segment.
    pub(crate) fn at(&self, address: u64) -> Option<&[u8]> {
        let segment = self.segment(address)?;
        let into = address - segment.address;
        slice(&self.bytes, segment.offset + into, segment.size.checked_sub(into)?)
    }

    /// The segment with an address.
    pub(crate) fn segment(&self, address: u64) -> Option<&Segment> {
        self.segments.iter().find(|it| address >= it.address && address - it.address < it.memory)
    }

    /// Whether an address is code. Older linkers put data into the same segment, which section headers tell apart.
    pub(crate) fn is_code(&self, address: u64) -> bool {
        let is_executable = |it: &Segment| it.executable && address - it.address < it.size;
        self.segment(address).is_some_and(is_executable)
            && (self.sections.is_empty() || self.section(address).is_some_and(|it| it.is_code))
    }

    /// The section with an address.
    pub(crate) fn section(&self, address: u64) -> Option<&Section> {
        let after = self.sections.partition_point(|it| it.address <= address);
        self.sections[..after].last().filter(|it| address - it.address < it.size)
    }

    /// The first address after the highest of its segments.
    pub(crate) fn end(&self) -> u64 {
        self.segments.iter().map(|it| it.address + it.memory).max().unwrap_or(0)
    }

    /// A value of a fixed size at an address.
    pub(crate) fn value<T: Pod>(&self, address: u64) -> Option<&T> {
        from_bytes(self.at(address)?).ok().map(|(value, _)| value)
    }

    /// 64 bits at an address.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        self.at(address)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// 32 bits at an address.
    pub(crate) fn half(&self, address: u64) -> Option<u32> {
        self.at(address)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn malformed(&self, what: &'static str, offset: u64) -> DeriveError {
        malformed(&self.path, what, offset)
    }

    fn too_large(&self, what: &'static str, limit: usize) -> DeriveError {
        too_large(&self.path, what, limit)
    }
}

fn header<'b>(path: &str, bytes: &'b [u8]) -> Result<&'b elf::FileHeader64<LE>, DeriveError> {
    let not_elf = |why| Err(DeriveError::NotElf { object: path.to_owned(), why });
    if let Some(line) = bytes.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line.get(..256).unwrap_or(line)).trim().to_owned();
        return Err(DeriveError::Script { object: path.to_owned(), interpreter: line });
    }
    if !bytes.starts_with(&elf::ELFMAG) {
        return not_elf("it has no ELF header");
    }
    if bytes.get(4) != Some(&elf::ELFCLASS64) || bytes.get(5) != Some(&elf::ELFDATA2LSB) {
        let machine = "a 32-bit or big-endian architecture";
        return Err(DeriveError::Architecture { object: path.to_owned(), machine });
    }
    let Ok((header, _)) = from_bytes::<elf::FileHeader64<LE>>(bytes) else {
        return Err(malformed(path, "truncated header", bytes.len() as u64));
    };
    match header.e_machine.get(LE) {
        elf::EM_X86_64 => {}
        elf::EM_AARCH64 => {
            return Err(DeriveError::Architecture { object: path.to_owned(), machine: "aarch64" });
        }
        _ => {
            return Err(DeriveError::Architecture {
                object: path.to_owned(),
                machine: "another architecture",
            });
        }
    }
    match header.e_type.get(LE) {
        elf::ET_EXEC | elf::ET_DYN => Ok(header),
        elf::ET_REL => not_elf("it is not linked"),
        elf::ET_CORE => not_elf("it is a core dump"),
        _ => not_elf("its type is unknown"),
    }
}

fn program_headers<'b>(
    path: &str,
    bytes: &'b [u8],
    header: &elf::FileHeader64<LE>,
) -> Result<&'b [elf::ProgramHeader64<LE>], DeriveError> {
    let (offset, count) = (header.e_phoff.get(LE), usize::from(header.e_phnum.get(LE)));
    if count > limits::SEGMENTS {
        return Err(too_large(path, "program headers", limits::SEGMENTS));
    }
    let wrong = || malformed(path, "program headers", offset);
    if usize::from(header.e_phentsize.get(LE)) != size_of::<elf::ProgramHeader64<LE>>() {
        return Err(wrong());
    }
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).ok_or_else(wrong)?;
    slice_from_bytes(rest, count).map(|(headers, _)| headers).map_err(|()| wrong())
}

fn segments(
    path: &str,
    bytes: &[u8],
    headers: &[elf::ProgramHeader64<LE>],
) -> Result<Vec<Segment>, DeriveError> {
    let mut found = Vec::new();
    for header in headers.iter().filter(|it| it.p_type.get(LE) == elf::PT_LOAD) {
        let flags = header.p_flags.get(LE);
        let segment = Segment {
            address: header.p_vaddr.get(LE),
            memory: header.p_memsz.get(LE),
            offset: header.p_offset.get(LE),
            size: header.p_filesz.get(LE),
            writable: flags & elf::PF_W != 0,
            executable: flags & elf::PF_X != 0,
        };
        let end = segment.address.checked_add(segment.memory);
        if end.is_none_or(|end| end > limits::HIGHEST_ADDRESS) || segment.size > segment.memory {
            return Err(malformed(path, "addresses of a segment", segment.offset));
        }
        if slice(bytes, segment.offset, segment.size).is_none() {
            return Err(malformed(path, "segment past the end of the file", segment.offset));
        }
        found.push(segment);
    }
    found.sort_by_key(|it| it.address);
    if let Some([_, next]) = found.array_windows().find(|[one, next]| one.address + one.memory > next.address)
    {
        return Err(malformed(path, "segments overlap", next.offset));
    }
    if found.is_empty() {
        return Err(malformed(path, "nothing to load", 0));
    }
    Ok(found)
}

/// Section headers are no part of what the loader reads: where they are wrong, they are ignored.
fn sections(bytes: &[u8], header: &elf::FileHeader64<LE>) -> Vec<Section> {
    let Some(headers) = section_headers(bytes, header) else { return Vec::new() };
    let names = headers.get(usize::from(header.e_shstrndx.get(LE)));
    let names = names.and_then(|it| slice(bytes, it.sh_offset.get(LE), it.sh_size.get(LE)));
    let name = |offset: u32| {
        let rest = names?.get(offset as usize..)?;
        Some(String::from_utf8_lossy(rest.split(|byte| *byte == 0).next()?).into_owned())
    };
    let is_mapped = |it: &&elf::SectionHeader64<LE>| it.sh_flags.get(LE) & u64::from(elf::SHF_ALLOC) != 0;
    // Thread-local variables without values have addresses of their own, which overlap with those of others.
    let is_memory = |it: &&elf::SectionHeader64<LE>| {
        it.sh_flags.get(LE) & u64::from(elf::SHF_TLS) == 0 || it.sh_type.get(LE) != elf::SHT_NOBITS
    };
    let sections = headers.iter().filter(is_mapped).filter(is_memory).map(|it| Section {
        name: name(it.sh_name.get(LE)).unwrap_or_default(),
        address: it.sh_addr.get(LE),
        size: it.sh_size.get(LE),
        is_code: it.sh_flags.get(LE) & u64::from(elf::SHF_EXECINSTR) != 0,
    });
    let mut sections: Vec<_> = sections.filter(|it| it.address.checked_add(it.size).is_some()).collect();
    sections.sort_by_key(|it| it.address);
    sections
}

fn section_headers<'b>(
    bytes: &'b [u8],
    header: &elf::FileHeader64<LE>,
) -> Option<&'b [elf::SectionHeader64<LE>]> {
    let count = usize::from(header.e_shnum.get(LE));
    if count == 0 || count > limits::SECTIONS {
        return None;
    }
    let rest = bytes.get(usize::try_from(header.e_shoff.get(LE)).ok()?..)?;
    slice_from_bytes(rest, count).ok().map(|(headers, _)| headers)
}

fn slice(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

fn malformed(path: &str, what: &'static str, offset: u64) -> DeriveError {
    DeriveError::Malformed { object: path.to_owned(), what, offset }
}

fn too_large(path: &str, what: &'static str, limit: usize) -> DeriveError {
    DeriveError::TooLarge { object: path.to_owned(), what, limit }
}
