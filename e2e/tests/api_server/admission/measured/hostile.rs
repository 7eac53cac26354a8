//! Registries whose documents are as large as they may be, and end late, so that all are held at once.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry::Digest;
use registry::testing::{INDEX, MANIFEST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::super::super::pods::create_namespace;
use super::super::super::support::print_line;
use super::super::images::{SHOP, Shop};
use super::super::*;
use super::resident;
use api::names::INCLUDED_NAMESPACE;

/// The chart's limit, in MiB.
const LIMIT_MIB: f64 = 128.0;

/// How long the last byte of a document is kept back.
const HELD: Duration = Duration::from_secs(3);

/// The namespaces whose pods name the images.
const NAMESPACES: [&str; 2] = [SHOP, "other"];

/// How many pods each namespace has under way.
const PODS: usize = 20;

/// The items of a list.
const ITEMS: usize = 1_000;

/// What a registry sends: by path, each with its type.
#[derive(Default)]
struct Documents(HashMap<String, (&'static str, Arc<[u8]>)>);

impl Documents {
    /// The documents of an image, whose tags begin with this prefix.
    fn add(&mut self, prefix: &str, manifest: usize, config: usize) {
        let text = |length: usize| "x".repeat(length);
        let label = text((config - 40_000) / ITEMS);
        let labels: Vec<_> = (0..ITEMS).map(|at| format!(r#""label-{at:04}":"{label}""#)).collect();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{{{}}}}}}}"#,
            labels.join(",")
        );
        let digest = Digest::of(config.as_bytes());
        let descriptor = format!(
            r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{}}}"#,
            config.len()
        );
        self.put(format!("blobs/{digest}"), "application/octet-stream", config);
        // Of an item, 95 bytes are its digest and its size; a half of the others is text that is kept, a half is what
        // takes much more memory than it has bytes.
        let each = (manifest - 4_096) / ITEMS - 110;
        let more = if each > 200 {
            let urls = vec![r#""""#; each / 12].join(",");
            let notes: Vec<_> = (0..each / 48).map(|at| format!(r#""{at:04}":"""#)).collect();
            format!(r#","urls":[{urls}],"annotations":{{{}}}"#, notes.join(","))
        } else {
            String::new()
        };
        let name = text((each - more.len()).saturating_sub(70));
        let item = |number: usize| {
            let digest = Digest::of(number.to_string().as_bytes());
            format!(r#"{{"mediaType":"{name}","digest":"{digest}","size":1{more}}}"#)
        };
        let items: Vec<_> = (0..ITEMS).map(item).collect();
        let items = items.join(",");
        let image = format!(r#"{{"mediaType":"{MANIFEST}","config":{descriptor},"layers":[{items}]}}"#);
        let digest = Digest::of(image.as_bytes());
        assert!(image.len() <= manifest, "{} of {manifest}", image.len());
        let own = format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{},"platform":{{"os":"linux","architecture":"amd64"}}}}"#,
            image.len()
        );
        self.put(format!("manifests/{digest}"), MANIFEST, image);
        let list = format!(r#"{{"mediaType":"{INDEX}","manifests":[{items}]}}"#);
        self.put(format!("referrers/{digest}"), INDEX, list);
        let others: Vec<_> = (1..ITEMS).map(item).collect();
        let index = format!(r#"{{"mediaType":"{INDEX}","manifests":[{own},{}]}}"#, others.join(","));
        assert!(index.len() <= manifest, "{} of {manifest}", index.len());
        self.put(format!("manifests/{prefix}"), INDEX, index);
    }

    fn put(&mut self, path: String, kind: &'static str, text: String) {
        self.0.insert(path, (kind, text.into_bytes().into()));
    }

    /// What a path of the repository means: all tags with a prefix are the same image.
    fn get(&self, path: &str) -> Option<(&'static str, Arc<[u8]>)> {
        let path = path.strip_prefix("/v2/team/app/")?;
        let path = path.split_once("-tag").map_or(path, |(image, _)| image);
        self.0.get(path).cloned()
    }
}

/// Serves them on a port of loopback, and counts how many answers are held back.
async fn serve(documents: Arc<Documents>, held: Arc<(AtomicUsize, AtomicUsize)>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The webhook may close the connection at any time.
            tokio::spawn(answer(stream, documents.clone(), held.clone()));
        }
    });
    port
}

async fn answer(
    mut stream: TcpStream,
    documents: Arc<Documents>,
    held: Arc<(AtomicUsize, AtomicUsize)>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let Some((kind, body)) = documents.get(path) else {
        return stream.write_all(b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    };
    let head = format!(
        "HTTP/1.1 200 X\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let (last, first) = body.split_last().unwrap();
    stream.write_all(first).await?;
    // What it holds meanwhile are the manifest of the image and this list, or the labels.
    if path.contains("/referrers/") || path.contains("/blobs/") {
        let now = held.0.fetch_add(1, Ordering::Relaxed) + 1;
        held.1.fetch_max(now, Ordering::Relaxed);
        sleep(HELD).await;
        held.0.fetch_sub(1, Ordering::Relaxed);
    }
    stream.write_all(&[*last]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a program as it is released, and a minute of hostile answers"]
async fn hostile_registries_do_not_take_more_than_the_charts_limit() {
    let mut documents = Documents::default();
    documents.add("large", 4 * 1024 * 1024, 2 * 1024 * 1024);
    documents.add("small", 128 * 1024, 256 * 1024);
    let (documents, held) = (Arc::new(documents), Arc::default());
    let ports =
        [serve(documents.clone(), Arc::clone(&held)).await, serve(documents, Arc::clone(&held)).await];
    let hosts = ports.map(|port| format!("127.0.0.1:{port}"));
    let options = hosts.iter().flat_map(|host| [format!("--inside={host}"), format!("--plain-http={host}")]);
    let options: Vec<_> = options.collect();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let shop = Shop::released(&[], &options, |_| {}).await;
    let labels = json!({ "labels": { INCLUDED_NAMESPACE: "true" } });
    create_namespace(&shop.scene.environment.admin, NAMESPACES[1], &labels).await;
    let (before, _) = resident(&shop);
    let pods = (0..PODS).flat_map(|number| NAMESPACES.map(|namespace| (number, namespace)));
    let pods = pods.map(|(number, namespace)| {
        let (shop, hosts) = (&shop, &hosts);
        let containers: Vec<_> = (0..40)
            .map(|at| {
                let (host, size) = (&hosts[at % 2], if at % 4 < 2 { "large" } else { "small" });
                let image = format!("{host}/team/app:{size}-tag-{namespace}-{number}-{at}");
                json!({ "name": format!("c{at}"), "image": image })
            })
            .collect();
        async move {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("p{number}") },
                "spec": { "containers": containers },
            });
            let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
            let (code, _, answer) = shop.scene.send("POST", &path, "application/json", &pod).await;
            assert_eq!(code, 201, "{answer}");
        }
    });
    futures::future::join_all(pods).await;
    let (_, most) = resident(&shop);
    let at_once = held.1.load(Ordering::Relaxed);
    print_line(&format!(
        "hostile registries, {at_once} answers at once: {most:.1} MiB at most, {before:.1} MiB before"
    ));
    assert!(at_once >= 30, "only {at_once} answers were held at once");
    assert!(most < LIMIT_MIB, "{most:.1} MiB");
}
