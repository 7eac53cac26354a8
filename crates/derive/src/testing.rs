//! Programs for tests.

/// A program without a library, at a fixed address, that is nothing but this machine code.
#[must_use]
pub fn program(code: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 0x78];
    bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
    bytes[16..20].copy_from_slice(&[2, 0, 62, 0]);
    bytes[24..32].copy_from_slice(&0x40_0078u64.to_le_bytes());
    bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
    bytes[54..58].copy_from_slice(&[56, 0, 1, 0]);
    bytes[64..72].copy_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]);
    bytes[80..88].copy_from_slice(&0x40_0000u64.to_le_bytes());
    let size = (bytes.len() + code.len()) as u64;
    bytes[96..104].copy_from_slice(&size.to_le_bytes());
    bytes[104..112].copy_from_slice(&size.to_le_bytes());
    bytes.extend(code);
    bytes
}
