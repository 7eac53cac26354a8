//! What is under a name.

use api::ProfileName;
use profile::ContentHash;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::calls::{Calls, Faults};
use super::error::DiskError;
use super::failure::{FailedCall, SystemCall};
use super::stamp::{self, FileTime};

/// What is under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A regular file whose bytes were read.
    File {
        /// Their hash; `None` if the file is larger than any profile.
        hash: Option<ContentHash>,
        /// Whether everybody may read it and only the agent's user may change it.
        access_is_right: bool,
        /// Since when its bytes have been in the place of others, by its time of modification; `None` if it is the first
        /// file under the name.
        replaced: Option<FileTime>,
    },
    /// A regular file whose bytes cannot be read.
    Unreadable(DiskError),
    /// A symbolic link, FIFO, socket or device; which one, for a person.
    Special(&'static str),
    /// A directory with nothing in it.
    EmptyDirectory,
    /// A directory with something in it, or one that cannot be read.
    Directory,
    /// Unknown: not even `stat` of the name succeeds.
    Unknown(DiskError),
}

/// No profile's file is larger: 512 rules with 4,096 names of 64 characters and 1,024 arguments take 0.4 MB. A larger
/// file is not read, so that it cannot exhaust the agent's memory.
const LARGEST_FILE: u64 = 1024 * 1024;

/// How often a name is examined when it changes between `stat` and `open`.
const ATTEMPTS: usize = 3;

/// Examines the file of a profile and reads every byte of it; `owner` is the user whose files are the agent's.
pub(crate) fn find<F: Faults>(calls: &mut Calls<F>, name: &ProfileName, owner: u32) -> Found {
    let file = name.file_name();
    for _ in 0..ATTEMPTS {
        match examine(calls, &file, owner) {
            Ok(Some(found)) => return found,
            Ok(None) => {}
            Err(failure) => return Found::Unknown(failure.into()),
        }
    }
    Found::Unknown(DiskError::Io(FailedCall {
        call: SystemCall::Open,
        name: file.into(),
        errno: Errno::AGAIN,
    }))
}

/// `None` if the name changed between `stat` and `open`.
fn examine<F: Faults>(calls: &mut Calls<F>, file: &str, owner: u32) -> Result<Option<Found>, FailedCall> {
    let Some(stat) = calls.stat(file)? else { return Ok(Some(Found::Absent)) };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => match read(calls, file, owner) {
            Ok(found) => found,
            Err(FailedCall { errno: Errno::NOENT | Errno::LOOP, .. }) => None,
            Err(failure) => Some(Found::Unreadable(failure.into())),
        },
        FileType::Directory => match calls.is_empty_directory(file) {
            Ok(true) => Some(Found::EmptyDirectory),
            Err(FailedCall { errno: Errno::NOENT | Errno::LOOP | Errno::NOTDIR, .. }) => None,
            Ok(false) | Err(_) => Some(Found::Directory),
        },
        FileType::Symlink => Some(Found::Special("a symbolic link")),
        FileType::Fifo => Some(Found::Special("a FIFO")),
        FileType::Socket => Some(Found::Special("a socket")),
        _ => Some(Found::Special("a device")),
    })
}

fn read<F: Faults>(calls: &mut Calls<F>, file: &str, owner: u32) -> Result<Option<Found>, FailedCall> {
    let Some((bytes, stat)) = read_regular(calls, file, LARGEST_FILE)? else { return Ok(None) };
    // The permissions of a file bind everybody but its owner, who may change them.
    let access_is_right = Mode::from_raw_mode(stat.st_mode) == super::MODE && stat.st_uid == owner;
    let replaced = stamp::replaced_at(&stat, calls.now());
    Ok(Some(Found::File { hash: bytes.map(|bytes| ContentHash::of(&bytes)), access_is_right, replaced }))
}

/// The bytes of a regular file (`None` if there are more than `most`), and its metadata from before they were read.
/// `None` if it is not a regular file.
#[expect(clippy::type_complexity, reason = "two options whose meaning is documented")]
pub(crate) fn read_regular<F: Faults>(
    calls: &mut Calls<F>,
    file: &str,
    most: u64,
) -> Result<Option<(Option<Vec<u8>>, rustix::fs::Stat)>, FailedCall> {
    let opened = calls.open(file)?;
    let stat = calls.stat_open(file, &opened)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    if size > most {
        return Ok(Some((None, stat)));
    }
    // One byte more than the file has, so that the end shows without growing the buffer.
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default() + 1];
    let mut filled = 0;
    loop {
        let read = calls.read(file, &opened, &mut bytes[filled..])?;
        if read == 0 {
            break;
        }
        filled += read;
        if filled == bytes.len() {
            if filled as u64 > most {
                return Ok(Some((None, stat)));
            }
            bytes.resize(filled * 2, 0);
        }
    }
    bytes.truncate(filled);
    Ok(Some((Some(bytes), stat)))
}
