//! A service that grants tokens for registries, as the distribution project specifies it: who asks with the right login
//! gets a token for what it names, and nobody else gets one.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertifiedKey, KeyPair, SigningKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

/// Its name in tokens.
const ISSUER: &str = "test";
/// The name of the registry.
const SERVICE: &str = "registry.test";
/// How long a token is valid, in seconds.
const VALID: u64 = 300;

/// The service, on a port of loopback with TLS.
pub(crate) struct Tokens {
    port: u16,
    /// The certificate whose key signs the tokens.
    certificate: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tokens {
    /// One with the certificate of a registry, which signs by a key of its own, for whoever has this login.
    pub(crate) fn start(tls: &CertifiedKey<KeyPair>, user: &str, password: &str, folder: &Path) -> Self {
        let signer = rcgen::generate_simple_self_signed(vec![ISSUER.to_owned()]).unwrap();
        let certificate = folder.join("tokens.pem");
        fs::write(&certificate, signer.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(tls.signing_key.serialize_der()).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![tls.cert.der().clone()], key).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let login = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let (signer, of_thread) = (Arc::new(signer), asked.clone());
        // They end with the test.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, signer, asked, login) =
                    (config.clone(), signer.clone(), of_thread.clone(), login.clone());
                thread::spawn(move || answer(stream.unwrap(), config, &signer, &asked, &login));
            }
        });
        Self { port, certificate, asked }
    }

    /// Where it is, by a name: crane sends no login to an address inside a network.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The options of distribution's registry.
    pub(crate) fn options(&self) -> serde_json::Value {
        json!({ "token": {
            "realm": format!("https://{}/token", self.host()), "service": SERVICE, "issuer": ISSUER,
            "rootcertbundle": self.certificate,
        } })
    }

    /// For what tokens were asked so far: the status of the answer and the scope.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    signer: &CertifiedKey<KeyPair>,
    asked: &Mutex<Vec<String>>,
    login: &str,
) -> Option<()> {
    let stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut stream = BufReader::new(stream);
    let (mut first, mut line, mut is_known) = (String::new(), String::new(), false);
    stream.read_line(&mut first).ok()?;
    while stream.read_line(&mut line).ok()? > 2 {
        let header = line.trim_end().split_once(": ");
        is_known |=
            header.is_some_and(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == login);
        line.clear();
    }
    let url = first.split(' ').nth(1)?.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
    let parameters: Vec<_> = url.split(['?', '&']).filter_map(|pair| pair.split_once('=')).collect();
    let scopes: Vec<_> =
        parameters.iter().filter(|(key, _)| *key == "scope").map(|(_, value)| *value).collect();
    let is_right = first.starts_with("GET /token?") && parameters.contains(&("service", SERVICE)) && is_known;
    let status = if is_right { 200 } else { 401 };
    asked.lock().unwrap().push(format!("{status} {}", scopes.join(" ")));
    let body = match is_right {
        true => json!({ "token": token(signer, &scopes), "expires_in": VALID }).to_string(),
        false => "{}".to_owned(),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

/// A token for what is asked for, signed with ES256.
fn token(signer: &CertifiedKey<KeyPair>, scopes: &[&str]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let access: Vec<_> = scopes
        .iter()
        .map(|scope| {
            let (kind, rest) = scope.split_once(':').unwrap();
            let (name, actions) = rest.rsplit_once(':').unwrap();
            json!({ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() })
        })
        .collect();
    let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(signer.cert.der())] });
    let claims = json!({
        "iss": ISSUER, "sub": "somebody", "aud": SERVICE, "exp": now + VALID, "nbf": now - 10, "iat": now,
        "jti": now.to_string(), "access": access,
    });
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = signer.signing_key.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(fixed(&signature)))
}

/// The two numbers of a signature in ASN.1, of 32 bytes each, as a token has them (RFC 7518, section 3.4).
fn fixed(signature: &[u8]) -> [u8; 64] {
    let mut fixed = [0; 64];
    // A sequence of two integers, each shorter than 128 bytes.
    let mut left = &signature[2..];
    for half in fixed.chunks_mut(32) {
        let (number, after) = left[2..].split_at(usize::from(left[1]));
        let number = &number[number.len().saturating_sub(32)..];
        half[32 - number.len()..].copy_from_slice(number);
        left = after;
    }
    fixed
}
