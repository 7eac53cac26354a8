//! The entries of a tar archive, with the paths and sizes that extended headers state.
//!
//! The library's own treatment of these headers reads them whole, however large they are. So it gives the plain headers,
//! and what extends them is read here, within [`limits::EXTENSION_BYTES`].

use std::borrow::Cow;
use std::io::{self, Read};

use tar::{Archive, Entries, EntryType, Header};

use crate::error::LayerError;
use crate::limits;

/// One entry, without its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// As it stands in the archive.
    pub(crate) path: String,
    pub(crate) kind: EntryType,
    /// The target of a link, as it stands in the archive.
    pub(crate) link: Option<String>,
    pub(crate) size: u64,
    /// Where the contents begin in the archive.
    pub(crate) offset: u64,
}

/// What extended headers state of the next entry.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Calls `each` with every entry and its contents.
pub(crate) fn each_entry(
    archive: impl Read,
    mut each: impl FnMut(Head, &mut dyn Read) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    let mut archive = Archive::new(archive);
    let entries: Entries<'_, _> = archive.entries()?.raw(true);
    let mut extended = Extended::default();
    for (number, entry) in entries.enumerate() {
        let mut entry = entry?;
        if number > 2 * limits::ENTRIES {
            return Err(LayerError::TooLarge { what: "entries", limit: 2 * limits::ENTRIES as u64 });
        }
        let (size, offset) = (entry.size(), entry.raw_file_position());
        let header = entry.header().clone();
        match header.entry_type() {
            EntryType::GNULongName => extended.path = Some(text(&mut entry, size)?),
            EntryType::GNULongLink => extended.link = Some(text(&mut entry, size)?),
            EntryType::XHeader => extended.read(&contents(&mut entry, size)?, name(&header))?,
            // What holds for all entries: times, comments and the like.
            EntryType::XGlobalHeader => {}
            _ => {
                let head = head(&header, std::mem::take(&mut extended), size, offset)?;
                each(head, &mut entry)?;
            }
        }
    }
    Ok(())
}

fn name(header: &Header) -> String {
    String::from_utf8_lossy(&header.path_bytes()).into_owned()
}

fn contents(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, LayerError> {
    if size > limits::EXTENSION_BYTES {
        return Err(LayerError::TooLarge {
            what: "bytes of an extended header",
            limit: limits::EXTENSION_BYTES,
        });
    }
    let mut bytes = Vec::new();
    entry.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

/// What a header of GNU's form holds: a text that ends with a zero.
fn text(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, LayerError> {
    let mut bytes = contents(entry, size)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}

impl Extended {
    /// Reads a header of POSIX's form.
    fn read(&mut self, bytes: &[u8], name: String) -> Result<(), LayerError> {
        let wrong = |why| LayerError::Header { path: name.clone(), why };
        let mut left = bytes;
        while !left.is_empty() {
            let ((key, value), rest) =
                record(left).ok_or_else(|| wrong("its extended header is malformed"))?;
            left = rest;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                // The contents would be found somewhere else than the plain header says.
                b"size" => return Err(wrong("its extended header states another size")),
                key if key.starts_with(b"GNU.sparse.") => return Err(wrong("sparse files are not read")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A key with its value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// The first record of an extended header, `LENGTH KEY=VALUE` and a newline, and what follows it. The length counts: a value
/// may have newlines, as those of security.capability do.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let digits = bytes.iter().take(10).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
    let (whole, rest) = bytes.split_at_checked(length)?;
    let pair = whole.get(digits + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some(((&pair[..equals], &pair[equals + 1..]), rest))
}

fn head(header: &Header, extended: Extended, size: u64, offset: u64) -> Result<Head, LayerError> {
    let of_header = |bytes: Cow<'_, [u8]>| bytes.into_owned();
    let path = extended.path.unwrap_or_else(|| of_header(header.path_bytes()));
    let link = extended.link.or_else(|| header.link_name_bytes().map(of_header));
    let wrong =
        |bytes: &[u8], why| LayerError::Header { path: String::from_utf8_lossy(bytes).into_owned(), why };
    if header.entry_type() == EntryType::GNUSparse {
        return Err(wrong(&path, "sparse files are not read"));
    }
    if path.len() > files::PATH_BYTES || link.as_ref().is_some_and(|it| it.len() > files::PATH_BYTES) {
        let path = path.get(..100).unwrap_or(&path);
        return Err(wrong(path, "its path or that of its link is too long"));
    }
    if path.contains(&0) || link.as_ref().is_some_and(|it| it.contains(&0)) {
        return Err(wrong(&path, "its path or that of its link has a zero byte"));
    }
    // Names need not be valid text; what is no text is not what this project looks for, and names stay apart.
    let lossless =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_else(|error| escaped(error.as_bytes()));
    Ok(Head { path: lossless(path), kind: header.entry_type(), link: link.map(lossless), size, offset })
}

/// Bytes that are no text, as text that no other bytes give.
fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
