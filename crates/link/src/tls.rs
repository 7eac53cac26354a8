//! Errors about unsupported certificates and handshakes, with the name of the algorithm and what to do.
//!
//! rustls prints only the numbers of algorithms. The cryptography here is ring's. It does not support P-521, and
//! supports P-256 and P-384 each with SHA-256 or SHA-384.

use std::error::Error;
use std::fmt::Write;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as Tls};

/// The names of algorithms, by the value of their object identifier in DER.
const NAMES: [(&[u8], &str); 9] = [
    // RFC 5758, section 3.2, and RFC 3279, section 2.2.3
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], "ECDSA with SHA-512"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01], "ECDSA with SHA-224"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], "ECDSA with SHA-1"),
    // RFC 8017, appendix C
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], "RSA with MD5"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], "RSA with SHA-1"),
    // RFC 8410, section 3
    (&[0x2b, 0x65, 0x71], "Ed448"),
    // RFC 5480, section 2.1.1.1
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], "P-521"),
    (&[0x2b, 0x81, 0x04, 0x00, 0x21], "P-224"),
    (&[0x2b, 0x81, 0x04, 0x00, 0x0a], "secp256k1"),
];

/// What to do: the certificates that can be verified.
const REMEDY: &str = "Have the certificate issued by an authority with an RSA, P-256, P-384 or Ed25519 key, and signed \
                    with SHA-256 or SHA-384 where the key is a P-256 or P-384 one";

/// A description of `error` and what to do, if it is about an algorithm.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let tls = inner(error)?;
    match tls {
        Tls::InvalidCertificate(CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: signature,
            ..
        }) => Some(format!(
            "the API server's certificate, or its authority's, is signed with {}, which this program cannot verify: \
             its TLS library has no such algorithm, and no key on the curve P-521. {REMEDY}",
            name(signature)
        )),
        Tls::InvalidCertificate(CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: signature,
            public_key_algorithm_id: key,
        }) => Some(format!(
            "the API server's certificate, or its authority's, is signed by a key of the kind {} (signature {}), which \
             this program cannot verify: its TLS library has no such pair. {REMEDY}",
            name(key),
            name(signature)
        )),
        // A server that has no certificate for the offered algorithms sends nothing but this alert.
        Tls::AlertReceived(AlertDescription::HandshakeFailure) => Some(format!(
            "{tls}: the API server and this program have no algorithm in common. That is so where the key of its \
             certificate is on the curve P-521, which this program's TLS library does not have. {REMEDY}, for a key of \
             one of these kinds"
        )),
        _ => None,
    }
}

/// The error of rustls within any number of I/O errors, which do not return it as their source.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Tls> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => inner(error.get_ref()?),
        None => error.downcast_ref(),
    }
}

/// The name of an algorithm, given the contents of its `AlgorithmIdentifier` in DER. The last known identifier in it is
/// the most specific one.
fn name(identifier: &[u8]) -> String {
    let ids = identifiers(identifier);
    let named = |id: &&[u8]| NAMES.iter().find(|(known, _)| known == id).map(|(_, name)| *name);
    match (ids.iter().rev().find_map(named), ids.first()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(id)) => dotted(id),
        (None, None) => "an unknown algorithm".to_owned(),
    }
}

/// The values of the object identifiers at the start of `der`.
fn identifiers(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [0x06, length, rest @ ..] = der
        && let Some((id, rest)) = rest.split_at_checked(usize::from(*length))
    {
        found.push(id);
        der = rest;
    }
    found
}

/// An object identifier in dotted notation.
fn dotted(id: &[u8]) -> String {
    let (mut text, mut number, mut is_first) = (String::new(), 0_u64, true);
    for byte in id {
        number = (number << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        // The first two numbers are encoded as one (X.690, section 8.19).
        let _ = match (std::mem::take(&mut is_first), number / 40) {
            (true, first) => write!(text, "{}.{}", first.min(2), number - 40 * first.min(2)),
            (false, _) => write!(text, ".{number}"),
        };
        number = 0;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::ListParams;
    use kube::{Api, Config};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn openssl(directory: &Path, arguments: &str) {
        let done = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
        let done = done.unwrap_or_else(|error| panic!("openssl, which e2e/setup.sh installs: {error}"));
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A server of OpenSSL. Its certificate has a key on the curve `leaf`; the authority, with a key on `authority`,
    /// has signed it with `hash`.
    struct Server(Child);

    impl Server {
        fn start(directory: &Path, leaf: &str, authority: &str, hash: &str) -> (Self, u16) {
            let key = |curve: &str| match curve {
                "RSA" => "rsa:2048".to_owned(),
                curve => format!("ec -pkeyopt ec_paramgen_curve:{curve}"),
            };
            let request = |key: &str, name: &str| {
                format!(
                    "req -x509 -newkey {key} -nodes -{hash} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
                )
            };
            openssl(directory, &request(&key(authority), "authority"));
            let extensions = "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
            let signed = "-CA authority.pem -CAkey authority.key";
            openssl(directory, &format!("{} {extensions} {signed}", request(&key(leaf), "leaf")));
            let mut server = Command::new("openssl")
                .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "leaf.pem", "-key", "leaf.key", "-www"])
                .current_dir(directory)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let lines = BufReader::new(server.stdout.take().unwrap()).lines();
            let accepts = |line: io::Result<String>| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned);
            let address = lines.into_iter().find_map(accepts).expect("it prints its address");
            (Self(server), address.rsplit(':').next().unwrap().parse().unwrap())
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            // An error means that it has already ended.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// The error of a client that connects to a server with such keys.
    async fn error_of(leaf: &str, authority: &str, hash: &str) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let (_server, port) = Server::start(directory.path(), leaf, authority, hash);
        let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
        let authority = fs::read(directory.path().join("authority.pem")).unwrap();
        config.root_cert = Some(vec![CertificateDer::from_pem_slice(&authority).unwrap().to_vec()]);
        let namespaces = Api::<Namespace>::all(crate::client::client(config).unwrap());
        crate::chain(&namespaces.list(&ListParams::default()).await.unwrap_err())
    }

    #[tokio::test]
    async fn an_api_servers_certificate_that_cannot_be_verified_gives_an_error_with_the_algorithm_and_the_remedy()
     {
        for (leaf, authority, hash, named) in [
            ("P-256", "P-521", "sha512", "signed with ECDSA with SHA-512"),
            ("P-256", "P-521", "sha256", "a key of the kind P-521 (signature "),
            ("P-256", "P-256", "sha512", "signed with ECDSA with SHA-512"),
            ("P-384", "P-384", "sha512", "signed with ECDSA with SHA-512"),
            ("P-521", "P-256", "sha256", "the key of its certificate is on the curve P-521"),
        ] {
            let error = error_of(leaf, authority, hash).await;
            let case = format!("{leaf} by {authority} with {hash}: {error}");
            assert!(error.contains(named) && error.contains(REMEDY), "{case}");
            assert!(!error.contains("Context") && !error.contains('['), "{case}");
        }
    }

    #[tokio::test]
    async fn every_kind_of_certificate_that_the_remedy_names_is_verified() {
        for (leaf, authority, hash) in [
            ("P-256", "P-384", "sha384"),
            ("P-384", "P-256", "sha256"),
            ("P-256", "RSA", "sha512"),
            ("RSA", "RSA", "sha256"),
        ] {
            let error = error_of(leaf, authority, hash).await;
            // The request fails, because the server's page is not a list of namespaces, but not for the handshake.
            assert!(
                !error.contains("certificate") && !error.contains("TLS"),
                "{leaf} by {authority} with {hash}: {error}"
            );
        }
    }

    #[test]
    fn an_unknown_algorithm_is_named_by_its_numbers() {
        assert_eq!(name(&[0x06, 0x03, 0x2a, 0x86, 0x48]), "1.2.840");
        assert_eq!(name(&[0x06, 0x03, 0x88, 0x37, 0x03]), "2.999.3");
        assert_eq!(name(&[0x06, 0x07, 0x2a]), "an unknown algorithm");
        assert_eq!(name(&[]), "an unknown algorithm");
    }
}
