//! Why an image cannot be read.

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is neither a layout nor an archive of images.
    #[error("it has neither oci-layout nor manifest.json, so that it is no image")]
    NoImage,
    /// A part is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A part cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The part.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A part is not what it should be.
    #[error("{path}: {why}")]
    Malformed {
        /// The part.
        path: String,
        /// Why.
        why: String,
    },
    /// A part is not that of its digest.
    #[error("{0}: its bytes are not those of its digest")]
    Digest(String),
    /// There are several images.
    #[error("it has several images; choose one of {}", .0.join(", "))]
    Several(Vec<String>),
    /// There is no image of this name.
    #[error("it has no image {wanted}{}", one_of(found))]
    NoSuchImage {
        /// The name.
        wanted: String,
        /// The names that there are.
        found: Vec<String>,
    },
    /// The image is not for x86_64.
    #[error("the image is for {0}; only linux/amd64 is read")]
    Platform(String),
    /// A layer cannot be read.
    #[error("layer {number}: {error}")]
    Layer {
        /// Its number, from 1 and the lowest.
        number: usize,
        /// Why.
        error: LayerError,
    },
    /// The image has more of something than is read.
    #[error("more than {limit} {what}")]
    TooLarge {
        /// What it has too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

fn one_of(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
}

/// Why a layer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It cannot be read, uncompressed or kept.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A header is not valid, or of a kind that is not read.
    #[error("{path}: {why}")]
    Header {
        /// The entry.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// An entry would be somewhere else than its path says.
    #[error("{path}: {why}")]
    Path {
        /// The entry.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// The layer has more of something than is read.
    #[error("more than {limit} {what}")]
    TooLarge {
        /// What it has too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The bytes are not those of the digest.
    #[error("its bytes are not those of its digest")]
    Digest,
}

impl ImageError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoImage => "NoImage",
            Self::Missing(_) => "Missing",
            Self::Unreadable { .. } => "Unreadable",
            Self::Malformed { .. } => "Malformed",
            Self::Digest(_) => "Digest",
            Self::Several(_) => "SeveralImages",
            Self::NoSuchImage { .. } => "NoSuchImage",
            Self::Platform(_) => "Platform",
            Self::Layer { error, .. } => error.reason(),
            Self::TooLarge { .. } => "TooLarge",
        }
    }
}

impl LayerError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Io(_) => "Unreadable",
            Self::Header { .. } => "LayerHeader",
            Self::Path { .. } => "LayerPath",
            Self::TooLarge { .. } => "TooLarge",
            Self::Digest => "Digest",
        }
    }
}
