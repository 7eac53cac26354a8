//! Connections to the server, by TLS.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::certificates::authority::Authority;
use crate::certificates::clock::UnixTime;
use crate::certificates::served::Served;
use crate::metrics::Metrics;
use crate::warn::Settings;

const NAME: &str = "admission.shop.svc";
const REQUEST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

struct Running {
    address: SocketAddr,
    served: Served,
    drain: watch::Sender<bool>,
}

fn now() -> UnixTime {
    UnixTime(daemon::metrics::now() as i64)
}

fn start() -> Running {
    let served = Served::default();
    let (drain, draining) = watch::channel(false);
    let metrics = Metrics::new(&Registry::new(), &[]).unwrap();
    let handler = Handler::new(Settings { refuse_errors: false }, None, metrics);
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let server = Server::new(address, served.config().unwrap(), handler, draining).unwrap();
    let address = server.listener.local_addr().unwrap();
    tokio::spawn(server.run());
    Running { address, served, drain }
}

fn authority() -> Authority {
    Authority::generate(now(), Duration::from_hours(1)).unwrap()
}

async fn connect(running: &Running, trusts: &Authority) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.certificate().to_vec().into()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(running.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), stream).await
}

/// Sends a request and returns the head of the answer.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_connection_gets_the_present_certificate_and_an_open_one_outlives_it() {
    let running = start();
    let (first, second) = (authority(), authority());
    connect(&running, &first).await.expect_err("there is no certificate yet");
    running.served.set(first.sign(&[NAME.to_owned()], now(), Duration::from_mins(5)).unwrap()).unwrap();
    let mut open = connect(&running, &first).await.unwrap();
    running.served.set(second.sign(&[NAME.to_owned()], now(), Duration::from_mins(5)).unwrap()).unwrap();
    assert!(ask(&mut open).await.starts_with("HTTP/1.1 404"), "the path is none of ours");
    connect(&running, &second).await.unwrap();
    connect(&running, &first).await.expect_err("signed by the other authority");
}

#[tokio::test]
async fn a_certificate_is_for_the_names_of_the_service_alone() {
    let running = start();
    let authority = authority();
    running
        .served
        .set(authority.sign(&["other".to_owned()], now(), Duration::from_mins(5)).unwrap())
        .unwrap();
    connect(&running, &authority).await.expect_err("another name");
}

#[tokio::test]
async fn a_restored_authority_signs_as_before() {
    let running = start();
    let made = authority();
    let facts = *made.facts();
    let restored =
        Authority::restore(made.certificate().to_vec(), &made.key(), facts.created, facts.expires).unwrap();
    running.served.set(restored.sign(&[NAME.to_owned()], now(), Duration::from_mins(5)).unwrap()).unwrap();
    connect(&running, &made).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_about_to_end_answers_and_asks_for_another_connection() {
    let running = start();
    let authority = authority();
    running.served.set(authority.sign(&[NAME.to_owned()], now(), Duration::from_mins(5)).unwrap()).unwrap();
    let mut stream = connect(&running, &authority).await.unwrap();
    running.drain.send_replace(true);
    let head = ask(&mut stream).await;
    assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
}

#[tokio::test]
async fn however_many_connections_somebody_opens_the_api_server_gets_one() {
    let running = start();
    let authority = authority();
    running.served.set(authority.sign(&[NAME.to_owned()], now(), Duration::from_mins(5)).unwrap()).unwrap();
    let mut held = Vec::new();
    for _ in 0..MOST_CONNECTIONS + 20 {
        held.push(TcpStream::connect(running.address).await.unwrap());
    }
    let mut stream = connect(&running, &authority).await.unwrap();
    ask(&mut stream).await;
}
