//! The list of certificates in a webhook configuration: whom the API server trusts.

use super::fingerprint::Fingerprint;

/// Tag of a certificate in PEM (RFC 7468).
const CERTIFICATE: &str = "CERTIFICATE";

/// Certificates, in the order in which they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    certificates: Vec<(Fingerprint, Vec<u8>)>,
}

impl Bundle {
    /// The certificates in PEM; whatever else is in the text is left out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        // One block that cannot be read makes the whole text unreadable for this library, and the API server skips it.
        let blocks = pem::parse_many(text).unwrap_or_default();
        let mut bundle = Self::default();
        blocks
            .into_iter()
            .filter(|block| block.tag() == CERTIFICATE)
            .for_each(|block| bundle.add(block.contents()));
        bundle
    }

    /// Adds a certificate in DER, unless it is there already.
    pub fn add(&mut self, der: &[u8]) {
        let id = Fingerprint::of(der);
        if !self.contains(id) {
            self.certificates.push((id, der.to_vec()));
        }
    }

    /// Whether it has this certificate.
    #[must_use]
    pub fn contains(&self, id: Fingerprint) -> bool {
        self.certificates.iter().any(|(held, _)| *held == id)
    }

    /// The certificates in DER.
    pub fn ders(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(|(_, der)| &der[..])
    }

    /// What identifies its certificates.
    #[must_use]
    pub fn ids(&self) -> Vec<Fingerprint> {
        self.certificates.iter().map(|(id, _)| *id).collect()
    }

    /// Only the certificates that are also in `other`.
    #[must_use]
    pub fn common_with(&self, other: &Self) -> Self {
        let common = self.certificates.iter().filter(|(id, _)| other.contains(*id));
        Self { certificates: common.cloned().collect() }
    }

    /// The certificates of `self` and `others` with these fingerprints, in this order.
    #[must_use]
    pub fn choose(&self, others: &Self, ids: &[Fingerprint]) -> Self {
        let find = |id: &Fingerprint| {
            let all = self.certificates.iter().chain(&others.certificates);
            all.into_iter().find(|(held, _)| held == id).cloned()
        };
        Self { certificates: ids.iter().filter_map(find).collect() }
    }

    /// The certificates in PEM.
    #[must_use]
    pub fn text(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        let blocks = self.certificates.iter().map(|(_, der)| pem::Pem::new(CERTIFICATE, der.clone()));
        pem::encode_many_config(&blocks.collect::<Vec<_>>(), config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written_and_a_certificate_is_in_it_once() {
        let mut bundle = Bundle::default();
        [&b"one"[..], b"two", b"one"].into_iter().for_each(|der| bundle.add(der));
        assert_eq!(bundle.ids(), [Fingerprint::of(b"one"), Fingerprint::of(b"two")]);
        let text = bundle.text();
        assert_eq!(Bundle::parse(text.as_bytes()), bundle);
        let with_others =
            format!("of yesterday\n{text}-----BEGIN PRIVATE KEY-----\nb25l\n-----END PRIVATE KEY-----\n");
        assert_eq!(Bundle::parse(with_others.as_bytes()), bundle);
        let two = bundle.choose(&Bundle::default(), &[Fingerprint::of(b"two"), Fingerprint::of(b"three")]);
        assert_eq!(two.ids(), [Fingerprint::of(b"two")]);
        assert_eq!(bundle.common_with(&two), two);
    }

    #[test]
    fn what_is_no_pem_has_no_certificate() {
        for text in [&b""[..], b"\n", b"-----BEGIN CERTIFICATE-----\n", b"\xff\xfe"] {
            assert_eq!(Bundle::parse(text), Bundle::default());
        }
    }
}
