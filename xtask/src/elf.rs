//! Tells static programs from those that need a loader and libraries.

/// The program header that names the loader, elf(5).
const PT_INTERP: u32 = 3;

/// Whether this is a 64-bit little-endian ELF program that asks for a loader, which an image without
/// libraries cannot give.
pub fn is_dynamic(program: &[u8]) -> bool {
    has_loader(program).unwrap_or(false)
}

fn has_loader(program: &[u8]) -> Option<bool> {
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Some(false);
    }
    let number = |offset: usize, length: usize| -> Option<usize> {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(program.get(offset..offset.checked_add(length)?)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    // e_phoff, e_phentsize and e_phnum of Elf64_Ehdr; p_type is a program header's first field.
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let header = start.checked_add(index * size)?;
        if number(header, 4)? == PT_INTERP as usize {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_machine_that_has_a_loader_is_dynamic() {
        assert!(is_dynamic(&std::fs::read(std::env::current_exe().unwrap()).unwrap()));
    }

    #[test]
    fn without_a_loader_in_its_headers_a_program_is_static_whatever_its_text_mentions() {
        let mut program = b"\x7fELF\x02\x01".to_vec();
        program.resize(64, 0);
        program[32] = 64; // the program headers begin after this one
        program[54] = 56;
        program[56] = 1;
        program.resize(64 + 56, 0);
        program.extend(b"/lib64/ld-linux-x86-64.so.2");
        assert!(!is_dynamic(&program));
        program[64] = 3;
        assert!(is_dynamic(&program));
    }

    #[test]
    fn a_script_or_a_cut_off_file_is_no_dynamic_program() {
        assert!(!is_dynamic(b"#!/bin/sh\n"));
        assert!(!is_dynamic(b"\x7fELF\x02\x01"));
    }
}
