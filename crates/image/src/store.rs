//! Where the contents of files are kept.

use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// Reads some bytes at `offset`; 0 at the end.
    ///
    /// # Errors
    /// They cannot be read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Bytes to which more can be added.
pub trait Store: ReadAt {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// They cannot be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Adds all that a reader has. Returns how many bytes these are.
pub(crate) fn append_all(store: &mut impl Store, mut from: impl io::Read) -> io::Result<u64> {
    let (mut buffer, mut all) = (vec![0; 64 << 10], 0);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(all),
            count => {
                store.append(&buffer[..count])?;
                all += count as u64;
            }
        }
    }
}

impl Store for std::fs::File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(self, bytes)
    }
}

impl Store for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// The bytes from a place on, as many as there should be.
#[derive(Debug)]
pub(crate) struct Section<'a, R: ?Sized> {
    bytes: &'a R,
    offset: u64,
    left: u64,
}

impl<'a, R: ReadAt + ?Sized> Section<'a, R> {
    pub(crate) const fn new(bytes: &'a R, offset: u64, length: u64) -> Self {
        Self { bytes, offset, left: length }
    }
}

impl<R: ReadAt + ?Sized> io::Read for Section<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.bytes.read_at(self.offset, &mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (self.offset, self.left) = (self.offset + count as u64, self.left - count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_section_has_its_bytes_and_no_others() {
        let bytes = b"abcdef".to_vec();
        let mut text = String::new();
        Section::new(&bytes, 2, 3).read_to_string(&mut text).unwrap();
        assert_eq!(text, "cde");
        let cut = Section::new(&bytes, 4, 3).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }
}
