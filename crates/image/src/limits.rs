//! Bounds of what is read, so that no image takes more than a known amount of memory, disk or time.

/// Layers of one image. Docker makes at most 127.
pub const LAYERS: usize = 512;
/// Bytes of all layers, when they are not compressed.
pub const UNPACKED_BYTES: u64 = 16 << 30;
/// Bytes of a compressed archive, when it is not.
pub const ARCHIVE_BYTES: u64 = 16 << 30;
/// Bytes of all contents that are kept.
pub const KEPT_BYTES: u64 = 8 << 30;
/// Bytes of one file that is neither a program, nor a library, nor a script, above which its contents are not kept.
pub const OTHER_BYTES: u64 = 1 << 20;
/// Files, directories and links of one image, and entries of one archive.
pub const ENTRIES: usize = 500_000;
/// Bytes of the paths of all files, directories and links.
pub const ALL_PATH_BYTES: usize = 128 << 20;
/// Paths that are looked up to put all entries of all layers in their places.
pub const WORK: usize = 10_000_000;
/// Bytes of a header that extends another one.
pub const EXTENSION_BYTES: u64 = 1 << 20;
/// Bytes of a configuration, and of the list of an archive's images.
pub const CONFIG_BYTES: u64 = 2 << 20;
/// Indexes that name one another.
pub const NESTED_INDEXES: usize = 4;
