//! The keys of `[store.scylla]`: each by itself, and what must fit together when the store is there.

use std::path::PathBuf;

use super::reader::Reader;
use super::settings::{Replicas, Scylla, ScyllaTls, Secret};

const REPLICAS: [(&str, Replicas); 6] = [
    ("one", Replicas::One),
    ("local_one", Replicas::LocalOne),
    ("quorum", Replicas::Quorum),
    ("local_quorum", Replicas::LocalQuorum),
    ("each_quorum", Replicas::EachQuorum),
    ("all", Replicas::All),
];

/// Whether `text` is `host:port`.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    !plain.is_empty() && !plain.contains(['/', ' ', '@']) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether a keyspace may be called so: what needs no quotes anywhere.
fn is_keyspace(name: &str) -> bool {
    (1..=48).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Reads every key; `wanted`: this store is used, so what is missing is a problem.
pub(super) fn read(r: &mut Reader<'_>, wanted: bool) -> Scylla {
    let nodes = r.texts("store.scylla.nodes");
    let keyspace = r.text("store.scylla.keyspace").unwrap_or_else(|| "causerie".to_owned());
    if !is_keyspace(&keyspace) {
        let says =
            format!("{keyspace:?} cannot be a keyspace: lower-case letters, digits and _, a letter first, at most 48");
        r.problem("store.scylla.keyspace", says);
    }
    let replication = replication(r);
    let consistency = r.choice("store.scylla.consistency", Replicas::LocalQuorum, &REPLICAS);
    let table_consistency = table_consistency(r);
    let datacenter = r.text("store.scylla.datacenter");
    let login = login(r);
    let bundle = r.path("store.scylla.bundle");
    let tls = tls(r);
    if let Some(bad) = nodes.iter().find(|node| !is_address(node)) {
        r.problem("store.scylla.nodes", format!("{bad:?} is not host:port, such as \"10.0.0.1:9042\""));
    }
    if wanted && nodes.is_empty() && bundle.is_none() {
        let says = "is empty: name some nodes of the database, such as [\"10.0.0.1:9042\", \"10.0.0.2:9042\"]";
        r.problem("store.scylla.nodes", says.to_owned());
    }
    let request_timeout_ms = r.number("store.scylla.request_timeout_ms", 2_000, 50..=60_000);
    let give_up_ms = r.number("store.scylla.give_up_ms", 4_000, 50..=120_000);
    if give_up_ms < request_timeout_ms {
        let says = format!("must be at least store.scylla.request_timeout_ms ({request_timeout_ms})");
        r.problem("store.scylla.give_up_ms", says);
    }
    let lease_ms = r.number("store.scylla.lease_ms", 10_000, 500..=600_000);
    if lease_ms < request_timeout_ms * 2 {
        let says = format!(
            "must be at least twice store.scylla.request_timeout_ms ({request_timeout_ms}), so that one slow answer does not end it"
        );
        r.problem("store.scylla.lease_ms", says);
    }
    Scylla {
        nodes,
        keyspace,
        replication,
        consistency,
        table_consistency,
        datacenter,
        login,
        tls,
        bundle,
        request_timeout_ms,
        give_up_ms,
        in_flight: r.number("store.scylla.in_flight", 512, 1..=100_000),
        write_jobs: r.number("store.scylla.write_jobs", 65_536, 1..=10_000_000),
        write_bytes: r.number("store.scylla.write_bytes", 64 << 20, 1 << 20..=1 << 40),
        read_jobs: r.number("store.scylla.read_jobs", 16_384, 1..=10_000_000),
        lease_ms,
    }
}

fn replication(r: &mut Reader<'_>) -> Vec<(Option<String>, u8)> {
    let texts = r.texts("store.scylla.replication");
    let mut all = Vec::new();
    for text in &texts {
        let (datacenter, factor) = match text.rsplit_once(':') {
            Some((name, factor)) => (Some(name.to_owned()), factor),
            None => (None, text.as_str()),
        };
        let named = datacenter.as_ref().is_none_or(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || ['_', '-', '.'].contains(&c))
        });
        match factor.parse::<u8>() {
            Ok(factor @ 1..=20) if named => all.push((datacenter, factor)),
            _ => r.problem("store.scylla.replication", format!("{text:?} is neither a number nor data centre:number")),
        }
    }
    if all.len() > 1 && all.iter().any(|(datacenter, _)| datacenter.is_none()) {
        let says = "names a number for all data centres and others besides: give either one number, or one for each";
        r.problem("store.scylla.replication", says.to_owned());
    }
    if all.is_empty() { vec![(None, 3)] } else { all }
}

fn table_consistency(r: &mut Reader<'_>) -> Vec<(String, Replicas)> {
    let mut all = Vec::new();
    for text in r.texts("store.scylla.table_consistency") {
        let found = text.split_once('=').and_then(|(table, word)| {
            let replicas = REPLICAS.iter().find(|(name, _)| *name == word.trim())?.1;
            let table = table.trim();
            let fits = table.starts_with("chat_") && table.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            fits.then(|| (table.to_owned(), replicas))
        });
        match found {
            Some(one) => all.push(one),
            None => {
                let says = format!("{text:?} is not table=consistency, such as \"chat_cursors=local_one\"");
                r.problem("store.scylla.table_consistency", says);
            }
        }
    }
    all
}

fn login(r: &mut Reader<'_>) -> Option<(String, Secret)> {
    let user = r.text("store.scylla.user");
    let password = r.text("store.scylla.password");
    match (user, password) {
        (Some(user), Some(password)) => Some((user, Secret(password))),
        (None, None) => None,
        (Some(_), None) => {
            r.problem("store.scylla.password", "is missing: store.scylla.user is set".to_owned());
            None
        }
        (None, Some(_)) => {
            r.problem("store.scylla.user", "is missing: store.scylla.password is set".to_owned());
            None
        }
    }
}

fn tls(r: &mut Reader<'_>) -> Option<ScyllaTls> {
    let ca = r.path("store.scylla.tls_ca");
    let cert = r.path("store.scylla.tls_cert");
    let key = r.path("store.scylla.tls_key");
    let own: Option<(PathBuf, PathBuf)> = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            r.problem("store.scylla.tls_key", "is missing: store.scylla.tls_cert is set".to_owned());
            None
        }
        (None, Some(_)) => {
            r.problem("store.scylla.tls_cert", "is missing: store.scylla.tls_key is set".to_owned());
            None
        }
    };
    if ca.is_none() && own.is_some() {
        let says = "is missing: store.scylla.tls_cert is shown only over TLS, which needs to know who signed the database's certificates";
        r.problem("store.scylla.tls_ca", says.to_owned());
    }
    ca.map(|ca| ScyllaTls { ca, own })
}
