//! The Secret of the authorities.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::authority::Authority;
use super::bundle::Bundle;
use super::clock::UnixTime;
use super::fingerprint::Fingerprint;
use super::plan::Stored;

/// The type of the Secret. A type with a meaning to Kubernetes would give the account more than it needs.
const TYPE: &str = "Opaque";

/// The authorities of a Secret, newest first.
#[derive(Debug, Default)]
pub struct Authorities {
    newest_first: Vec<Authority>,
}

impl Authorities {
    /// The authorities in a Secret: none if anything about the newest is missing or unreadable, because nobody could
    /// sign with it; the previous one only if it is complete.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        let newest_first = ["ca", "previous"].iter().map_while(|name| read(secret, name)).collect();
        Self { newest_first }
    }

    /// With a new authority; of the old ones, only the newest stays.
    #[must_use]
    pub fn renewed(mut self, authority: Authority) -> Self {
        self.newest_first.insert(0, authority);
        self.newest_first.truncate(2);
        self
    }

    /// Without the previous one.
    #[must_use]
    pub fn without_previous(mut self) -> Self {
        self.newest_first.truncate(1);
        self
    }

    /// What decisions depend on.
    #[must_use]
    pub fn stored(&self) -> Stored {
        match &self.newest_first[..] {
            [] => Stored::Nothing,
            [current, others @ ..] => Stored::Authorities {
                current: *current.facts(),
                previous: others.first().map(|previous| *previous.facts()),
            },
        }
    }

    /// The authority with this certificate.
    #[must_use]
    pub fn get(&self, id: Fingerprint) -> Option<&Authority> {
        self.newest_first.iter().find(|authority| authority.facts().id == id)
    }

    /// Their certificates.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        let mut bundle = Bundle::default();
        self.newest_first.iter().for_each(|authority| bundle.add(authority.certificate()));
        bundle
    }

    /// The Secret that holds them, instead of `old` if there is one.
    #[must_use]
    pub fn to_secret(&self, name: &str, labels: &BTreeMap<String, String>, old: Option<&Secret>) -> Secret {
        let mut data = BTreeMap::new();
        for (name, authority) in ["ca", "previous"].into_iter().zip(&self.newest_first) {
            let mut bundle = Bundle::default();
            bundle.add(authority.certificate());
            let facts = authority.facts();
            for (field, text) in [
                ("crt", bundle.text()),
                ("key", authority.key()),
                ("created", facts.created.0.to_string()),
                ("expires", facts.expires.0.to_string()),
            ] {
                data.insert(format!("{name}.{field}"), ByteString(text.into_bytes()));
            }
        }
        let new = || ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        };
        Secret {
            metadata: old.map_or_else(new, |old| old.metadata.clone()),
            data: Some(data),
            type_: Some(TYPE.to_owned()),
            ..Secret::default()
        }
    }
}

fn read(secret: &Secret, name: &str) -> Option<Authority> {
    let data = secret.data.as_ref()?;
    let text = |field: &str| std::str::from_utf8(&data.get(&format!("{name}.{field}"))?.0).ok();
    let time = |field: &str| text(field)?.trim().parse().ok().map(UnixTime);
    let certificate = pem::parse(text("crt")?).ok()?.into_contents();
    Authority::restore(certificate, text("key")?, time("created")?, time("expires")?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn authority(now: i64) -> Authority {
        Authority::generate(UnixTime(now), Duration::from_hours(1)).unwrap()
    }

    fn secret_of(authorities: &Authorities) -> Secret {
        authorities.to_secret("name", &BTreeMap::new(), None)
    }

    #[test]
    fn what_is_stored_is_read_back_with_both_authorities_and_a_third_takes_the_place_of_the_oldest() {
        let authorities = Authorities::default().renewed(authority(2_000_000_000));
        assert_eq!(Authorities::of(&secret_of(&authorities)).stored(), authorities.stored());
        let authorities = authorities.renewed(authority(2_000_000_001));
        let read = Authorities::of(&secret_of(&authorities));
        assert_eq!((read.stored(), read.bundle()), (authorities.stored(), authorities.bundle()));
        let newest = authorities.newest_first[0].facts().id;
        let read = read.renewed(authority(2_000_000_002));
        assert_eq!((read.newest_first.len(), read.newest_first[1].facts().id), (2, newest));
        assert_eq!(read.without_previous().newest_first.len(), 1);
    }

    #[test]
    fn a_secret_that_lacks_a_part_of_the_newest_authority_holds_none() {
        let whole = secret_of(&Authorities::default().renewed(authority(2_000_000_000)));
        let fields: Vec<String> = whole.data.as_ref().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["ca.created", "ca.crt", "ca.expires", "ca.key"]);
        for field in &fields {
            let mut broken = whole.clone();
            broken.data.as_mut().unwrap().remove(field);
            assert_eq!(Authorities::of(&broken).stored(), Stored::Nothing, "{field}");
            broken.data.as_mut().unwrap().insert(field.clone(), ByteString(b"\xffx".to_vec()));
            assert_eq!(Authorities::of(&broken).stored(), Stored::Nothing, "{field}");
        }
        assert_eq!(Authorities::of(&Secret::default()).stored(), Stored::Nothing);
    }

    #[test]
    fn a_broken_previous_authority_is_left_out() {
        let authorities =
            Authorities::default().renewed(authority(2_000_000_000)).renewed(authority(2_000_000_001));
        let mut secret = secret_of(&authorities);
        secret.data.as_mut().unwrap().remove("previous.key");
        let Stored::Authorities { current, previous } = Authorities::of(&secret).stored() else { panic!() };
        assert_eq!((current.id, previous), (authorities.newest_first[0].facts().id, None));
    }
}
