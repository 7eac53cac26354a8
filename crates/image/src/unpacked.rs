//! Takes the compression off, which the first bytes tell, whatever a media type says.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Magic numbers of frames without contents (RFC 8878, section 3.1.2): `0x184D2A5?`, with the lowest byte first.
const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2: &[u8] = b"BZh";

type Peeked<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// Bytes without their compression, at most so many: a few bytes can stand for very many.
pub(crate) struct Unpacked<R: Read> {
    bytes: Bytes<R>,
    left: u64,
    limit: u64,
}

enum Bytes<R: Read> {
    Plain(Peeked<R>),
    Gzip(Box<MultiGzDecoder<Peeked<R>>>),
    Zstd(Box<Zstd<R>>),
}

impl<R: Read> Unpacked<R> {
    pub(crate) fn new(mut packed: R, limit: u64) -> io::Result<Self> {
        let mut first = Vec::new();
        packed.by_ref().take(6).read_to_end(&mut first)?;
        let (is_gzip, is_zstd) = (first.starts_with(GZIP), first.starts_with(ZSTD) || is_skippable(&first));
        if first.starts_with(XZ) || first.starts_with(BZIP2) {
            return Err(io::Error::other("it is compressed in another way than by gzip or zstd"));
        }
        let peeked = BufReader::with_capacity(64 << 10, Cursor::new(first).chain(packed));
        let bytes = match () {
            () if is_gzip => Bytes::Gzip(Box::new(MultiGzDecoder::new(peeked))),
            () if is_zstd => {
                Bytes::Zstd(Box::new(Zstd { frame: FrameDecoder::new(), packed: peeked, is_begun: false }))
            }
            () => Bytes::Plain(peeked),
        };
        Ok(Self { bytes, left: limit, limit })
    }

    /// How many bytes may still come.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    /// Whether they are compressed.
    pub(crate) const fn is_packed(&self) -> bool {
        !matches!(self.bytes, Bytes::Plain(_))
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.bytes {
            Bytes::Plain(bytes) => bytes.read(buffer)?,
            Bytes::Gzip(bytes) => bytes.read(buffer)?,
            Bytes::Zstd(bytes) => bytes.read(buffer)?,
        };
        let left = self.left.checked_sub(count as u64);
        self.left = left.ok_or_else(|| io::Error::other(format!("it has more than {} bytes", self.limit)))?;
        Ok(count)
    }
}

fn is_skippable(first: &[u8]) -> bool {
    first.first().is_some_and(|byte| byte & 0xf0 == 0x50) && first.get(1..4) == Some(SKIPPABLE)
}

/// Frames of zstd, one after the other; those without contents are passed over.
struct Zstd<R: Read> {
    frame: FrameDecoder,
    packed: Peeked<R>,
    is_begun: bool,
}

impl<R: Read> Zstd<R> {
    /// Begins the next frame; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if io::BufRead::fill_buf(&mut self.packed)?.is_empty() {
                return Ok(false);
            }
            match self.frame.init(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut self.packed.by_ref().take(length), &mut io::sink())?;
                    if skipped != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_begun {
                if !self.begin()? {
                    return Ok(0);
                }
                self.is_begun = true;
            }
            while self.frame.can_collect() < buffer.len() && !self.frame.is_finished() {
                let most = BlockDecodingStrategy::UptoBytes(buffer.len());
                let decoded = self.frame.decode_blocks(&mut self.packed, most);
                decoded.map_err(|error| io::Error::other(error.to_string()))?;
            }
            let count = self.frame.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.is_begun = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn unpacked(packed: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Unpacked::new(packed, limit)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn each_compression_gives_the_same_bytes() {
        let bytes: Vec<u8> = (0..300_000u32).flat_map(|it| (it / 7).to_le_bytes()).collect();
        let skippable = [&[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        for packed in [
            bytes.clone(),
            gzip(&bytes),
            [gzip(half), gzip(rest)].concat(),
            zstd(&bytes),
            [skippable.clone(), zstd(half), skippable, zstd(rest)].concat(),
        ] {
            assert!(unpacked(&packed, bytes.len() as u64).unwrap() == bytes, "{:?}", &packed[..4]);
        }
        assert_eq!(unpacked(b"", 0).unwrap(), b"");
    }

    #[test]
    fn what_would_be_too_large_or_is_cut_off_is_an_error() {
        let bytes = vec![0; 10 << 20];
        for packed in [gzip(&bytes), zstd(&bytes)] {
            assert!(packed.len() < 1 << 20);
            let error = unpacked(&packed, 1 << 20).unwrap_err();
            assert_eq!(error.to_string(), "it has more than 1048576 bytes");
            assert!(unpacked(&packed[..packed.len() / 2], 1 << 30).is_err());
        }
        assert!(unpacked(XZ, 100).unwrap_err().to_string().contains("another way than by gzip or zstd"));
    }
}
